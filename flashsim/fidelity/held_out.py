"""What happened in weeks that a World has not seen, laid out so that the same weeks can be simulated with it.

A World is a shop on an average day; how far above or below it a product runs in a week is where a simulation starts,
not what it predicts. It is taken from the weeks *before* each week by the filter of the demand model, against which the
World's frailties are defined too. Offers are those that were made: depth, display and mailer of the week.

Left out: seasons that the filter does not follow; the card tells how far off the levels would be without it.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.data.panel import DAYS_OF_WEEK, SaleLines
from flashsim.data.purchases import summarize_purchases
from flashsim.errors import InputError
from flashsim.models.customers.retention import fit_bg_nbd
from flashsim.models.demand.ensemble import Observations
from flashsim.models.demand.negative_binomial import DEPTH, DISPLAY, MAILER, filter_levels
from flashsim.models.forecasting.backtest import RECENT_WEEKS, covariates, demand_table
from flashsim.models.forecasting.validation import INTERVAL, Interval
from flashsim.surface import read_depths
from flashsim.world import HOURS_OF_DAY, World
from flashsim.world_checks import axes_in

RESAMPLES = 1000
"""Bootstrap resamples behind the interval of repeat purchases."""


class Offers(NamedTuple):
    """Offers of consecutive weeks, or of each of their days."""

    depth: NDArray[np.float64]  # product, week or day; share of list price
    display: NDArray[np.float64]  # product, week or day; share of stores
    mailer: NDArray[np.float64]  # product, week or day; share of stores


@dataclass(frozen=True)
class HeldOut:
    """Consecutive whole weeks of a World's products, in its order; days begin with a Monday."""

    units: NDArray[np.int64]  # product, day, hour
    """Units sold."""
    counted: NDArray[np.bool_]  # product, day
    """Where the product was on sale and the shop open; elsewhere nothing is compared."""
    offers: Offers
    """What was offered in these weeks, by the week or by the day."""
    level: NDArray[np.float64]  # product, week
    """By which the World's expected units are multiplied: known before the week began."""
    clumping: NDArray[np.float64]  # product; >= 1
    """E[q²]/E[q] of the units q in a line of the weeks before."""
    first_day: str = ""
    """ISO date of the first day."""
    frozen_level: float = 1.0
    """Units that happened over those expected with every level at 1: what the filter takes care of."""
    repeats: Interval | None = None
    """Repeat purchases that happened over those a BG/NBD model of the weeks before expected."""
    has_hours: bool = True
    """Whether it is known in which hours units were sold; else all of a day are in its first."""

    def __post_init__(self) -> None:
        """Check shapes and ranges."""
        products, days = self.units.shape[:2]
        weeks = days // DAYS_OF_WEEK
        offered = (products, days if self.offers.depth.shape[-1] == days else weeks)
        expected: dict[str, tuple[Any, tuple[int, ...]]] = {
            "units": (self.units, (products, weeks * DAYS_OF_WEEK, HOURS_OF_DAY)),
            "counted": (self.counted, (products, days)),
            "level": (self.level, (products, weeks)),
            "clumping": (self.clumping, (products,)),
        } | {name: (part, offered) for name, part in self.offers._asdict().items()}
        for name, (array, shape) in expected.items():
            if array.shape != shape:
                raise InputError(f"{name}: expected {shape}, got {array.shape}")
            if not (np.isfinite(array).all() and (np.asarray(array) >= 0).all()):
                raise InputError(f"{name}: expected finite values >= 0, got {np.asarray(array).min()}")
        if (self.clumping < 1.0).any():
            raise InputError(f"clumping: expected values >= 1, got {self.clumping.min()}")
        if not self.counted.any():
            raise InputError(f"held-out weeks: none of the {products} products was on sale; hold out other weeks")

    @property
    def n_weeks(self) -> int:
        """Number of weeks."""
        return int(self.level.shape[1])

    @property
    def days_an_offer(self) -> int:
        """For how many days each offer stands: 7, or 1."""
        return int(self.units.shape[1] // self.offers.depth.shape[1])


def first_weeks(seen: Observations, weeks: int) -> Observations:
    """What had been seen after so many weeks; a product that had not sold by then counts as on sale and unsold."""
    panel, lines = seen.panel, seen.lines
    early = np.flatnonzero(lines.week < weeks)
    cut = replace(
        panel,
        units=panel.units[:, :weeks],
        is_open=panel.is_open[:weeks],
        depth=panel.depth[:, :weeks],
        display=panel.display[:, :weeks],
        mailer=panel.mailer[:, :weeks],
    )
    table = demand_table(cut, weeks=weeks)
    unsold = np.logical_not(table.exposure.any(axis=(1, 2)))
    exposure = np.where(unsold[:, None, None], cut.is_open.astype(np.float64), table.exposure)
    return replace(
        seen,
        panel=cut,
        table=table._replace(exposure=exposure),
        lines=SaleLines(
            product=lines.product[early],
            household=lines.household[early],
            week=lines.week[early],
            day=lines.day[early],
            hour=lines.hour[early],
            units=lines.units[early],
        ),
        segment=seen.segment[early],
    )


def held_out_weeks(world: World, seen: Observations, *, first_week: int) -> HeldOut:
    """The weeks of ``seen`` from ``first_week`` on, for the products of ``world``, which has not seen them."""
    panel = seen.panel
    products = np.array([panel.product_ids.index(int(product)) for product in world.product_ids], dtype=np.intp)
    counts = np.zeros((panel.n_products, panel.n_weeks, DAYS_OF_WEEK, HOURS_OF_DAY), dtype=np.int64)
    lines = seen.lines
    np.add.at(counts, (lines.product, lines.week, lines.day, lines.hour), np.rint(lines.units).astype(np.int64))
    offer = covariates(panel, known_weeks=first_week)[products]
    offers = Offers(offer[:, :, DEPTH], offer[:, :, DISPLAY], offer[:, :, MAILER])
    expected = daily_units(world, offers).mean(axis=0) * panel.is_open
    units = panel.units[products]
    before = np.cumsum(units.sum(axis=2), axis=1)[:, first_week - 1]
    recent = before - np.cumsum(units.sum(axis=2), axis=1)[:, max(first_week - RECENT_WEEKS - 1, 0)]
    started = np.maximum.accumulate(units.reshape(len(units), -1) > 0, axis=1).reshape(units.shape)
    level = filter_levels(units, expected * started)
    later = slice(first_week, None)
    counted = (panel.is_open[None, later] & (recent > 0)[:, None, None]).reshape(len(products), -1)
    sold, plain = units[:, later].reshape(counted.shape), expected[:, later].reshape(counted.shape)
    return HeldOut(
        units=counts[products, later].reshape(len(products), -1, HOURS_OF_DAY),
        counted=counted,
        offers=Offers(*(part[:, later] for part in offers)),
        level=level[:, later],
        clumping=panel.clumping[products],
        first_day=(panel.first_monday + timedelta(days=DAYS_OF_WEEK * first_week)).isoformat(),
        frozen_level=float(sold[counted].sum() / plain[counted].sum()),
        repeats=repeat_purchases(seen, first_week=first_week),
    )


def daily_units(world: World, offers: Offers) -> NDArray[np.float64]:
    """Expected units (member, product, week, day) of ``world`` at ``offers``, frailties and levels aside."""
    by_hour = offered_rates(world, offers).sum(axis=-1)
    return by_hour[..., None] * world.weekday_factor[:, None, None, :]


def offered_rates(world: World, offers: Offers) -> NDArray[np.float64]:
    """Expected units (member, product, week, hour) on an average weekday, read between depths as the sale reads them.

    Depths beyond the grid count as its deepest.
    """
    table = np.moveaxis(world.rates().sum(axis=1, dtype=np.float64) * 60.0, 2, -1)  # …, product, hour, depth
    depths = np.clip(offers.depth, world.depth_grid[0], world.depth_grid[-1])
    read = [read_depths(table[:, product], world.depth_grid, asked) for product, asked in enumerate(depths)]
    at_depth = np.stack([np.swapaxes(rates, 1, 2) for rates in read], axis=1)
    support = world.display_effect[:, :, None] * offers.display + world.mailer_effect[:, :, None] * offers.mailer
    rates: NDArray[np.float64] = at_depth * np.exp(support)[..., None]
    return rates


def log_uplift(world: World, offers: Offers) -> NDArray[np.float64]:
    """Log of what the depths of ``offers`` multiply expected units by (product, week), mean over members."""
    listed = offered_rates(world, offers._replace(depth=np.zeros_like(offers.depth))).sum(axis=3)
    ratio = offered_rates(world, offers).sum(axis=3) / np.where(listed > 0.0, listed, 1.0)
    uplift: NDArray[np.float64] = np.log(np.where(listed > 0.0, ratio, 1.0)).mean(axis=0)
    return uplift


def choose(world: World, held: HeldOut, *, products: NDArray[np.intp]) -> tuple[World, HeldOut]:
    """``world`` and ``held`` with some of their products alone."""
    texts = ("product_ids", "product_names", "product_groups")
    fields: dict[str, Any] = {name: tuple(getattr(world, name)[p] for p in products) for name in texts}
    for name, (_, axes) in axes_in(world).items():
        if "product" in axes:
            fields[name] = np.take(getattr(world, name), products, axis=axes.index("product"))
    part = replace(
        held,
        units=held.units[products],
        counted=held.counted[products],
        offers=Offers(*(offer[products] for offer in held.offers)),
        level=held.level[products],
        clumping=held.clumping[products],
    )
    return replace(world, **fields), part


def repeat_purchases(seen: Observations, *, first_week: int) -> Interval | None:
    """Days with a purchase that followed, over those expected, of households that had bought before ``first_week``.

    A BG/NBD model is fitted to the weeks before, to purchases of any product modelled: what a customer is worth later
    is a matter of the shop, and a few products would tell their season instead. The interval draws households anew.
    None where too few came back to fit it. Source: Fader, Hardie & Lee (2005), Marketing Science 24(2), equation 10.
    """
    lines, panel = seen.lines, seen.panel
    day = lines.week * DAYS_OF_WEEK + lines.day
    table = pd.DataFrame({"customer_id": lines.household, "day": day}).drop_duplicates()
    start = pd.Timestamp(panel.first_monday)
    end = start + pd.Timedelta(days=first_week * DAYS_OF_WEEK - 1)
    early = table[table["day"] < first_week * DAYS_OF_WEEK]
    stamped = early.assign(date=start + pd.to_timedelta(early["day"], unit="D"), units=1, value=1.0)
    if early.empty:
        return None
    history = summarize_purchases(stamped[["customer_id", "date", "units", "value"]], end=end.date())
    try:
        model = fit_bg_nbd(history.frequency, recency=history.recency_weeks, age=history.age_weeks).model
    except InputError:  # nobody came back, or all alike: the data do not identify the model
        return None
    expected = model.expected_purchases(
        history.frequency,
        recency=history.recency_weeks,
        age=history.age_weeks,
        horizon=float(panel.n_weeks - first_week),
    )
    later = table[table["day"] >= first_week * DAYS_OF_WEEK]["customer_id"].value_counts()
    happened = later.reindex(history.customer_ids, fill_value=0).to_numpy(np.float64)
    size = len(happened)
    weight = np.random.default_rng(size).multinomial(size, np.full(size, 1.0 / size), size=RESAMPLES)
    low, high = np.quantile((weight @ happened) / (weight @ expected), INTERVAL)
    return Interval(float(happened.sum() / expected.sum()), float(low), float(high))
