"""Made order lines whose truth is known, written in the dialects of many countries and programs."""

import gzip
import zipfile
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import numpy as np
import pandas as pd

FIRST_DAY = "2026-01-05"
PRODUCTS = {"LATTE": 3.5, "MOCHA": 5.0, "BEANS": 1234.5}


class Dialect(NamedTuple):
    """How a file is written."""

    separator: str = ","
    decimal: str = "."
    thousands: str = ""
    encoding: str = "utf-8"
    date: str = "%Y-%m-%d %H:%M:%S"
    sign: str = ""  # of the currency, before the number
    suffix: str = ".csv"
    name: str = "Café Zoë"  # what one product is called, in letters that the encoding has


def make_lines(days: int = 42, *, seed: int = 0, orders_a_day: int = 6) -> pd.DataFrame:
    """Order lines: order_id, created_at, sku, name, qty, unit_price, customer; prices 10 % lower on some days."""
    generator = np.random.default_rng(seed)
    rows = []
    for day, date in enumerate(pd.date_range(FIRST_DAY, periods=days)):
        factor = 0.9 if day % 5 == 0 else 1.0
        for order in range(orders_a_day):
            stamp = date + pd.Timedelta(hours=9 + 2 * order, minutes=int(generator.integers(60)))
            customer = f"person{generator.integers(60)}@mail.example"
            skus = generator.choice(list(PRODUCTS), size=int(generator.integers(1, 4)), replace=False)
            rows += [
                {
                    "order_id": f"#{1000 + day * orders_a_day + order}",
                    "created_at": stamp,
                    "sku": str(sku),
                    "name": str(sku).title(),
                    "qty": int(generator.integers(1, 4)),
                    "unit_price": round(PRODUCTS[str(sku)] * factor, 2),
                    "customer": customer,
                }
                for sku in skus
            ]
    return pd.DataFrame(rows)


def truth(lines: pd.DataFrame) -> pd.DataFrame:
    """Units and price by product and day of lines that are all sales."""
    facts = lines.assign(date=lines["created_at"].dt.normalize(), amount=lines["qty"] * lines["unit_price"])
    sums = facts.groupby(["sku", "date"])[["qty", "amount"]].sum()
    return pd.DataFrame({"sales": sums["qty"].astype(float), "price": sums["amount"] / sums["qty"]})


def number(value: float, dialect: Dialect) -> str:
    """A number as the dialect writes it."""
    whole, _, cents = f"{abs(value):,.2f}".partition(".")
    text = whole.replace(",", dialect.thousands) + dialect.decimal + cents
    return ("-" if value < 0 else "") + dialect.sign + text


def spelled(lines: pd.DataFrame, dialect: Dialect) -> pd.DataFrame:
    """The lines as text of the dialect."""
    text = lines.assign(
        created_at=lines["created_at"].dt.strftime(dialect.date),
        qty=lines["qty"].astype(str),
        unit_price=[number(value, dialect) for value in lines["unit_price"]],
        name=lines["name"].replace({"Latte": dialect.name}),
    )
    return text.astype(str)


def write(folder: Path, text: pd.DataFrame, dialect: Dialect, *, name: str = "orders") -> Path:
    """Write text as a file of the dialect; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}{dialect.suffix}"
    if dialect.suffix == ".parquet":
        text.to_parquet(path, index=False)
    elif dialect.suffix == ".xlsx":
        write_xlsx(path, [list(text.columns), *text.to_numpy().tolist()])
    else:
        data = text.to_csv(index=False, sep=dialect.separator, lineterminator="\r\n").encode(dialect.encoding)
        path.write_bytes(gzip.compress(data) if dialect.suffix.endswith(".gz") else data)
    return folder


def write_xlsx(path: Path, rows: list[list[Any]], *, sheet: str = "Sheet1", raw_cells: str = "") -> None:
    """A workbook of one sheet; numbers are cells of numbers, all else inline text. ``raw_cells`` is a last row as
    XML."""
    body = []
    for place, row in enumerate(rows, start=1):
        cells = "".join(
            f'<c r="{_letters(column)}{place}"><v>{value!r}</v></c>'
            if isinstance(value, int | float) and not isinstance(value, bool)
            else f'<c r="{_letters(column)}{place}" t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'
            for column, value in enumerate(row)
        )
        body.append(f'<row r="{place}">{cells}</row>')
    main = "http://schemas.openxmlformats.org"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{main}/package/2006/content-types"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/><Override '
        'PartName="/xl/worksheets/sheet1.xml" '
        'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{main}/package/2006/relationships"><Relationship Id="rId1" '
        f'Type="{main}/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}/spreadsheetml/2006/main" '
        f'xmlns:r="{main}/officeDocument/2006/relationships"><sheets><sheet name="{escape(sheet)}" sheetId="1" '
        'r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{main}/package/2006/relationships"><Relationship '
        f'Id="rId1" Type="{main}/officeDocument/2006/relationships/worksheet" '
        'Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}/spreadsheetml/2006/main"><sheetData>{"".join(body)}'
        f"{raw_cells}</sheetData></worksheet>",
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{content}')


def _letters(column: int) -> str:
    text = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text
