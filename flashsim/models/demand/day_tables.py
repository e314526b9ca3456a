"""A checked table of sales as the days of each product, and which products show too little demand to be learned."""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.models.demand.level_path import CONTROL_SD, EFFECT_SD, DayCounts
from flashsim.models.price.price_control import PriceControl, control_price
from flashsim.models.price.sales_table import read_sales
from flashsim.models.price.usual_price import STEP_DAYS, PriceHistory, read_prices

MOST_SOLD_OUT: Final = 0.8
"""With a larger share of sold-out rows, the demand beyond the stock would rest on the assumed law alone."""
LARGEST_CORRELATION: Final = 0.95
"""A promotion that correlates with the price more than this cannot be separated from it."""
COLUMNS: Final = ("date", "sales", "price", "sold_out", "promotion", "list_price")
"""Columns of a table of sales that the days of a product are made of."""
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Array = NDArray[np.float64]


class ProductDays(NamedTuple):
    """The days of one product, what its prices did, and what moved them."""

    product_id: str
    date: pd.DatetimeIndex  # row; ascending
    price: Array  # row; currency/unit
    promoted: Array | None  # row; 0 or 1; None where promotions cannot be told apart from prices
    history: PriceHistory
    counts: DayCounts
    strength: float  # first-stage F times its degrees of freedom; infinite without an instrument


class ProductRows(NamedTuple):
    """The rows of one product in a checked table."""

    product_id: str
    rows: pd.DataFrame  # in order of days
    control: Array  # row; what may have followed demand in the price
    strength: float  # as in ProductDays
    first: pd.Timestamp  # first day of the table
    is_apart: bool  # whether promotions can be told apart from prices


class LaidOut(NamedTuple):
    """All products of a table."""

    products: tuple[ProductRows, ...]
    basis: str  # instrument, product and week effects, or product effects
    first_stage_f: Array  # product; NaN without an instrument


def lay_out_products(sales: pd.DataFrame) -> LaidOut:
    """The products of a checked table (date, product_id, sales, price, sold_out; optional promotion, list_price,
    instrument), in order of their ids."""
    sales = sales.sort_values(["product_id", "date"], kind="stable").reset_index(drop=True)
    is_apart = "promotion" in sales.columns and _promotion_is_apart(sales)
    control, ids = _control(sales, is_apart=is_apart)
    needed = [name for name in COLUMNS if name in sales.columns]
    first, products = sales["date"].min(), []
    for place, (name, rows) in enumerate(sales[[*needed, "product_id"]].groupby("product_id", sort=True)):
        assert ids[place] == str(name)
        moved = control.control[rows.index.to_numpy()]
        strength = float(control.strength[place])
        products.append(ProductRows(str(name), rows[needed], moved, strength, first, is_apart))
    return LaidOut(tuple(products), control.basis, control.first_stage_f)


def without_demand(sales: pd.DataFrame, *, fewest_rows: int) -> dict[str, str]:
    """Products that show too little demand, and why; from date, product_id, sales and sold_out."""
    by_product = sales.groupby("product_id")
    sold, rows, share_out = by_product["sales"].sum(), by_product.size(), by_product["sold_out"].mean()
    by_weekday = sales.groupby(["product_id", sales["date"].dt.day_of_week])["sold_out"].all()
    always_out = by_weekday[by_weekday].reset_index()
    first_out = dict(zip(always_out["product_id"].iloc[::-1], always_out["date"].iloc[::-1], strict=True))
    reasons = {}
    for name in rows.index:
        if sold[name] <= 0.0:
            reasons[str(name)] = f"never sold in {rows[name]} rows"
        elif rows[name] < fewest_rows:
            reasons[str(name)] = f"has {rows[name]} days, {fewest_rows} are needed"
        elif share_out[name] > MOST_SOLD_OUT:
            words = "each" if share_out[name] == 1.0 else f"{share_out[name]:.0%}"
            reasons[str(name)] = f"sold out in {words} of its {rows[name]} rows, so that its demand has no upper end"
        elif name in first_out:
            day = WEEKDAYS[int(first_out[name])]
            reasons[str(name)] = f"sold out on every {day}, so that its demand on that day has no upper end"
    return reasons


def days_of(product: ProductRows) -> ProductDays:
    """The days of one product."""
    rows, is_apart = product.rows, product.is_apart
    price = rows["price"].to_numpy(dtype=np.float64)
    told = rows["list_price"].to_numpy(dtype=np.float64) if "list_price" in rows.columns else None
    flags = rows["promotion"].to_numpy(dtype=bool) if "promotion" in rows.columns else None
    history = read_prices(price, told=told, promoted=flags)
    promoted = flags.astype(np.float64) if is_apart and flags is not None else None
    effects = [column for column in (promoted, product.control) if column is not None]
    dates = pd.DatetimeIndex(rows["date"])
    counts = DayCounts(
        day=(dates - product.first).days.to_numpy().astype(np.intp),
        weekday=dates.day_of_week.to_numpy().astype(np.intp),
        year_day=dates.day_of_year.to_numpy().astype(np.float64),
        units=rows["sales"].to_numpy(dtype=np.float64),
        sold_out=rows["sold_out"].to_numpy(dtype=bool),
        log_ratio=np.log(price / history.list_price),
        effects=np.stack(effects, axis=1),
        effect_sd=np.array([EFFECT_SD] * (promoted is not None) + [CONTROL_SD]),
        steps=tuple((step, _change(price, step)) for step in history.steps),
    )
    return ProductDays(product.product_id, dates, price, promoted, history, counts, product.strength)


def _change(price: Array, step: int) -> float:
    """Change of the log price for good at row ``step``."""
    before, after = price[max(step - STEP_DAYS, 0) : step], price[step : step + STEP_DAYS]
    return float(np.log(np.median(after) / np.median(before)))


def _control(sales: pd.DataFrame, *, is_apart: bool) -> tuple[PriceControl, tuple[str, ...]]:
    """What may have followed demand in the price of each row, with weekdays and promotions taken out."""
    weekday = sales["date"].dt.day_of_week
    table = pd.DataFrame(
        {"date": sales["date"], "product_id": sales["product_id"], "units": 0.0, "price": sales["price"]}
    )
    if "instrument" in sales.columns:
        table["instrument"] = sales["instrument"]
    if is_apart:
        table["promotion"] = sales["promotion"].astype(np.float64)
    table = table.assign(**{name: (weekday == day).astype(np.float64) for day, name in enumerate(WEEKDAYS[:-1])})
    read = read_sales(table)
    return control_price(read), read.product_ids


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
