"""A World refreshed with new days: levels and hours follow, all that takes long to learn is kept.

For each member m and product p, with mu(m, p, t) the units that the World expects on day t at the price and promotion
of that day, and alpha the variance of its frailties beyond Poisson, a day's evidence is

    w(t) = 1 / (1 + alpha mu(t)),     w·units is a count of mean and variance about L·w·mu

The level L ~ Gamma(A, B) is updated by it and forgets, each day, by delta = LEVEL_MEMORY^(1/7):

    A <- delta A + w units,    B <- delta B + w mu,    new level = old level · A / B

It begins where such a filter comes to rest, B = A = i / (1 - delta) with i a typical day's w mu, so that one new day
weighs 1 - delta (5 %), two weeks half, and a level that has changed is reached geometrically, whatever it was before.
Days without a row are forgotten too, four weeks of them at most. A sell-out says that demand was what was sold or more:
the mean of the negative binomial above that is put in its place. To each member the count w·units is a little different
(a gamma variable of that mean and variance), so that members go on differing by what one cannot know.

Where the World knows a season, days are compared with it, and the levels end in the season of the last day.

The hours of the day are a running mean of the shares of each whole day in ``traffic_data``, with the same delta.

Kept: response to price, promotions, weekdays, segments, frailties, prices, costs, and units a visitor. Units are as the
World's own data counted them: its ``population`` is not applied. Left out: that weekdays or responses change, and that
a day on which all sold well may say less of each product than it seems to. New days
are too few to judge the World anew: its fidelity card stays as it was and tells of the update.

Source: Smith (1979), JRSS B 41, "A generalization of the Bayesian steady forecasting model"; West & Harrison (1997),
Bayesian Forecasting and Dynamic Models, ch. 2 (limiting precision under discounting); Burgers, van Leeuwen & Evensen
(1998), Monthly Weather Review 126 (observations perturbed for each member).
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.calibration.expected_units import expected_units, product_places
from flashsim.calibration.shop_provenance import with_own_books
from flashsim.calibration.shop_surface import with_hours
from flashsim.data.shop_tables import CheckedTables
from flashsim.errors import InputError
from flashsim.fidelity import updates_sentence
from flashsim.models.demand.level_path import demand_above
from flashsim.models.forecasting.forecast_view import LEVEL_MEMORY
from flashsim.season import last_day
from flashsim.sim.parameters import check_seed
from flashsim.world import HOURS_OF_DAY, World

Array = NDArray[np.float64]
DELTA: Final = LEVEL_MEMORY ** (1.0 / 7.0)
"""Share of the evidence that is left after a day."""
LONGEST_FORGETTING_DAYS: Final = 28
"""Days without data after which nothing more is forgotten: one day tells little of what has come since."""
IMPLAUSIBLE: Final = 50.0
"""A product that sells so many times what is expected is written in another unit."""


class Refreshed(NamedTuple):
    """What new days made of a World."""

    world: World
    levels: pd.DataFrame  # product_id, days, units, expected, level: the factor by which its level changed


class _Levels(NamedTuple):
    factor: Array  # member, product
    weight: Array  # product; share of the new days in the level, mean of members


def refresh_world(world: World, own: CheckedTables, *, seed: int) -> Refreshed:
    """``world`` with the days of ``own`` (sales_data, traffic_data or both); equal input and seed give equal Worlds.

    InputError when the tables tell nothing of this World, or days that it holds already.
    """
    check_seed(seed)
    if own.sales is None and own.traffic is None:
        raise InputError(
            f"an update needs sales_data or traffic_data, the folder holds {', '.join(own.tables)} alone; add one"
        )
    _refuse_known(world, own)
    own = with_own_books(own)
    levels = pd.DataFrame(columns=["product_id", "days", "units", "expected", "level", "weight"])
    entry: dict[str, Any] = {
        "files": dict(own.files),
        "sha256": dict(own.checksums),
        "spans": own.spans(),
        "seed": seed,
    }
    refreshed = world
    if own.sales is not None:
        sales = _known_products(world, own)
        gap = _days_between(world, "sales_data", sales["date"].min())
        expected = expected_units(world, sales)
        levels = _levels_table(world, sales, expected)
        found = _filter(world, sales, expected, gap=gap, generator=np.random.default_rng((seed, 0)))
        levels = levels.assign(level=found.factor.mean(axis=0), weight=found.weight)[levels["days"] > 0]
        entry["levels"] = levels.to_dict("records")
        factor, level_days = found.factor, world.level_days
        if level_days is not None:
            level_days, turned = level_days.moved_to(sales["date"].max().date())
            factor = factor * turned
        units = world.units_per_minute * factor[:, None, :, None, None]
        refreshed = replace(refreshed, units_per_minute=units.astype(np.float32), level_days=level_days)
    if own.traffic is not None:
        profile, days, weight = _hours(world, own.traffic)
        entry["hours"] = {"whole_days": days, "weight": weight}
        refreshed = with_hours(refreshed, profile) if days else refreshed
        if not days:
            own.notes.append("traffic_data: no day has all 24 hours, so the hours of the day are kept.")
    entry |= {"rows": own.account.rows(), "notes": list(own.notes), "from": world.fingerprint()}
    provenance = _extended(world.provenance, entry, updated=sorted(own.tables))
    return Refreshed(replace(refreshed, provenance=provenance), levels.reset_index(drop=True))


def _filter(world: World, sales: pd.DataFrame, expected: Array, *, gap: int, generator: np.random.Generator) -> _Levels:
    """Level factors of the filter in the module's docstring."""
    product = product_places(world, sales)
    alpha = (1.0 + world.frailty_common_variance[:, None]) * (1.0 + world.frailty_product_variance) - 1.0
    typical = world.daily_units()[:, :, 0]
    start = np.maximum(typical / (1.0 + alpha * typical), 1e-9) / (1.0 - DELTA)
    start = start * DELTA ** (min(gap, LONGEST_FORGETTING_DAYS) - 1)
    weight = 1.0 / (1.0 + alpha[:, product] * expected)
    sold_out = sales["sold_out"].to_numpy(dtype=bool)
    units = np.tile(sales["sales"].to_numpy(dtype=np.float64), (world.n_members, 1))
    units[:, sold_out] = demand_above(units[:, sold_out], expected[:, sold_out], alpha[:, product[sold_out]]).mean
    count = generator.standard_gamma(weight * units)
    day = (sales["date"] - sales["date"].min()).dt.days.to_numpy()
    observed, foreseen = np.zeros((2, world.n_members, world.n_products, int(day.max()) + 1))
    observed[:, product, day], foreseen[:, product, day] = count, weight * expected
    a = b = start
    for place in range(observed.shape[2]):
        a, b = DELTA * a + observed[:, :, place], DELTA * b + foreseen[:, :, place]
    kept = start * DELTA ** observed.shape[2]
    return _Levels(a / b, (1.0 - kept / b).mean(axis=0))


def _hours(world: World, traffic: pd.DataFrame) -> tuple[Array, int, float]:
    """Profile (member, hour) after the whole days of ``traffic``; how many those are, and what they weigh."""
    hour = traffic["date"].dt.hour
    rate = (
        traffic.groupby([traffic["date"].dt.normalize(), hour])["visits"]
        .mean()
        .unstack()
        .reindex(columns=range(HOURS_OF_DAY))
    )
    whole = rate[rate.notna().all(axis=1) & (rate.sum(axis=1) > 0.0)]
    units = world.hourly_units()
    profile, evidence = units / units.sum(axis=1, keepdims=True), 1.0 / (1.0 - DELTA)
    for share in whole.div(whole.sum(axis=1), axis=0).to_numpy():
        profile = (DELTA * evidence * profile + share) / (DELTA * evidence + 1.0)
    return profile, len(whole), float(1.0 - DELTA ** len(whole))


def _known_products(world: World, own: CheckedTables) -> pd.DataFrame:
    """Rows of the World's products; the others leave with an entry in the account."""
    assert own.sales is not None
    known = own.sales["product_id"].isin(world.product_ids)
    if not known.any():
        raise InputError(
            f"sales_data tells of {own.sales['product_id'].iloc[0]!r}, but of no product of the World "
            f"({', '.join(world.product_ids[:5])}, …); choose another World, or calibrate one"
        )
    if not known.all():
        own.account.drop("sales_data", "a product that the World does not have: calibrate to learn it", (~known).sum())
    sales = own.sales[known].reset_index(drop=True)
    list_price = world.list_price[product_places(world, sales)]
    above = int((sales["price"] > 1.001 * list_price).sum())
    own.account.change("sales_data", "a price above the World's list price, taken as the list price", above)
    deepest = world.depth_grid[-1]
    below = int((sales["price"] < (1.0 - deepest - 1e-9) * list_price).sum())
    own.account.change("sales_data", f"a depth beyond {deepest:.0%}, taken as {deepest:.0%}", below)
    return sales


def _levels_table(world: World, sales: pd.DataFrame, expected: Array) -> pd.DataFrame:
    """Days, units and expected units of each product; InputError where units are beyond belief."""
    product = product_places(world, sales)
    size = world.n_products
    units, mean = np.bincount(product, sales["sales"], size), np.bincount(product, expected.mean(axis=0), size)
    odd = units > IMPLAUSIBLE * np.maximum(mean, 1.0)
    if odd.any():
        place = int(odd.argmax())
        raise InputError(
            f"sales_data: {world.product_ids[place]} sold {units[place]:g} units, the World expects {mean[place]:.3g}; "
            "if they are counted in another unit, put scale: {sales: FACTOR} into the mapping, else calibrate anew"
        )
    days = np.bincount(product, minlength=size)
    return pd.DataFrame({"product_id": world.product_ids, "days": days, "units": units, "expected": mean})


def _refuse_known(world: World, own: CheckedTables) -> None:
    """InputError for a file or for days that the World holds already."""
    record = world.provenance
    seen = [record.get("data", {}).get("sha256", {})] + [update["sha256"] for update in record.get("updates", [])]
    for name, checksum in own.checksums.items():
        if name != "support_tickets" and any(checksum in known.values() for known in seen):
            raise InputError(f"{own.files[name]} is in the World already, to the last byte; bring days that are new")
    for name, (first, _) in own.spans().items():
        last = last_day(record, name)
        if last is not None and name != "support_tickets" and date.fromisoformat(first) <= last:
            raise InputError(
                f"{own.files[name]} begins on {first}, the World holds the days up to {last} already; leave those out"
            )


def _days_between(world: World, table: str, first: pd.Timestamp) -> int:
    """Days from the last one that the World knows to ``first``; 1 where it does not say."""
    last = last_day(world.provenance, table)
    return 1 if last is None else (first.date() - last).days


def _extended(record: Mapping[str, Any], entry: dict[str, Any], *, updated: list[str]) -> dict[str, Any]:
    """The provenance with one more update, which the fields that it changed name, and the fidelity card, if any."""
    updates = [*record.get("updates", []), entry]
    fields = dict(record.get("fields", {}))
    first, last = min(span[0] for span in entry["spans"].values()), max(span[1] for span in entry["spans"].values())
    words = f"; update {len(updates)} ({first} to {last}): " + ", ".join(
        part for table, part in (("sales_data", "levels"), ("traffic_data", "hours of the day")) if table in updated
    )
    fields["units_per_minute"] = f"{fields.get('units_per_minute', '')}{words}".lstrip("; ")
    card = record.get("fidelity")
    judged = {} if card is None else {"fidelity": card | {"updates": updates_sentence(updates)}}
    return {**record, "fields": fields, "updates": updates} | judged
