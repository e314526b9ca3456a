"""The stages before an evaluation: World, sale, trained policies, baselines; and their configs."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing import connection
from pathlib import Path
from typing import Any

import pandas as pd

from agents.bandits import BANDITS
from agents.export import export
from agents.learners import train
from agents.settings import AgentConfig
from experiments.launch.outputs import RunFolder
from experiments.launch.progress import progress_meter
from flashsim.calibration.complete_journey import FULL, QUICK, calibrate
from flashsim.calibration.site import SiteRecords
from flashsim.data.sources import complete_journey
from flashsim.data.subsets import HALF_YEARS, view_of
from flashsim.errors import InputError
from flashsim.evaluation.limits.exact import exact_value
from flashsim.evaluation.probes.closure import closure_table
from flashsim.files import write_json, write_table
from flashsim.planning import BASELINES, SEARCH_SEED, Field
from flashsim.policies.bundle import NetworkPolicy, Policy
from flashsim.reference import REFERENCE_SALES, ReferenceSale, solve, table_file
from flashsim.rules import Operations
from flashsim.scenarios import Scenario, check_scenario_name, scenario_named
from flashsim.scenarios.compiled import CompiledSale
from flashsim.world import World

RIVALS = BASELINES | BANDITS
"""Every baseline by name, bandits among them."""
DESCRIPTIONS = {name: rival.description for name, rival in RIVALS.items()}
"""One line on every baseline."""
FROM_TABLE = "reference"  # the name of a sale that comes from a file


@dataclass(frozen=True)
class WorldConfig:
    """Which World the sale is on."""

    folder: str | None = None
    """A saved World; none: calibrate one from Complete Journey."""
    data: str | None = None
    """Folder of the three tables; none: those in the installed package."""
    view: str = "all"
    """Part of the tables: all, early_weeks, later_weeks, home_stores or other_stores (flashsim/data/subsets.py)."""
    quick: bool = True
    """Fit the ensemble without spread of its own estimates (half a minute); false: the full calibration."""
    seed: int = 0
    """Of the bootstrap that makes the members."""


@dataclass(frozen=True)
class ScenarioConfig:
    """Which sale, and what shall differ from the sale of that name (null: nothing)."""

    name: str = "grocery_evening"
    """A named scenario, a reference sale (g0, g1, g3, j1, j1_lag1, j1_lag2), or reference for that in ``table``."""
    table: str | None = None
    """JSON file with the arguments of a menu sale or a joint sale (``flashsim.reference.table_file``)."""
    ticks: int | None = None
    start_minute: int | None = None
    weekday: int | None = None
    stock_cover: float | None = None
    salvage_share: float | None = None
    depths: tuple[float, ...] | None = None
    allow_extrapolation: bool | None = None


def obtain_world(config: WorldConfig, folder: RunFolder, *, site: SiteRecords | None = None) -> World:
    """The saved World, or one calibrated now, with what ``site`` tells, and saved to ``world`` in the run's folder."""
    if config.folder is not None:
        return call_uncalibrated(World.load(Path(config.folder)))
    tables = view_of(complete_journey(None if config.data is None else Path(config.data)), config.view)
    full = QUICK if config.quick else FULL
    settings = replace(full, heldout_weeks=full.heldout_weeks // 2) if config.view in HALF_YEARS else full
    with folder.timed("calibration"):
        world = calibrate(tables, seed=config.seed, settings=settings, site=site, progress=stage_progress())
    world.save(folder.path / "world")
    return call_uncalibrated(world)


def call_uncalibrated(world: World) -> World:
    """Say why ``world`` is uncalibrated, if it is, and hand it on."""
    for reason in world.uncalibrated_because:
        say(f"{world.title}: {reason}")
    return world


def stage_progress() -> Callable[[str, int, int], None]:
    """A progress function (stage, done, total) that shows each stage once it is through."""

    def show(stage: str, done: int, total: int) -> None:
        if done == total:
            say(stage)

    return show


def say(what: str) -> None:
    """Print one line of progress at once."""
    print(f"· {what}", flush=True)


def make_scenario(config: ScenarioConfig, world: World) -> Scenario:
    """The scenario that ``config`` names, with its changes."""
    return replace(scenario_named(config.name, world), **_changes(config))


def is_reference(config: ScenarioConfig) -> bool:
    """Whether ``config`` names a reference sale; InputError for an unknown name or a table too many."""
    if config.table is not None and config.name != FROM_TABLE:
        raise InputError(f"scenario.table needs scenario.name={FROM_TABLE}, got scenario.name={config.name}")
    if config.name == FROM_TABLE or config.name in REFERENCE_SALES:
        return True
    check_scenario_name(config.name)
    return False


def make_reference(config: ScenarioConfig) -> ReferenceSale:
    """The reference sale that ``config`` names or whose file it gives; they take no changes."""
    changes = _changes(config)
    if changes:
        raise InputError(f"scenario: the reference sale {config.name!r} takes no changes, got {changes}")
    if config.name != FROM_TABLE:
        return REFERENCE_SALES[config.name]()
    if config.table is None:
        raise InputError(f"scenario.name={FROM_TABLE} needs a file: give it as scenario.table=FILE")
    return table_file(config.table)


def report_exactly(sale: ReferenceSale, policy: Policy, *, folder: Path) -> None:
    """Say how far from the optimum of ``sale`` the policy is, exactly, and write it to ``exact.json``."""
    optimum, value = solve(sale).value, exact_value(sale, policy)
    share = value / optimum if optimum > 0.0 else None
    write_json(folder / "exact.json", {"optimum": optimum, "value": value, "share": share})
    told = f" ({share:.2%})" if share is not None else ""
    print(f"{policy.name} earns {value:.4f}, exactly; the optimum is {optimum:.4f}{told}")


def _changes(config: ScenarioConfig) -> dict[str, Any]:
    fixed = ("name", "table")
    return {key: value for key, value in asdict(config).items() if key not in fixed and value is not None}


def check_closure(scenario: Scenario, *, sales: int, folder: Path) -> bool:
    """Whether simulated sales at constant depth sell what the World says; the table goes to ``closure.csv``."""
    table = closure_table(scenario, sales=sales, seed=0)
    write_table(folder / "closure.csv", table)
    holds = bool(table["holds"].all())
    kept = f"{int(table['holds'].sum())} of {len(table)} pairs of product and depth"
    say(f"closure {'holds' if holds else 'FAILS'}: {kept} sell what the model says, within 1 % + 4 SE")
    return holds


def training_pool() -> ProcessPoolExecutor:
    """Two processes for :func:`train_agent`."""
    spawn = multiprocessing.get_context("spawn")  # a forked process would inherit threads in unknown states
    return ProcessPoolExecutor(2, mp_context=spawn, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """End this process when the one that started it has ended, even by a signal: it would learn for nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def train_agent(
    sale: CompiledSale,
    config: AgentConfig,
    *,
    seed: int,
    folder: Path,
    usual: Operations | None = None,
    checkpoint: Path | None = None,
    resume: Path | None = None,
) -> NetworkPolicy:
    """Train, and write the bundle to ``policies/``, the curve to ``curves/`` and events to ``tensorboard/``.

    As long as it trains it keeps a ``checkpoint`` of itself, and ``resume`` is one that was left behind. ``usual`` is
    for :func:`agents.learners.train`.
    """
    label = config.name.lower()
    with progress_meter(f"training {config.name}", total=config.steps) as advance:
        trained = train(
            sale,
            config,
            seed=seed,
            usual=usual,
            log_folder=folder / "tensorboard" / label,
            progress=advance,
            checkpoint=checkpoint,
            resume=resume,
        )
    policy = trained.policy()
    export(policy, trained.model, folder / "policies" / label, sale=sale, seed=SEARCH_SEED)
    curve = pd.DataFrame([point.row() for point in trained.curve])
    write_table(folder / "curves" / f"{label}.csv", curve)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return policy


def training_row(config: AgentConfig, *, seed: int) -> dict[str, Any]:
    """What the report tells of one training."""
    return {
        "policy": config.name,
        "decisions": config.steps,
        "seed": seed,
        "layers": "-".join(str(width) for width in config.layers),
        "learning_rate": config.learning_rate,
        "gamma": config.gamma,
    }


@contextmanager
def searching_baselines(sale: CompiledSale, *, ticks: int) -> Iterator[Field]:
    """The field of ``sale``, whose searches show their progress; best fixed is sought for ``ticks`` at least."""
    with progress_meter("searching baselines", total=None) as advance:
        yield Field(sale, ticks=ticks, seed=SEARCH_SEED, known=RIVALS, progress=advance)


def make_rivals(field: Field, names: Sequence[str], *, folder: Path) -> list[Policy]:
    """The baselines called ``names``.

    What the searches on the training members found goes to ``search.json``.
    """
    policies = field.make(names)
    write_json(folder / "search.json", field.facts)
    return policies
