"""Demand of a shop from its own table of sales: one row a product and day, no households.

    E[demand] = level·(price / list price)^elasticity·exp(promotion·promoted)·weekday        by product

The price response (:mod:`flashsim.models.price.price_response`) fits this model. It is monotone, and products borrow
strength from each other. A sell-out says only that demand was at least what was sold. Prices that followed demand are
separated by an instrument where the table has one, else by product and week effects. Each member draws blocks of weeks
with replacement and is fitted anew. The extra variance of the counts is measured around one-week-ahead levels
(:mod:`flashsim.models.demand.dispersion`), on days that did not sell out, in the blocks as drawn.

A product has no price response of its own, and the result says why, in three cases: its price hardly moved (fewer than
``LEAST_DAYS_ELSEWHERE`` days at another price), its sales rose with the price, or the members disagree by more than
published elasticities do. Its level then holds at the price at which it was sold. A product is left out if it never
sold, has fewer than ``FEWEST_DAYS`` days, sells too unevenly for the model (``LARGEST_MISFIT``), or if its demand has
no visible upper end: it sold out on more than ``MOST_SOLD_OUT`` of its days, or on every Monday (or every other
weekday).

Left out: a season beyond the weeks' own effects on prices, the effect of one product's price on another's demand, and
how many units one purchase holds (a daily total does not show it: it counts as frailty).

Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, ch. 8; Künsch (1989), Annals of Statistics 17
(blocks).
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.data.panel import DAYS_OF_WEEK
from flashsim.errors import InputError
from flashsim.models.demand.dispersion import Dispersion, estimate_dispersion
from flashsim.models.demand.negative_binomial import WARM_UP_WEEKS, filter_levels
from flashsim.models.price.price_control import control_price
from flashsim.models.price.price_effects import PUBLISHED_SPREAD, SLOPE, FittedResponse, explain, fit_response
from flashsim.models.price.price_response import FEWEST_DAYS
from flashsim.models.price.sales_table import read_sales

LEAST_DAYS_ELSEWHERE: Final = 5
"""A product needs this many days at a price other than its commonest one, or its response is not identified."""
OTHER_PRICE: Final = 0.02
"""Prices that differ by less than this, on the log scale, count as one price."""
LIST_PRICE_QUANTILE: Final = 0.9
"""The list price of a table without list_price and without days off promotion: the price reached on one day of ten."""
FEWEST_UNPROMOTED: Final = 5
"""With this many days without promotion, their median price is the list price."""
SEEN_DEPTHS: Final = 0.95
"""Share of the discounted days whose depth is within what the World supports."""
LARGEST_CORRELATION: Final = 0.95
"""A promotion that correlates with the price more than this cannot be separated from it."""
MOST_SOLD_OUT: Final = 0.8
"""With a larger share of sold-out rows, the demand beyond the stock would rest on the assumed law alone."""
LARGEST_MISFIT: Final = 3.0
"""A model that expects this many times a product's units, or this many times fewer, does not describe the product."""
BLOCK_WEEKS: Final = 2
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
"""Weekday covariates; Sunday is the reference."""


class ShopDemand(NamedTuple):
    """What a table of sales shows; the member is the first axis."""

    product_ids: tuple[str, ...]
    list_price: NDArray[np.float64]  # product; currency/unit
    level: NDArray[np.float64]  # member, product; units on an average day, not promoted, at list price or level_depth
    level_depth: NDArray[np.float64]  # product; depth at which the level holds, 0 where the product has a response
    elasticity: NDArray[np.float64]  # member, product; NaN where it is not identified
    promotion_effect: NDArray[np.float64] | None  # member, product; log scale; None where not identified
    weekday_factor: NDArray[np.float64]  # member, weekday; mean 1
    spread: tuple[Dispersion, ...]  # member
    supported_depth: float | None  # None where no product has a response
    price_over_list: float  # revenue over the value of the same units at list prices
    units_over_list: float  # expected units at the actual prices, over those at list prices without promotion
    left_out: dict[str, str]  # product: why it has no demand
    unidentified: dict[str, str]  # product: why it has no response of its own
    words: tuple[str, ...]  # what the responses rest on


def learn_demand(
    sales: pd.DataFrame, *, members: int, generator: np.random.Generator, progress: Callable[[int, int], None]
) -> ShopDemand:
    """Learn from a checked table (date, product_id, sales, price, sold_out, and optional columns).

    InputError when no product remains to learn from.
    """
    left_out = _without_demand(sales, fewest_rows=FEWEST_DAYS)
    left_out |= _badly_fitted(sales[~sales["product_id"].isin(list(left_out))].reset_index(drop=True))
    sales = sales[~sales["product_id"].isin(list(left_out))].reset_index(drop=True)
    if not len(sales):
        first, why = next(iter(left_out.items()))
        raise InputError(f"sales_data: no product can be learned: {first} {why}; check sales and stock_out")
    table = _lay_out(sales)
    center = _fit(table)
    ids = center.product_ids
    product = _place(ids, table)
    regular = _list_prices(sales)
    list_price = regular.loc[list(ids)].to_numpy(dtype=np.float64)
    fits, counts = [], []
    for member in range(members):
        drawn, count = _draw(table, generator)
        fits.append(_fit(drawn))
        counts.append(count)
        progress(member + 1, members)
    elasticity = _of_members(fits, center, lambda fit: fit.effects[:, SLOPE])
    unidentified = _unidentified(sales, center, elasticity)
    known = np.array([name not in unidentified for name in ids])
    commonest_price = sales.groupby("product_id")["price"].agg(lambda prices: prices.mode().iloc[0])
    level_price = regular.where(~regular.index.isin(list(unidentified)), commonest_price)
    by_weekday = _of_members(fits, center, lambda fit: _by_weekday(fit, level_price))
    total = by_weekday.sum(axis=1)
    price, expected = table["price"].to_numpy(), _expected(center, table)
    unpromoted = table.assign(price=list_price[product], **({"promotion": 0.0} if "promotion" in table else {}))
    depth = 1.0 - price / list_price[product]
    deep = depth[(depth > OTHER_PRICE) & known[product]]
    sold = table["units"].to_numpy()
    return ShopDemand(
        product_ids=ids,
        list_price=list_price,
        level=by_weekday.mean(axis=2),
        level_depth=np.maximum(1.0 - level_price.loc[list(ids)].to_numpy(dtype=np.float64) / list_price, 0.0),
        elasticity=np.where(known, elasticity, np.nan),
        promotion_effect=_promotion_effects(fits, center),
        weekday_factor=total / total.mean(axis=1, keepdims=True),
        spread=_spreads(table, expected, product=product, counts=counts),
        supported_depth=float(np.quantile(deep, SEEN_DEPTHS)) if deep.size else None,
        price_over_list=float((sold * price).sum() / (sold * list_price[product]).sum()),
        units_over_list=float(expected.sum() / _expected(center, unpromoted).sum()),
        left_out=left_out,
        unidentified=unidentified,
        words=explain(center) if known.any() else (),
    )


def _without_demand(sales: pd.DataFrame, *, fewest_rows: int) -> dict[str, str]:
    """Products that show too little demand, and why; from date, product_id, sales and sold_out."""
    by_product = sales.groupby("product_id")
    sold, rows, share_out = by_product["sales"].sum(), by_product.size(), by_product["sold_out"].mean()
    by_weekday = sales.groupby(["product_id", sales["date"].dt.day_of_week])["sold_out"].all()
    reasons = {}
    for name in rows.index:
        if sold[name] <= 0.0:
            reasons[str(name)] = f"never sold in {rows[name]} rows"
        elif rows[name] < fewest_rows:
            reasons[str(name)] = f"has {rows[name]} days, {fewest_rows} are needed"
        elif share_out[name] > MOST_SOLD_OUT:
            words = "each" if share_out[name] == 1.0 else f"{share_out[name]:.0%}"
            reasons[str(name)] = f"sold out in {words} of its {rows[name]} rows, so that its demand has no upper end"
        elif by_weekday[name].any():
            day = (*WEEKDAYS, "sunday")[int(by_weekday[name].idxmax())]
            reasons[str(name)] = f"sold out on every {day}, so that its demand on that day has no upper end"
    return reasons


def _badly_fitted(sales: pd.DataFrame) -> dict[str, str]:
    """Products for which the model expects far more or far less than they sold, with the reason in words."""
    if not len(sales):
        return {}
    table = _lay_out(sales)
    expected = pd.Series(_expected(_fit(table), table)).groupby(table["product_id"]).sum()
    ratio = expected / table.groupby("product_id")["units"].sum()
    odd = ratio[(ratio > LARGEST_MISFIT) | (ratio < 1.0 / LARGEST_MISFIT)]
    return {
        str(name): f"sells too unevenly for the model, which expects {times:.3g} times what was sold"
        for name, times in odd.items()
    }


def _lay_out(sales: pd.DataFrame) -> pd.DataFrame:
    """The table that the price response reads."""
    weekday = sales["date"].dt.day_of_week
    table = pd.DataFrame(
        {
            "date": sales["date"],
            "product_id": sales["product_id"],
            "units": sales["sales"],
            "price": sales["price"],
            "stock": sales["sales"].where(sales["sold_out"]),
        }
    )
    if "instrument" in sales.columns:
        table["instrument"] = sales["instrument"]
    if "promotion" in sales.columns and _promotion_is_apart(sales):
        table["promotion"] = sales["promotion"].astype(np.float64)
    return table.assign(**{name: (weekday == day).astype(np.float64) for day, name in enumerate(WEEKDAYS)})


def _promotion_is_apart(sales: pd.DataFrame) -> bool:
    """Whether promotions and prices vary independently enough, within products, to separate their effects."""
    both = pd.DataFrame({"promotion": sales["promotion"].astype(float), "price": np.log(sales["price"])})
    within = both - both.groupby(sales["product_id"]).transform("mean")
    size = np.sqrt((within**2).sum())
    if size["promotion"] < 1e-9:
        return False
    return bool(
        size["price"] < 1e-9
        or abs((within["promotion"] * within["price"]).sum()) < LARGEST_CORRELATION * size["promotion"] * size["price"]
    )


def _list_prices(sales: pd.DataFrame) -> pd.Series:
    """Regular price of each product, by its id."""
    by_product = sales.groupby("product_id")
    price = by_product["price"].quantile(LIST_PRICE_QUANTILE)
    if "promotion" in sales.columns:
        plain = sales[~sales["promotion"]].groupby("product_id")["price"]
        typical = plain.median()[plain.size() >= FEWEST_UNPROMOTED]
        price = typical.reindex(price.index).fillna(price)
    if "list_price" in sales.columns:
        price = by_product["list_price"].median().fillna(price)
    return price.round(2).clip(lower=0.01)


def _fit(table: pd.DataFrame) -> FittedResponse:
    read = read_sales(table)
    return fit_response(read, control_price(read))


def _draw(table: pd.DataFrame, generator: np.random.Generator) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Draw blocks of weeks with replacement, put one after another; also return how often each block was drawn.

    The table leaves out a product if the drawn blocks show too little of it: see :func:`_of_members`.
    """
    block_days = BLOCK_WEEKS * DAYS_OF_WEEK
    monday = table["date"].min() - pd.Timedelta(days=int(table["date"].min().weekday()))
    day = (table["date"] - monday).dt.days.to_numpy()
    block = day // block_days
    rows = [np.flatnonzero(block == number) for number in range(int(block.max()) + 1)]
    drawn = generator.integers(len(rows), size=len(rows))
    taken = np.concatenate([rows[number] for number in drawn])
    place = np.repeat(np.arange(len(rows)), [rows[number].size for number in drawn])
    dates = monday + pd.to_timedelta(place * block_days + day[taken] % block_days, unit="D")
    draw = table.iloc[taken].assign(date=dates.to_numpy()).reset_index(drop=True)
    unlearnable = _without_demand(
        draw.rename(columns={"units": "sales"}).assign(sold_out=draw["stock"].notna()), fewest_rows=1
    )
    is_learnable = ~draw["product_id"].isin(list(unlearnable))
    count = np.bincount(drawn, minlength=len(rows)).astype(np.float64)
    return (draw[is_learnable].reset_index(drop=True) if is_learnable.any() else table), count


def _of_members(
    fits: list[FittedResponse], center: FittedResponse, take: Callable[[FittedResponse], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """(member, product, …); a product that a member's draw lacks keeps the estimate of the whole table."""
    out = np.stack([take(center)] * len(fits))
    for member, fit in enumerate(fits):
        out[member, [center.product_ids.index(name) for name in fit.product_ids]] = take(fit)
    return out


def _by_weekday(fit: FittedResponse, list_price: pd.Series) -> NDArray[np.float64]:
    """Expected units (product, weekday) at list price, not promoted."""
    products, day = len(fit.product_ids), np.tile(np.arange(DAYS_OF_WEEK), len(fit.product_ids))
    ids = np.repeat(np.array(fit.product_ids, dtype=object), DAYS_OF_WEEK)
    grid = pd.DataFrame({"product_id": ids, "price": list_price.loc[ids].to_numpy(dtype=np.float64), "promotion": 0.0})
    grid = grid.assign(**{name: (day == place).astype(np.float64) for place, name in enumerate(WEEKDAYS)})
    return _expected(fit, grid).reshape(products, DAYS_OF_WEEK)


def _expected(fit: FittedResponse, table: pd.DataFrame) -> NDArray[np.float64]:
    product, _, design = fit.lay_out(table)
    return fit.mean(product, design)


def _promotion_effects(fits: list[FittedResponse], center: FittedResponse) -> NDArray[np.float64] | None:
    """What a promotion adds to log units beyond its price (member, product)."""
    if "promotion" not in center.covariate_names:
        return None
    place = center.covariate_names.index("promotion")
    return _of_members(fits, center, lambda fit: fit.effects[:, SLOPE + 1 + place] / fit.covariate_sd[place])


def _unidentified(sales: pd.DataFrame, center: FittedResponse, elasticity: NDArray[np.float64]) -> dict[str, str]:
    """Products whose price response is not identified, and why."""
    reasons = {}
    for place, name in enumerate(center.product_ids):
        prices = sales.loc[sales["product_id"] == name, "price"]
        commonest_price = prices.mode().iloc[0]
        elsewhere = int((np.abs(np.log(prices / commonest_price)) > OTHER_PRICE).sum())
        if elsewhere < LEAST_DAYS_ELSEWHERE:
            reasons[name] = (
                f"was sold at one price, {commonest_price:g}, on all but {elsewhere} of its {len(prices)} days"
            )
        elif center.effects[place, SLOPE] >= 0.0:
            reasons[name] = "sold more at higher prices, so that its prices must have followed its demand"
        elif elasticity[:, place].std() > PUBLISHED_SPREAD:
            reasons[name] = (
                f"was sold at prices that tell too little: its elasticity is {elasticity[:, place].mean():.1f} "
                f"± {elasticity[:, place].std():.1f}"
            )
    return reasons


def _spreads(
    table: pd.DataFrame, expected: NDArray[np.float64], *, product: NDArray[np.intp], counts: list[NDArray[np.float64]]
) -> tuple[Dispersion, ...]:
    """Dispersion of each member around one-week-ahead levels; sold-out days do not count."""
    first = table["date"].min()
    day = (table["date"] - first + pd.Timedelta(days=int(first.weekday()))).dt.days.to_numpy()
    weeks = int(day.max()) // DAYS_OF_WEEK + 1
    units, mean = np.zeros((2, int(product.max()) + 1, weeks, DAYS_OF_WEEK))
    units[product, day // DAYS_OF_WEEK, day % DAYS_OF_WEEK] = table["units"]
    mean[product, day // DAYS_OF_WEEK, day % DAYS_OF_WEEK] = np.where(table["stock"].isna(), expected, 0.0)
    ahead = mean * filter_levels(units, mean)[:, :, None]
    # a short table has no eight weeks to spare: the filter then sees a quarter of it
    warm = min(WARM_UP_WEEKS, weeks // 4) * DAYS_OF_WEEK
    seen, foreseen = (values.reshape(len(units), -1)[:, warm:] for values in (units, ahead))
    if not (foreseen > 0.0).any():
        return tuple(Dispersion(0.0, np.zeros(len(units))) for _ in counts)
    of_day = np.arange(weeks * DAYS_OF_WEEK)[warm:] // (BLOCK_WEEKS * DAYS_OF_WEEK)
    whole = np.ones(seen.shape[1])
    weights = [count[of_day] if (foreseen @ count[of_day]).any() else whole for count in counts]
    return tuple(estimate_dispersion(seen, foreseen, clumping=np.ones(len(units)), day_weight=w) for w in weights)


def _place(ids: tuple[str, ...], table: pd.DataFrame) -> NDArray[np.intp]:
    return pd.Series(np.arange(len(ids)), index=list(ids)).loc[table["product_id"]].to_numpy(dtype=np.intp)
