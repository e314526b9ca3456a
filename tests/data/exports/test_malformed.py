"""A file that cannot be used ends in one sentence: no traceback, little memory, nothing left behind."""

import gzip
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flashsim.data.exports.snapshot import scratch_folder
from flashsim.data.orders.lines import open_database
from flashsim.data.shop_folder import ShopMapping
from flashsim.data.shop_tables import read_shop_tables
from flashsim.errors import InputError
from tests.data.exports.malformed import BREAKS

CHECK = """
import resource, sys, tempfile
from pathlib import Path
from flashsim.data.shop_folder import ShopMapping
from flashsim.data.shop_tables import read_shop_tables
from flashsim.errors import InputError
from tests.data.exports.malformed import write_malformed
folder, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
tempfile.tempdir = str(folder / "scratch")
Path(tempfile.tempdir).mkdir()
for seed in range(first, last):
    path = write_malformed(folder / str(seed), seed)
    out = folder / str(seed) / "out" / "quarantine.csv"
    try:
        read_shop_tables(path.parent, ShopMapping(), most_quarantined=0.05, quarantine_file=out)
        print(seed, "read")
    except InputError as error:
        sentence = str(error)
        assert 20 < len(sentence) < 2000, (seed, sentence)
        assert "\\n" not in sentence, (seed, sentence)
        assert "Traceback" not in sentence, seed
        print(seed, ascii(sentence)[:300])
    assert list(Path(tempfile.tempdir).iterdir()) == [], seed
    left = {item.name for item in path.parent.iterdir()} - {path.name, "out"}
    assert not left, (seed, left)
    path.unlink()
print("MiB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def check(folder: Path, first: int, last: int) -> str:
    """Read malformed files in a process of their own; what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(folder), str(first), str(last)],
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-3000:]
    assert done.stderr == ""
    assert int(done.stdout.split()[-1]) < 1500
    return done.stdout


def test_each_kind_of_malformed_file_ends_in_a_sentence(tmp_path: Path) -> None:
    assert check(tmp_path, 0, 3 * len(BREAKS)).count("\n") == 3 * len(BREAKS) + 1


@pytest.mark.slow
def test_five_hundred_malformed_files_end_in_a_sentence(tmp_path: Path) -> None:
    assert check(tmp_path, 36, 536).count("\n") == 501


def test_the_database_reaches_no_other_file_no_network_and_no_extension(tmp_path: Path) -> None:
    import duckdb  # noqa: PLC0415

    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    with scratch_folder() as scratch, open_database(scratch) as database:
        for attempt in (
            f"SELECT * FROM read_csv('{secret}')",
            f"SELECT * FROM '{secret}'",
            f"COPY (SELECT 1) TO '{tmp_path / 'out.csv'}'",
            f"ATTACH '{tmp_path / 'other.db'}'",
            "SELECT * FROM read_csv('http://localhost:1/x.csv')",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access = true",
            "SET allowed_directories = ['/']",
        ):
            with pytest.raises(duckdb.Error):
                database.execute(attempt)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.csv"]


@pytest.mark.parametrize(
    "name", ["orders*.csv", "o[r]ders.csv", "orders'; DROP TABLE lines; --.csv", 'a"b.csv', "öl.csv", "-.csv"]
)
def test_a_hostile_name_of_a_file_or_column_is_a_name_alone(tmp_path: Path, name: str) -> None:
    header = 'order_id,date,sku,qty,price,"x\'); DROP TABLE lines; --","y""z"\n'
    rows = "".join(f"o{day},2026-01-{day:02d} 10:00,'; SELECT 1; --,1,2.50,a,b\n" for day in range(1, 32))
    (tmp_path / name).write_text(header + rows, encoding="utf-8")
    from flashsim.data.shop_folder import read_mapping  # noqa: PLC0415

    mapping = read_mapping({"orders": {"file": name}}, source="map.yaml")
    shop = read_shop_tables(tmp_path, mapping, most_quarantined=0.0, quarantine_file=tmp_path / "q.csv")
    assert shop.sales is not None
    assert shop.sales["product_id"].unique().tolist() == ["'; SELECT 1; --"]
    assert shop.sales["sales"].sum() == 31.0


def test_a_packed_file_that_unpacks_to_very_much_is_refused_early(tmp_path: Path) -> None:
    (tmp_path / "orders.csv.gz").write_bytes(gzip.compress(b"a" * 50_000_000))
    with pytest.raises(InputError, match="has a line of more than 1,048,576 bytes"):
        read_shop_tables(tmp_path, ShopMapping(), most_quarantined=0.05, quarantine_file=tmp_path / "q.csv")


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("date,sku,qty,price\n" + "2026-01-05,A,1,2\n" * 50, encoding="utf-8")

    def grow(stage: str, *_: int) -> None:
        if stage.startswith("reading orders.csv"):
            with path.open("a", encoding="utf-8") as file:
                file.write("2026-01-06,A,1,2\n")

    with pytest.raises(InputError, match="changed while it was read; wait until the export has ended"):
        read_shop_tables(
            tmp_path, ShopMapping(), most_quarantined=0.05, quarantine_file=tmp_path / "q.csv", progress=grow
        )


def test_ctrl_c_leaves_no_copies_behind(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "scratch").mkdir()
    with (tmp_path / "shop" / "orders.csv").open("w", encoding="utf-8") as file:
        file.write("order_id,date,sku,qty,price\n")
        file.writelines(f"{n},2026-01-{n % 28 + 1:02d} 10:{n % 60:02d}:00,SKU{n % 900},1,2.5\n" for n in range(600_000))
    code = (
        "import sys, tempfile\nfrom pathlib import Path\ntempfile.tempdir = sys.argv[2]\n"
        "from flashsim.data.shop_folder import ShopMapping\nfrom flashsim.data.shop_tables import read_shop_tables\n"
        "read_shop_tables(Path(sys.argv[1]), ShopMapping(), most_quarantined=0.05, quarantine_file=Path('q.csv'), "
        "progress=lambda stage, done, total: print(stage, flush=True))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "shop"), str(tmp_path / "scratch")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith("reading order lines"):
                break
        time.sleep(0.3)
        assert list((tmp_path / "scratch").iterdir())
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=120) != 0
    assert list((tmp_path / "scratch").iterdir()) == []
