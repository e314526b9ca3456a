"""A shop's own tables through the program: a World, a refreshed World, and one sentence for what cannot be used."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flashsim.scenarios import Scenario
from flashsim.world import World
from tests.data.exports.made_orders import Dialect, make_lines, spelled, write
from tests.data.exports.made_systems import shopify
from tests.data.made_shop import make_behavior, make_sales, make_traffic, write_tables
from tests.experiments.programs import Start, files, starter
from tests.worlds import make_world

OWN = ("calibrate", "data=csv", "world.folder=base")
MAPPING = """\
name: Corner shop
time_zone: Europe/Berlin
currency: EUR
sales_data:
  columns: {product_id: sku, sales: qty}
  scale: {price: 0.01}
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Starts programs in a folder with a base World of two members and a shop of 60 days."""
    make_world(products=2, members=2, product_ids=("b0", "b1")).save(tmp_path / "base")
    write_tables(tmp_path / "shop", sales_data=make_sales(60), traffic_data=make_traffic(35))
    return starter(monkeypatch, capsys, tmp_path)


def rows_of(path: str) -> dict[str, str]:
    """First column to last, of a CSV file."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return {row[0] if len(row) == 2 else f"{row[0]} {row[1]}": row[-1] for row in list(csv.reader(file))[1:]}


def refusal(start: Start, *arguments: str) -> str:
    """The sentence with which the program refuses."""
    ended = start(*arguments, "output=refused")
    assert ended.code == 2, ended
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    return ended.stderr.removeprefix("error: ").strip()


def test_own_tables_make_a_world_and_its_record(start: Start) -> None:
    ended = start(*OWN, "data.folder=shop", "output=out")
    assert ended.code == 0, ended.stderr
    assert ended.stdout.strip().splitlines()[-1] == "World: out/world"
    world = World.load(Path("out/world"))
    assert world.product_ids == ("p0", "p1", "p2")
    names = {"config.yaml", "run.json", "timings.json", "fidelity.json", "fields.csv", "products.csv", "rows.csv"}
    assert files(Path("out")) == names | {"data.html", "world/world.json", "world/world.safetensors"}
    fields = rows_of("out/fields.csv")
    assert fields["list_price"].startswith("sales_data: ")
    assert fields["traffic_share"].startswith("base World: ")
    assert rows_of("out/rows.csv") == {
        "sales_data read": "180",
        "sales_data kept": "180",
        "traffic_data read": "5040",
        "traffic_data kept": "5040",
    }
    assert json.loads(Path("out/fidelity.json").read_text(encoding="utf-8")) == world.provenance["fidelity"]
    assert "(uncalibrated): none of the 13 lines of its fidelity card was judged" in ended.stdout
    assert (
        "· not learned: response to price of p2: base World, all products: p2 was sold at one price, 11" in ended.stdout
    )
    assert json.loads(Path("out/run.json").read_text())["data"]["world"] == world.fingerprint()
    Scenario(world=world, name="sale", story="A sale on one's own numbers.", ticks=10, depths=(0.0, 0.2)).compile()


def test_a_mapping_spells_the_tables_and_gives_the_same_world(start: Start) -> None:
    theirs = make_sales(60).rename(columns={"product_id": "sku", "sales": "qty"})
    write_tables(Path("theirs"), sales_data=theirs.assign(price=(100.0 * theirs["price"]).round().astype(int)))
    write_tables(Path("ours"), sales_data=make_sales(60))
    Path("mapping.yaml").write_text(MAPPING, encoding="utf-8")
    assert start(*OWN, "data.folder=theirs", "data.mapping=mapping.yaml", "output=one").code == 0
    assert start(*OWN, "data.folder=ours", "output=two").code == 0
    one, two = World.load(Path("one/world")), World.load(Path("two/world"))
    assert (one.name, one.currency) == ("Corner shop, 3 products", "EUR")
    np.testing.assert_allclose(one.units_per_minute, two.units_per_minute, rtol=1e-4)


def test_a_world_is_refreshed_with_a_new_day(start: Start) -> None:
    assert start(*OWN, "data.folder=shop", "output=out").code == 0
    day = write_tables(Path("day"), sales_data=make_sales(1, first="2026-03-06", seed=5))
    update = ("calibrate", "from_world=out/world", "data=csv", f"data.folder={day}")
    ended = start(*update, "output=new")
    assert ended.code == 0, ended.stderr
    before, after = World.load(Path("out/world")), World.load(Path("new/world"))
    ratio = after.units_per_minute.sum(axis=(1, 3, 4)) / before.units_per_minute.sum(axis=(1, 3, 4))
    assert ((ratio > 0.85) & (ratio < 1.15)).all()
    assert (ratio != 1.0).any()
    assert after.provenance["updates"][0]["files"] == {"sales_data": "sales_data.csv"}
    assert pd.read_csv("new/levels.csv")["product_id"].tolist() == ["p0", "p1", "p2"]
    card = json.loads(Path("new/fidelity.json").read_text(encoding="utf-8"))
    units = make_sales(1, first="2026-03-06", seed=5)["sales"].sum()
    assert card["updates"].startswith(f"1 update since (2026-03-06 to 2026-03-06): {units} units were sold, ")
    assert card == after.provenance["fidelity"]
    assert {name: part for name, part in card.items() if name != "updates"} == before.provenance["fidelity"]
    again = refusal(start, "calibrate", "from_world=new/world", "data=csv", f"data.folder={day}")
    assert again == "sales_data.csv is in the World already, to the last byte; bring days that are new"


def test_servers_are_measured_on_a_loopback_server_where_that_is_asked_for(start: Start) -> None:
    """Services of 20 ms: 3000 a minute; a busy machine answers more slowly than it was told to."""
    write_tables(Path("sales"), sales_data=make_sales(60))
    load = ("latency=loopback", "latency.mean_service_s=0.02", "latency.ticks=16", "latency.tick_s=0.25")
    ended = start(*OWN, "data.folder=sales", *load, "output=out")
    assert ended.code == 0, ended.stderr
    world = World.load(Path("out/world"))
    assert 0.4 * 3000.0 < world.service_rate < 1.3 * 3000.0
    assert world.provenance["sources"]["service_rate"] == "loopback"
    assert world.provenance["sources"]["rush_amplitude"] == "base World"
    assert "service_rate" not in {row["field"] for row in world.provenance["fidelity"]["fell_back"]}
    assert "· servers, from a loopback server under a bounded load: measured over fitted response time" in ended.stdout
    assert "servers: no traffic_data was given; they are those of a loopback server" in ended.stdout


def test_broken_rows_go_to_a_file_and_too_many_stop_the_run_but_leave_it(start: Start) -> None:
    sales = make_sales(60).astype(str)
    sales.loc[3, "price"] = "free"
    write_tables(Path("few"), sales_data=sales)
    ended = start(*OWN, "data.folder=few", "output=out")
    assert ended.code == 0, ended.stderr
    table = pd.read_csv("out/quarantine.csv")
    assert table.iloc[0].tolist() == ["sales_data", "sales_data.csv", 5, "price", "free", "is not a number"]
    assert "· sales_data: 1 rows dropped: quarantined: breaks the schema" in ended.stdout
    words = refusal(start, *OWN, "data.folder=few", "data.most_quarantined=0.001")
    assert words.startswith("few/sales_data.csv: 1 of 180 rows (0.6%) cannot be used, at most 0.1% may; ")
    assert "refused/quarantine.csv" in words
    assert len(pd.read_csv("refused/quarantine.csv")) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("data=csv",), "data.folder has no default: give it as data.folder=VALUE"),
        (("data=cvs",), "did you mean data=csv?"),
        (("data=csv", "data.folder=nowhere"), "data.folder: the folder nowhere does not exist; check the path"),
        (("data=csv", "data.folder=shop", "data.mapping=none.yaml"), "data.mapping: none.yaml cannot be read"),
        (("data=csv", "data.folder=shop", "data.mapping=shop"), "data.mapping: shop cannot be read"),
        (("data=csv", "data.folder=shop", "data.preset=shopfy"), "no preset 'shopfy'; did you mean 'shopify'?"),
        (("data=csv", "data.folder=shop", "data.preset=tmall"), "of which file are the orders? It holds none"),
        (("data=csv", "data.folder=shop", "data.most_quarantined=2"), "must be a share from 0 to 1, got 2.0"),
        (("data=csv", "data.folder=shop", "world.folder=nowhere"), "nowhere"),
        (("data=csv", "data.folder=shop", "world.seed=-1"), "seed must be a whole number from 0 to 2^63 - 1, got -1"),
        (("data=csv", "data.folder=shop", "world.folder=base", "from_world=base"), "give one"),
        (("data=csv", "data.folder=shop", "from_world=base", "latency=loopback"), "an update keeps the servers of its"),
        (("data=csv", "data.folder=shop", "latency=loopback", "latency.servers=0"), "servers must be a whole number"),
        (("data=csv", "data.folder=shop", "latency.servers=4"), "latency.servers"),
        (("latency=loopbak",), "did you mean latency=loopback?"),
        (("from_world=base",), "from_world=base needs new days: give them as data=csv data.folder=FOLDER"),
        (("data=csv", "data.folder=shop", "from_world=base"), "of no product of the World (b0, b1, …)"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_one_sentence(start: Start, arguments: tuple[str, ...], words: str) -> None:
    assert words in refusal(start, "calibrate", *arguments)
    assert not Path("refused").exists()


def test_an_export_of_orders_makes_a_world_and_says_what_was_detected(start: Start) -> None:
    dialect = Dialect(";", ",", ".", "cp1252", "%d.%m.%Y %H:%M", sign="€ ")
    write(Path("till"), shopify(make_lines()), Dialect(), name="orders_export")
    ended = start(*OWN, "data.folder=till", "data.preset=shopify", "output=out")
    assert ended.code == 0, ended.stderr
    assert "orders: 4" in ended.stdout or "orders: 5" in ended.stdout
    world = World.load(Path("out/world"))
    assert world.product_ids == ("BEANS", "LATTE", "MOCHA")
    assert world.currency == "EUR"
    assert "orders" in world.provenance["sources"]["units_per_minute"]
    hours = world.units_per_minute.sum(axis=(0, 1, 2, 3))
    assert hours[8:21].sum() > 0.95 * hours.sum()
    write(Path("laden"), spelled(make_lines(), dialect), dialect)
    other = start(*OWN, "data.folder=laden", "output=other")
    assert other.code == 0, other.stderr
    assert "separator semicolon" in other.stdout
    assert "decimal comma" in other.stdout
    Path("two.yaml").write_text("orders: {preset: taobao}\n", encoding="utf-8")
    both = refusal(start, *OWN, "data.folder=till", "data.preset=shopify", "data.mapping=two.yaml")
    assert "data.preset is shopify, two.yaml says orders: {preset: taobao}; give one of them" in both


def test_a_mapping_that_is_not_yaml_is_one_sentence(start: Start) -> None:
    Path("broken.yaml").write_text("sales_data: [\n", encoding="utf-8")
    assert "data.mapping: broken.yaml is not YAML" in refusal(
        start, *OWN, "data.folder=shop", "data.mapping=broken.yaml"
    )


@pytest.mark.slow
def test_on_the_shipped_world_as_a_process_without_a_warning(tmp_path: Path) -> None:
    write_tables(tmp_path / "shop", sales_data=make_sales(84), user_behavior=make_behavior(84))
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-m",
            "experiments.calibrate",
            "data=csv",
            f"data.folder={tmp_path / 'shop'}",
            f"output={tmp_path / 'out'}",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    assert World.load(tmp_path / "out" / "world").provenance["base"]["name"].startswith("Complete Journey")
