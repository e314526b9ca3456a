"""Malformed exports: what people, programs and attackers hand over in place of a table of orders."""

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.data.exports.made_orders import Dialect, make_lines, spelled, write_xlsx

HEADER = "order_id,created_at,sku,name,qty,unit_price,customer"
Break = Callable[[bytes, np.random.Generator], bytes]


def plain(generator: np.random.Generator, table: str = "orders") -> bytes:
    """A good export, small."""
    text = spelled(make_lines(8, seed=int(generator.integers(1000)), orders_a_day=2), Dialect())
    if table == "sales_data":
        text = text.rename(columns={"created_at": "date", "sku": "product_id", "qty": "sales", "unit_price": "price"})
        text = text.assign(date=text["date"].str[:10]).drop_duplicates(["date", "product_id"])
    return text.to_csv(index=False).encode("utf-8")


def flip(data: bytes, generator: np.random.Generator) -> bytes:
    """Some bytes are others."""
    array = np.frombuffer(data, dtype=np.uint8).copy()
    places = generator.integers(len(array), size=int(generator.integers(1, 40)))
    array[places] = generator.integers(256, size=len(places))
    return array.tobytes()


def cut(data: bytes, generator: np.random.Generator) -> bytes:
    """The end is missing."""
    return data[: int(generator.integers(len(data)))]


def with_zeros(data: bytes, generator: np.random.Generator) -> bytes:
    """Zero bytes among the text."""
    place = int(generator.integers(len(data)))
    return data[:place] + b"\0" * int(generator.integers(1, 50)) + data[place:]


def of_chance(data: bytes, generator: np.random.Generator) -> bytes:
    """No text at all."""
    return generator.bytes(len(data))


def in_a_strange_encoding(data: bytes, generator: np.random.Generator) -> bytes:
    """Text in an encoding that nobody would guess, or in two of them."""
    text = data.decode("utf-8", "replace") + "9,2026-01-05,牛奶 Crème Ελλ,x,1,2,z\n" * 3
    encodings = ("utf-16", "utf-32", "cp037", "shift_jis", "big5", "utf-7", "koi8-r", "cp1253")
    first, second = generator.choice(encodings, size=2)
    return text.encode(str(first), "replace") + (
        text.encode(str(second), "replace") if generator.random() < 0.5 else b""
    )


def with_many_columns(data: bytes, generator: np.random.Generator) -> bytes:
    """Far too many columns, in the header or in a row."""
    extra = b"," + b",".join(b"c%d" % place for place in range(int(generator.integers(2_000, 100_000))))
    lines = data.split(b"\n")
    place = 0 if generator.random() < 0.5 else len(lines) // 2
    lines[place] += extra
    return b"\n".join(lines)


def with_a_huge_cell(data: bytes, generator: np.random.Generator) -> bytes:
    """A cell of ten megabytes, quoted or not, with line ends or not."""
    cell = generator.choice([b"x" * 10_000_000, b"y\n" * 5_000_000, b'""' * 5_000_000])
    quote = b'"' if generator.random() < 0.5 else b""
    lines = data.split(b"\n")
    lines.insert(len(lines) // 2, b"1,2026-01-05," + quote + bytes(cell) + quote + b",x,1,2,z")
    return b"\n".join(lines)


def with_open_quotes(data: bytes, generator: np.random.Generator) -> bytes:
    """Quotes that nobody closes."""
    array = bytearray(data)
    for place in generator.integers(len(array), size=int(generator.integers(1, 6))):
        array[int(place)] = ord('"')
    return bytes(array)


def with_odd_signs(data: bytes, generator: np.random.Generator) -> bytes:
    """Marks that turn the line around, formulas and control characters in cells and header."""
    signs = [
        "\u202e",
        "\u200f",
        "\ufeff",
        "=cmd|'/C calc'!A0",
        "@SUM(1)",
        "\x1b[31m",
        "\u2028",
        "''; DROP TABLE lines; --",
    ]
    lines = data.decode("utf-8", "replace").split("\n")
    for _ in range(int(generator.integers(1, 20))):
        place = int(generator.integers(len(lines)))
        cells = lines[place].split(",")
        cells[int(generator.integers(len(cells)))] = str(generator.choice(signs))
        lines[place] = ",".join(cells)
    return "\n".join(lines).encode("utf-8")


def with_absurd_values(data: bytes, generator: np.random.Generator) -> bytes:
    """Numbers and dates that no shop has."""
    odd = [
        "1e400",
        "-1e308",
        "NaN",
        "inf",
        "9" * 400,
        "0x10",
        "1_000",
        "31/02/2026",
        "9999-99-99",
        "-5",
        "#DIV/0!",
        "#N/A",
        "٣",
    ]
    lines = data.decode("utf-8", "replace").split("\n")
    for _ in range(int(generator.integers(1, 40))):
        place = int(generator.integers(1, len(lines)))
        cells = lines[place].split(",")
        cells[int(generator.integers(len(cells)))] = str(generator.choice(odd))
        lines[place] = ",".join(cells)
    return "\n".join(lines).encode("utf-8")


def with_odd_rows(data: bytes, generator: np.random.Generator) -> bytes:
    """Rows of other lengths, other line ends, other separators, blank rows, a header twice."""
    ends = [b"\r\n", b"\r", b"\n\n", b"\n"]
    lines = data.split(b"\n")
    for _ in range(int(generator.integers(1, 20))):
        place = int(generator.integers(len(lines)))
        change = int(generator.integers(4))
        line = lines[place]
        lines[place] = [line + b",,,", line.replace(b",", b";"), line.rpartition(b",")[0], lines[0]][change]
    return ends[int(generator.integers(len(ends)))].join(lines)


def with_a_broken_header(data: bytes, generator: np.random.Generator) -> bytes:
    """A header that is missing, repeated, empty or of one column."""
    _, _, rest = data.partition(b"\n")
    header = [b"", b",,,,,,", b"a,a,a,a,a,a,a", b"sku", HEADER.upper().encode(), b"\xff\xfe", b'"order_id', b"sep=;"]
    return header[int(generator.integers(len(header)))] + b"\n" + rest


BREAKS: tuple[Break, ...] = (
    *(flip, cut, with_zeros, of_chance, in_a_strange_encoding, with_many_columns, with_open_quotes, with_odd_signs),
    *(with_absurd_values, with_odd_rows, with_a_broken_header, with_a_huge_cell),
)


def write_malformed(folder: Path, seed: int) -> Path:
    """Write the malformed export number ``seed`` to ``folder``; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    table = ("orders", "sales_data")[int(generator.random() < 0.2)]
    data = plain(generator, table)
    for _ in range(int(generator.integers(1, 3))):
        data = BREAKS[seed % len(BREAKS)](data, generator) or b"\n"
    kind = int(generator.integers(8))
    if kind == 0:
        packed = gzip.compress(data[:2_000_000])
        packed = cut(packed, generator) if generator.random() < 0.5 else flip(packed, generator)
        path = folder / f"{table}.csv.gz"
        path.write_bytes(packed)
    elif kind == 1:
        path = folder / f"{table}.xlsx"
        write_workbook(path, generator)
    elif kind == 2:
        stream = io.BytesIO()
        pd.read_csv(io.BytesIO(plain(generator, table))).to_parquet(stream, index=False)
        path = folder / f"{table}.parquet"
        path.write_bytes(BREAKS[seed % 4](stream.getvalue(), generator))
    else:
        path = folder / f"{table}.csv"
        path.write_bytes(data)
    return path


def write_workbook(path: Path, generator: np.random.Generator) -> None:
    """A workbook that holds errors, a cell far away, broken XML, or that is none."""
    rows: list[list[Any]] = [
        HEADER.split(","),
        *([f"o{row}", "2026-01-05 10:00", "A", "x", 1, 2.5, "c"] for row in range(30)),
    ]
    far = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    wrong = '<row r="40"><c r="E40" t="e"><v>#DIV/0!</v></c><c r="F40" t="e"><f>1/0</f><v>#N/A</v></c></row>'
    formula = '<row r="40"><c r="A40" t="str"><f>HYPERLINK("http://localhost/","x")</f><v>x</v></c></row>'
    raw = ("", far, wrong, formula, "<row", "</sheetData>")[int(generator.integers(6))]
    write_xlsx(path, rows, raw_cells=raw)
    kind = generator.random()
    if kind < 0.2:
        path.write_bytes(cut(path.read_bytes(), generator))
    elif kind < 0.4:
        path.write_bytes(flip(path.read_bytes(), generator))
    elif kind < 0.5:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("xl/workbook.xml", "<a>" + "&b;" * 1000)
    elif kind < 0.55:
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
            file.writestr("xl/worksheets/sheet9.xml", b" " * 200_000_000)
