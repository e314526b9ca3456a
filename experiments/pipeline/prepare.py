"""The stages before an evaluation, on a World: sale, trained policies, baselines; and their configs.

Quick to import, for the file of every program imports it: what learns or calibrates is imported where it is called.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import pandas as pd

from agents.bandits import BANDITS
from agents.settings import AgentConfig
from experiments.launch.config import OpenConfig
from experiments.launch.outputs import RunFolder
from experiments.launch.progress import progress_meter
from experiments.pipeline.training_progress import SPAWN, tell, training_meter
from flashsim.errors import InputError
from flashsim.evaluation.limits.exact import exact_value, normalized_share
from flashsim.evaluation.probes.closure import closure_table
from flashsim.files import write_json, write_table
from flashsim.parallel import end_with_parent
from flashsim.planning import BASELINES, SEARCH_SEED, Field, Workers
from flashsim.policies.bundle import NetworkPolicy, Policy
from flashsim.reference import REFERENCE_SALES, ReferenceSale, best_fixed, solve, table_file
from flashsim.rules import Operations
from flashsim.scenarios import SCENARIOS, Scenario
from flashsim.scenarios.changes import typed_changes
from flashsim.scenarios.compiled import CompiledSale
from flashsim.scenarios.files import SUFFIXES, read_scenario_file, scenario_on
from flashsim.settings import admits_null, group_type, hints_of, keys, nearest, overlaid, parts, plain, shown
from flashsim.world import World

RIVALS = BASELINES | BANDITS
"""Every baseline by name, bandits among them."""
DESCRIPTIONS = {name: rival.description for name, rival in RIVALS.items()}
"""One line on every baseline."""
FROM_TABLE = "reference"  # the name of a sale that comes from a file
MOST_PROCESSES = 8
"""That train side by side: each holds torch and perhaps a replay memory, up to a gigabyte."""


@dataclass(frozen=True)
class ScenarioConfig(OpenConfig):
    """Which sale, and what shall differ from it: any field of a Scenario and of its parts, by its name.

    ``scenario=NAME`` (or ``scenario.name=NAME``) is a named scenario, a reference sale, or ``reference`` for that in
    ``scenario.table``; ``scenario=FILE.yaml`` is a scenario file (flashsim/scenarios/files.py). What reports call the
    sale is ``scenario.name`` beside ``scenario.base=NAME``. ``null`` is what the named sale has, wherever null is not
    itself a value of the field.
    """

    choice = "name"

    name: str | None = "grocery_evening"
    """The sale that was chosen; None: a scenario file that is complete."""
    table: str | None = None
    """JSON file with the arguments of a menu sale or a joint sale (``flashsim.reference.table_file``)."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Typed values that differ from the sale called ``name``; a tree of settings (flashsim/settings.py)."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], *, key: str) -> Self:
        """Check keys and types, and read the scenario file if there is one."""
        hints = {"table": str | None, **hints_of(Scenario)}
        is_complete = settings.get("base", "") is None
        tree = {
            name: value
            for name, value in settings.items()
            if value is not None or admits_null(hints.get(name, type(None)))
        }
        table, base = tree.pop("table", None), tree.pop("base", None)
        if not is_complete and base is None:
            base = tree.pop("name", cls.name)
        for name, value in (("table", table), ("name", base)):
            if not isinstance(value, str | None):
                raise InputError(f"{key}{name} must be text, got {shown(value)}")
        changes = typed_changes(tree, key=key, known=cls.known(key))
        if base is not None and base.endswith(SUFFIXES):
            file = read_scenario_file(base)
            base, changes = file.base, overlaid(file.changes, changes)
        called = changes.get("name", base)
        if base is not None and called != base and called in _known_names():
            raise InputError(f"{key}name={called} is another sale than {key}base={base}; give one of them")
        return cls(base, table, changes)

    def settings(self) -> dict[str, Any]:
        """Every key that it needs, what a scenario file said among them."""
        choice = {"base": self.name} if self.name is None or "name" in self.changes else {"name": self.name}
        table = {} if self.table is None else {"table": self.table}
        return choice | table | plain(self.changes)

    @classmethod
    def known(cls, key: str) -> list[str]:
        """Every dotted key."""
        return [f"{key}base", f"{key}table", *keys(Scenario, key)]

    @classmethod
    def help(cls, key: str) -> list[str]:
        """A line for what can be chosen, and one for the keys of each part."""
        lines = [
            f"{key}=NAME: {', '.join(sorted(_known_names()))} (default {cls.name})",
            f"{key}=FILE.yaml: a scenario of your own, with the keys below (flashsim/scenarios/files.py)",
        ]
        for part, kind in [(key, Scenario), *parts(Scenario, f"{key}.")]:
            names = [name for name, hint in hints_of(kind).items() if group_type(hint) is None]
            lines.append(f"{part}.KEY=VALUE: {', '.join(names)} ({kind.__module__.replace('.', '/')}.py)")
        return lines


def _known_names() -> list[str]:
    return [*SCENARIOS, *REFERENCE_SALES, FROM_TABLE]


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
    return scenario_on(world, config.name, config.changes)


def obtain_scenario(config: ScenarioConfig, world: World, folder: RunFolder) -> Scenario:
    """The same; what must be known of its menu is said, and recorded in ``run.json``."""
    scenario = make_scenario(config, world)
    for note in scenario.menu_notes:
        say(f"{scenario.name}: {note}")
    if scenario.menu_notes:
        folder.record(menu=list(scenario.menu_notes))
    return scenario


def is_reference(config: ScenarioConfig) -> bool:
    """Whether ``config`` names a reference sale; InputError for an unknown name or a table too many."""
    if config.table is not None and config.name != FROM_TABLE:
        raise InputError(f"scenario.table needs scenario.name={FROM_TABLE}, got scenario.name={config.name}")
    if config.name is not None and config.name not in _known_names():
        near = nearest(config.name, _known_names())
        raise InputError(
            f"scenario: unknown name {config.name!r}; {f'did you mean {near!r}? ' if near else ''}Known: "
            f"{', '.join(sorted(_known_names()))}; a file of your own ends in {SUFFIXES[0]}"
        )
    return config.name == FROM_TABLE or config.name in REFERENCE_SALES


def make_reference(config: ScenarioConfig) -> ReferenceSale:
    """The reference sale that ``config`` names or whose file it gives; they take no changes."""
    if config.changes:
        raise InputError(f"scenario: the reference sale {config.name!r} takes no changes, got {plain(config.changes)}")
    if config.name in REFERENCE_SALES:
        return REFERENCE_SALES[config.name]()
    if config.table is None:
        raise InputError(f"scenario.name={FROM_TABLE} needs a file: give it as scenario.table=FILE")
    return table_file(config.table)


def report_exactly(sale: ReferenceSale, policy: Policy, *, folder: Path) -> None:
    """Say how far from the optimum of ``sale`` the policy is, exactly, and write it to ``exact.json``.

    Beside the share of the optimum, of which an untrained network may earn 96 %, stands where the policy lies between
    the best fixed orders and the optimum.
    """
    optimum, value, fixed = solve(sale).value, exact_value(sale, policy), best_fixed(sale)
    share = value / optimum if optimum > 0.0 else None
    normalized = normalized_share(value, fixed=fixed, optimum=optimum)
    amounts = {"optimum": optimum, "value": value, "fixed": fixed}
    write_json(folder / "exact.json", amounts | {"share": share, "normalized": normalized})
    told = f" ({share:.2%})" if share is not None else ""
    between = (
        f"{fixed:.4f}, within .1% of the optimum"
        if normalized is None
        else f"{fixed:.4f}; of the way from there to the optimum it makes {normalized:.2%}"
    )
    print(
        f"{policy.name} earns {value:.4f}, exactly; the optimum is {optimum:.4f}{told}. "
        f"The best fixed orders earn {between}"
    )


def check_closure(scenario: Scenario, *, sales: int, folder: Path) -> bool:
    """Whether simulated sales at constant depth sell what the World says; the table goes to ``closure.csv``."""
    table = closure_table(scenario, sales=sales, seed=0, threads=cores())
    write_table(folder / "closure.csv", table)
    holds = bool(table["holds"].all())
    kept = f"{int(table['holds'].sum())} of {len(table)} pairs of product and depth"
    say(f"closure {'holds' if holds else 'FAILS'}: {kept} sell what the model says, within 1 % + 4 SE")
    return holds


class TrainingPool(ProcessPoolExecutor):
    """Processes for :func:`train_agent`, one a core."""

    def __init__(self, trainings: int) -> None:
        """``trainings``: how many tell how far they are."""
        self.steps: Any = SPAWN.RawArray("q", trainings)
        """Steps that each training has made, for ``showing_trainings``."""
        most = min(cores(), MOST_PROCESSES)
        super().__init__(most, mp_context=SPAWN, initializer=_begin, initargs=(self.steps,))


def _begin(steps: Any) -> None:
    """In a process of the pool."""
    tell(steps)
    end_with_parent()


def train_agent(
    sale: CompiledSale,
    config: AgentConfig,
    *,
    seed: int,
    folder: Path,
    operations: Operations | None = None,
    checkpoint: Path | None = None,
    resume: Path | None = None,
    number: int | None = None,
) -> NetworkPolicy:
    """Train, and write the bundle to ``policies/``, the curve to ``curves/`` and events to ``tensorboard/``.

    As long as it trains it keeps a ``checkpoint`` of itself, and ``resume`` is one that was left behind. ``operations``
    is for :func:`agents.training.train`; ``number`` is the place among the trainings of a :class:`TrainingPool`.
    """
    from agents.export import export
    from agents.training import train

    label = config.name.lower()
    with training_meter(config, number) as advance:
        trained = train(
            sale,
            config,
            seed=seed,
            operations=operations,
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
    """The row of one training in the report."""
    return {
        "policy": config.name,
        "decisions": config.steps,
        "seed": seed,
        "layers": "-".join(str(width) for width in config.layers),
        "learning_rate": config.learning_rate,
        "gamma": config.gamma,
    }


@contextmanager
def searching_baselines(
    sale: CompiledSale,
    names: Sequence[str],
    *,
    ticks: int,
    limits: Mapping[str, float],
    workers: Callable[[], Workers] | None = None,
) -> Iterator[Field]:
    """The field of ``sale``, whose searches of the baselines called ``names`` show their progress.

    Best fixed is sought for ``ticks`` at least. ``limits``: KPI -> guardrail that they shall keep. ``workers`` says
    again and again who plays; None: a thread a core.
    """
    who = workers or partial(Workers, cores())
    field = partial(Field, sale, ticks=ticks, seed=SEARCH_SEED, known=RIVALS, limits=limits)
    with progress_meter("searching baselines (simulated ticks)", total=field().planned_ticks(names)) as advance:
        yield field(progress=advance, workers=who)


def cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_rivals(field: Field, names: Sequence[str], *, folder: Path) -> list[Policy]:
    """The baselines called ``names``.

    What the searches on the training members found goes to ``search.json``.
    """
    policies = field.make(names)
    write_json(folder / "search.json", field.facts)
    return policies
