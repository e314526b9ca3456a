"""A sheet whose cells lie far apart is refused before its whole rectangle is held, however places are spelled."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

KIND = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
READ = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from flashsim.data.exports.workbook import write_sheet
from flashsim.errors import InputError
book = Path(sys.argv[1])
try:
    write_sheet(book, book.with_suffix(".csv"), sheet=None, original=book)
    print(book.with_suffix(".csv").read_text())
except InputError as error:
    print("refused:", error)
"""
FAR = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
WIDE = "<row>" + "<c><v>1</v></c>" * 16_384 + "</row>"
SHEETS = {
    "apostrophes": (FAR.replace('"', "'"), "worksheets"),
    "another folder": (FAR, "tables"),
    "small letters": (FAR.replace("XFD", "xfd"), "worksheets"),
    "spaces": (FAR.replace('r="XFD', 'r  = \n "XFD'), "worksheets"),
    "a place cut by a chunk": (FAR.replace('r="XFD', "r" + " " * (1 << 20) + '="XFD'), "worksheets"),
    "rows alone have places": (WIDE + '<row r="1048576"><c><v>1</v></c></row>', "worksheets"),
    "no places": (WIDE + "<row><c><v>1</v></c></row>" * 10_000, "worksheets"),
    "numbers beyond any sheet": ('<row><c r="ZZZZZZZZZ99999999999"><v>1</v></c></row>', "worksheets"),
}


def write_book(path: Path, rows: str, folder: str) -> None:
    sheet = f"{folder}/sheet1.xml"
    parts = {
        "_rels/.rels": f'<Relationships><Relationship Id="r1" Type="{KIND}/officeDocument" Target="xl/workbook.xml"/>'
        "</Relationships>",
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{KIND}"><sheets><sheet name="a" sheetId="1" r:id="r1"/>'
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships><Relationship Id="r1" Type="{KIND}/worksheet" Target="{sheet}"/>'
        "</Relationships>",
        f"xl/{sheet}": f'<worksheet xmlns="{MAIN}"><sheetData>{rows}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, text in parts.items():
            book.writestr(name, text)


def read(path: Path) -> str:
    """What a process of its own with little memory says of a workbook."""
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr[-500:]
    return done.stdout


@pytest.mark.parametrize("name", SHEETS)
def test_cells_far_apart_are_refused_however_their_places_are_spelled(tmp_path: Path, name: str) -> None:
    write_book(tmp_path / "orders.xlsx", *SHEETS[name])
    assert "delete what lies apart from the table" in read(tmp_path / "orders.xlsx")


def test_a_sheet_without_places_in_a_folder_of_its_own_is_read(tmp_path: Path) -> None:
    write_book(
        tmp_path / "orders.xlsx", "<row><c><v>1</v></c><c><v>2</v></c></row><row><c><v>3</v></c></row>", "tables"
    )
    assert read(tmp_path / "orders.xlsx").split() == ["1,2", "3,"]
