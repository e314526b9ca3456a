"""Learn a World from shop data and save it, or refresh one with new days.

python -m experiments.calibrate                # the full calibration on Complete Journey
python -m experiments.calibrate world.data=FOLDER world.seed=1 output=outputs/calibrate/mine
python -m experiments.calibrate data=csv data.folder=FOLDER data.preset=shopify           # a shop's export of orders
python -m experiments.calibrate data=csv data.folder=FOLDER data.mapping=FILE.yaml        # your own tables
python -m experiments.calibrate from_world=WORLD data=csv data.folder=NEW_DAYS            # refresh a World
python -m experiments.calibrate latency=loopback latency.servers=4 latency.mean_service_s=0.04     # measure servers

Your own tables are orders (or sales_data), traffic_data, user_behavior, support_tickets and events, any of them, as
.csv, .csv.gz, .xlsx or .parquet. Presets know the columns of shopify, woocommerce, taobao and tmall; a mapping says how
others are spelled (flashsim/data/shop_folder.py). How a file is written is detected and told. What they do not tell
comes from ``world.folder``, or from the World that the package ships. Rows that break a schema are in
``quarantine.csv``, what became of all rows is in ``rows.csv``, where each field came from is in ``fields.csv``;
``data.html`` shows what the tables tell of each product, on what evidence, and what is missing. ``fidelity.json`` is
the World's fidelity card: the last weeks of a table of 90 days or more, simulated by a World that has not seen them.

Where no table tells the response times of servers they are assumed, or those of the base World. ``latency=loopback``
puts a small server of this machine under a bounded load instead (flashsim/models/traffic/loopback.py; half a minute)
and prints the fit with its residuals; as times are measured, such a World differs a little from run to run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from omegaconf import MISSING

from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from experiments.launch.progress import progress_by_stage
from experiments.pipeline.compare import score_rows
from experiments.pipeline.prepare import cores, say
from experiments.pipeline.worlds import WorldConfig, calibrate_world, call_uncalibrated, load_world
from flashsim.errors import InputError
from flashsim.files import write_json, write_table
from flashsim.models.traffic.loopback import Load
from flashsim.world import World, shipped_world
from flashsim.yaml_file import read_yaml

if TYPE_CHECKING:
    from flashsim.data.shop_folder import ShopMapping
    from flashsim.data.shop_tables import CheckedTables


@dataclass(frozen=True)
class DataConfig:
    """Complete Journey, of which ``world.data`` may name a copy."""


@dataclass(frozen=True)
class CsvConfig(DataConfig):
    """A shop's own tables."""

    folder: str = MISSING
    """Folder that holds them."""
    mapping: str | None = None
    """YAML file that says how they are spelled; none: as the names used here."""
    preset: str | None = None
    """Shop system that exported the orders: shopify, woocommerce, taobao or tmall; none: as the mapping says."""
    stores: str | None = None
    """Store whose orders are taken, or all; none: as the mapping says, and several are refused."""
    currency: str | None = None
    """ISO 4217 code of the orders that are taken; none: as the mapping says, and several are refused."""
    most_quarantined: float = 0.05
    """Largest share of a table's rows that may break its schema; above it the run stops."""


@dataclass(frozen=True)
class LatencyConfig:
    """Servers of which no table tells are assumed, or those of the base World."""


@dataclass(frozen=True)
class LoopbackConfig(LatencyConfig, Load):
    """They are measured on a small server of this machine under a bounded load."""


@dataclass(frozen=True)
class CalibrateConfig:
    """Everything that a calibration depends on."""

    world: WorldConfig = field(default_factory=lambda: WorldConfig(quick=False))
    data: DataConfig = field(default_factory=DataConfig)
    latency: LatencyConfig = field(default_factory=LatencyConfig)
    from_world: str | None = None
    """A World to refresh with the days of ``data``."""
    output: str = dated("calibrate")


@entry(
    "calibrate",
    CalibrateConfig,
    options={
        "data": {"complete_journey": DataConfig, "csv": CsvConfig},
        "latency": {"assumed": LatencyConfig, "loopback": LoopbackConfig},
    },
)
def main(config: CalibrateConfig, folder: RunFolder) -> None:
    """Calibrate or refresh, save the World with the account of rows, and say where they are."""
    if isinstance(config.data, CsvConfig):
        world = world_of_own_tables(config, config.data, folder)
    else:
        world = world_of_complete_journey(config, folder)
    tell_servers(world)
    if "fidelity" in world.provenance:
        write_json(folder.path / "fidelity.json", world.provenance["fidelity"])
    folder.record(seeds={"calibration": config.world.seed}, data={"world": world.fingerprint()})
    print(f"World: {folder.path / 'world'}", flush=True)


def world_of_complete_journey(config: CalibrateConfig, folder: RunFolder) -> World:
    """The full calibration, with its scores."""
    from flashsim.calibration.site import SiteRecords

    if config.from_world is not None:
        raise InputError(
            f"from_world={config.from_world} needs new days: give them as data=csv data.folder=FOLDER, or leave it out"
        )
    if config.world.folder is not None:
        raise InputError(f"world.folder: a calibration makes a World, got {config.world.folder!r}; leave it out")
    site = SiteRecords(load=load_of(config))
    world = calibrate_world(config.world, folder, why="experiments.calibrate was called", site=site)
    write_rows(folder, "scores", score_rows(world))
    write_rows(folder, "rows", world.provenance.get("rows", []))
    print(pd.DataFrame(score_rows(world)).to_string(index=False), flush=True)
    return world


def world_of_own_tables(config: CalibrateConfig, data: CsvConfig, folder: RunFolder) -> World:
    """A World of a shop's own tables, or one refreshed with them."""
    from flashsim.calibration.refresh import refresh_world
    from flashsim.calibration.shop_tables import learn_world
    from flashsim.data.shop_tables import read_shop_tables

    if config.from_world is not None and config.world.folder is not None:
        raise InputError(
            "from_world is the World to refresh, world.folder the one that a calibration rests on; give one"
        )
    if config.from_world is not None and load_of(config) is not None:
        raise InputError("latency=loopback: an update keeps the servers of its World; leave it out, or calibrate anew")
    source = config.from_world or config.world.folder
    base = shipped_world() if source is None else load_world(source, config.world)
    known = config.from_world is not None
    quarantine = folder.path / "quarantine.csv"
    with folder.timed("reading tables"), progress_by_stage() as progress:
        own = read_shop_tables(
            Path(data.folder),
            mapping_of(data),
            most_quarantined=data.most_quarantined,
            quarantine_file=quarantine,
            known_price=dict(zip(base.product_ids, base.list_price.tolist(), strict=True)) if known else None,
            progress=progress,
        )
    with folder.timed("update" if known else "calibration"):
        if known:
            world, levels = refresh_world(base, own, seed=config.world.seed)
            write_rows(folder, "levels", levels)
        else:
            with progress_by_stage() as progress:
                world = learn_world(
                    own, base, seed=config.world.seed, load=load_of(config), progress=progress, workers=cores()
                )
            write_rows(
                folder, "fields", [{"field": name, "from": words} for name, words in world.provenance["fields"].items()]
            )
            write_rows(folder, "products", world.provenance["products"])
            show_data(world, own, folder)
    call_uncalibrated(world).save(folder.path / "world")
    account = world.provenance["updates"][-1] if known else world.provenance
    write_rows(folder, "rows", account["rows"])
    tell_rows(account, quarantine=quarantine if own.quarantine.cells else None)
    if known:
        print(levels.round(3).to_string(index=False), flush=True)
    else:
        tell_what_is_not_learned(world)
    return world


def show_data(world: World, own: "CheckedTables", folder: RunFolder) -> None:
    """Write the page that shows what the tables tell, and say where it is."""
    from flashsim.report import DataFacts, write_data_page

    columns = set() if own.sales is None else set(own.sales.columns)
    facts = DataFacts(
        world,
        own.sales,
        examples=[cell._asdict() for cell in own.quarantine.cells],
        has_stock=bool({"stock", "stock_out"} & columns),
    )
    say(f"what the data tell, with gaps and what is missing: {write_data_page(folder.path, facts)}")


def load_of(config: CalibrateConfig) -> Load | None:
    """The load under which a server of this machine is measured; None where it is not to be."""
    return config.latency if isinstance(config.latency, LoopbackConfig) else None


def mapping_in(path: str | None) -> "ShopMapping":
    """The mapping in a YAML file; InputError when it cannot be read."""
    from flashsim.data.shop_folder import ShopMapping, read_mapping

    if path is None:
        return ShopMapping()
    try:
        raw = read_yaml(Path(path))
    except InputError as error:
        raise InputError(f"data.mapping: {path} {error}") from error
    return read_mapping(raw, source=path)


def mapping_of(data: CsvConfig) -> "ShopMapping":
    """The mapping in the file that ``data`` names, with what the command line says of orders."""
    from flashsim.data.orders.options import check_preset

    mapping = mapping_in(data.mapping)
    preset = None if data.preset is None else check_preset(data.preset, what="data.preset")
    given = mapping.of("orders").orders.preset
    if preset is not None and given is not None and preset != given:
        raise InputError(f"data.preset is {preset}, {data.mapping} says orders: {{preset: {given}}}; give one of them")
    return mapping.with_orders(preset=preset, stores=data.stores, currency=data.currency)


def tell_rows(account: Mapping[str, Any], *, quarantine: Path | None) -> None:
    """Say what became of the rows, a line each; ``quarantine`` is the file of those set apart, if any were."""
    for row in account["rows"]:
        say(f"{row['table']}: {row['rows']} rows {row['what']}")
    if quarantine is not None:
        say(f"the rows set apart, with column, value and reason: {quarantine}")
    for words in account["notes"]:
        say(words)


def tell_what_is_not_learned(world: World) -> None:
    """Say what the tables do not tell, by the fidelity card, a line each."""
    for words in world.provenance["fidelity"]["not_identified"]:
        say(f"not learned: {words}")


def tell_servers(world: World) -> None:
    """Say how well the queue fits the response times that the servers were learned from, if they were."""
    servers = world.provenance.get("site", {}).get("servers", {})
    for words in servers.get("fit", ()):
        say(f"servers, from {servers['source']}: {words}")


def write_rows(folder: RunFolder, name: str, rows: list[dict[str, Any]] | pd.DataFrame) -> None:
    """Write records as a CSV file of the run."""
    write_table(folder.path / f"{name}.csv", pd.DataFrame(rows))


if __name__ == "__main__":
    main()
