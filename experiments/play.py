"""Play sales with an exported policy, and tell what it earns, what it does when, and where its guard-rails acted.

python -m experiments.play bundle=BUNDLE scenario=grocery_evening world.folder=outputs/train/…/world
python -m experiments.play bundle=outputs/train/…/policies/tensorppo scenario=j1_lag1 sales=10000

Every sale of a scenario is on a held-out member. Leaves ``kpis.csv`` (mean and interval of each KPI), ``sales.csv``
(the ledger of each sale, summed), ``profile.csv`` (the mean of each tick), ``rollouts/``, ``rails.json`` and
``course.svg``; what the policy decides against time and stock left, utilization and visitors, in ``response_map.csv``,
``response_curves.csv`` and ``responses.svg``; on a reference sale also the exact value, in ``exact.json``. With
``importance=true`` the sales are played again without each part of the observation, and ``importance.csv`` tells what
that costs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from experiments.launch.progress import progress_meter
from experiments.pipeline.prepare import (
    ScenarioConfig,
    is_reference,
    make_reference,
    obtain_scenario,
    report_exactly,
)
from experiments.pipeline.trust import PoliciesConfig
from experiments.pipeline.worlds import WorldConfig, check_no_world, obtain_world
from flashsim.errors import InputError
from flashsim.evaluation.intervals import interval_words, kpi_intervals
from flashsim.evaluation.kpis import KPIS, kpi_values, show
from flashsim.evaluation.probes.importance import importance_table
from flashsim.evaluation.probes.response_maps import RESPONSE_SALES, response_maps
from flashsim.evaluation.records import save_rollouts
from flashsim.evaluation.resampling import Contest
from flashsim.evaluation.rollout import Rollout, action_config, check_policy, play
from flashsim.evaluation.stats import bootstrap_means
from flashsim.evaluation.tables import profile_table
from flashsim.files import write_json, write_page, write_table
from flashsim.policies.bundle import NetworkPolicy
from flashsim.scenarios.compiled import CompiledSale
from flashsim.scenarios.menu import percent
from flashsim.shown import brief
from flashsim.sim.parameters import check_range, check_seed, check_whole

SHOWN = {
    "depth": "Discount",
    "servers_online": "Servers in force",
    "visitors": "Visitors a minute",
    "utilization": "Utilization",
    "latency_p95_s": "95th percentile of latency (s)",
    "stock_left_share": "Stock left",
}


@dataclass(frozen=True)
class PlayConfig:
    """What is played."""

    bundle: str | None = None
    """Folder of an exported policy."""
    policies: PoliciesConfig = field(default_factory=PoliciesConfig)
    world: WorldConfig = field(default_factory=WorldConfig)
    scenario: ScenarioConfig = field(default_factory=ScenarioConfig)
    sales: int = 1_000
    seed: int = 0
    """First seed of the sales."""
    confidence: float = 0.95
    resamples: int = 10_000
    """Of the bootstrap behind the intervals."""
    importance: bool = False
    """Also measure what each part of the observation is worth: as many sales again for each of up to eight parts."""
    output: str = dated("play")

    def __post_init__(self) -> None:
        check_whole("sales", self.sales, 2, 10**9)
        check_seed(self.seed, bits=62)
        check_whole("resamples", self.resamples, 100, 10**9)
        check_range("confidence", self.confidence, 0.01, 0.9999)


@dataclass
class CountedPolicy:
    """A policy that counts its decisions, and those in which a guard-rail chose otherwise than the network."""

    policy: NetworkPolicy
    decisions: int = 0
    guarded: int = 0

    @property
    def name(self) -> str:
        """Display name."""
        return self.policy.name

    @property
    def action(self) -> Mapping[str, Any]:
        """Arguments of the ``ActionConfig``."""
        return self.policy.action

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """What the policy decides."""
        decided = self.policy.decide(observation)
        self.decisions += len(observation)
        self.guarded += int(decided.is_guarded.sum())
        return decided.actions


@entry("play", PlayConfig)
def main(config: PlayConfig, folder: RunFolder) -> None:
    """Load, play, tell."""
    if config.bundle is None:
        raise InputError("bundle: expected the folder of an exported policy, got none; set bundle=FOLDER")
    policy = config.policies.load(config.bundle)
    folder.record(seeds={"sales": config.seed})
    if is_reference(config.scenario):
        check_no_world(config.world)
        reference = make_reference(config.scenario)
        sale = reference.compile()
        check_policy(sale, policy)
        report_exactly(reference, policy, folder=folder.path)
    else:
        world = obtain_world(config.world, folder)
        folder.record(data={"world": world.fingerprint()})
        sale = obtain_scenario(config.scenario, world, folder).compile()
        check_policy(sale, policy)
        sale = sale.with_members(sale.heldout_members)
    counted = CountedPolicy(policy)
    with progress_meter("playing sales", total=sale.all_ticks) as advance:
        rollout = play(sale, counted, sales=config.sales, seed=config.seed, progress=advance)
    rails = {"decisions": counted.decisions, "guarded": counted.guarded}
    write_json(folder.path / "rails.json", rails)
    kpis = kpi_frame(rollout, config)
    save(rollout, kpis, sale, folder=folder)
    save_responses(sale, policy, config, folder=folder)
    _tell(policy, sale, kpis, rails=rails, sales=config.sales, worlds=np.unique(rollout.members).size)
    if config.importance:
        _tell_importance(
            measure_importance(sale, policy, rollout, config, folder=folder), sale.currency, sales=config.sales
        )
    print(f"Results: {folder.path}", flush=True)


def kpi_frame(rollout: Rollout, config: PlayConfig) -> pd.DataFrame:
    """Mean and interval of each KPI, one row each."""
    values = kpi_values(rollout.totals)
    found = bootstrap_means(values, rollout.members, resamples=config.resamples, seed=config.seed)
    ends = found.interval(config.confidence)
    low, high = kpi_intervals(rollout.totals, values, ends, confidence=config.confidence)
    return pd.DataFrame({"kpi": [kpi.name for kpi in KPIS], "mean": found.mean, "low": low, "high": high})


def save(rollout: Rollout, kpis: pd.DataFrame, sale: CompiledSale, *, folder: RunFolder) -> None:
    """Write tables, rollout and picture."""
    from flashsim.report.figures import LEAD, course, render

    sales = pd.DataFrame({"seed": rollout.seeds, "member": rollout.members} | rollout.totals)
    alone = Contest(
        (rollout,),
        roles={},
        values=kpi_values(rollout.totals)[:, None],
        best=0,
        primary=KPIS[0],
        confidence=0.95,
        tail_share=0.05,
        product_names=sale.product_names,
    )
    profile = profile_table(alone)
    for name, table in (("kpis", kpis), ("sales", sales), ("profile", profile)):
        write_table(folder.path / f"{name}.csv", table)
    save_rollouts([rollout], folder.path / "rollouts")
    picture = render(
        course,
        profile,
        series=SHOWN,
        policies=[rollout.policy],
        colors={rollout.policy: LEAD},
        minutes=sale.tables.servers.seconds_per_tick / 60.0,
        words={"tick": "Minutes since the opening"},
    )
    write_page(folder.path / "course.svg", picture)


def save_responses(sale: CompiledSale, policy: NetworkPolicy, config: PlayConfig, *, folder: RunFolder) -> None:
    """Write what the policy decides when: the tables and their picture."""
    from flashsim.report.english import FIGURES
    from flashsim.report.figures import render
    from flashsim.report.response_figures import responses

    maps = response_maps(sale, policy, sales=min(config.sales, RESPONSE_SALES), seed=config.seed)
    for name, table in (("response_map", maps.stock_map), ("response_curves", maps.curves)):
        if len(table):
            write_table(folder.path / f"{name}.csv", table)
    picture = render(responses, maps.stock_map, maps.curves, words=FIGURES)
    write_page(folder.path / "responses.svg", picture)


def measure_importance(
    sale: CompiledSale, policy: NetworkPolicy, rollout: Rollout, config: PlayConfig, *, folder: RunFolder
) -> pd.DataFrame:
    """Profit lost without each part of the observation, also written to ``importance.csv``."""
    with progress_meter("playing without parts of the observation", total=None) as advance:
        table = importance_table(
            sale, policy, rollout, resamples=config.resamples, confidence=config.confidence, progress=advance
        )
    write_table(folder.path / "importance.csv", table)
    return table


def _tell_importance(table: pd.DataFrame, currency: str, *, sales: int) -> None:
    shown = partial(show, unit="currency", currency=currency, signed=True)
    print("\nProfit lost a sale when a part of the observation is that of another sale at the same tick\n")
    for row in table.to_dict("records"):
        words = interval_words(row["lost"], row["low"], row["high"], sales=sales, shown=shown)
        print(f"{row['group']:<36}{shown(row['lost']):>16}   ({words})")


def _tell(
    policy: NetworkPolicy, sale: CompiledSale, kpis: pd.DataFrame, *, rails: Mapping[str, int], sales: int, worlds: int
) -> None:
    """Print the table, and what the guard-rails did."""
    trained = policy.training.get("scenario")
    elsewhere = f", trained on {brief(trained)} by its own account" if trained not in (None, sale.name) else ""
    print(f"{policy.name} on {sale.name}{elsewhere}: mean of {sales:,} sales, and its interval\n")
    for kpi, row in zip(KPIS, kpis.to_dict("records"), strict=True):
        shown = partial(show, unit=kpi.unit, currency=sale.currency)
        ends = row["mean"], row["low"], row["high"]
        words = interval_words(*ends, sales=sales, worlds=worlds, shown=shown, of="level")
        print(f"{kpi.label:<36}{shown(row['mean']):>16}   ({words})")
    action = action_config(policy)
    limits = [f"discounts of at most {percent(action.max_discount)}"] if action.max_discount < 1.0 else []
    limits += [f"at least {action.min_servers} servers"] if action.min_servers else []
    told = f"they changed {rails['guarded']:,} of the {rails['decisions']:,} choices made in {sales:,} sales"
    steered = {"max_discount": "what a step around the run-out price asks for", "min_servers": "what a scaler orders"}
    acts = {"max_discount": action.max_discount < 1.0, "min_servers": action.min_servers > 0}
    cut = [what for name, what in steered.items() if acts[name] and name not in policy.rails.limits]
    if cut:
        told += f" ({' and '.join(cut)} is cut in every tick, which is not counted)"
    print(f"\nGuard-rails: {' and '.join(limits)}; {told}" if limits else "\nNo guard-rails were set")


if __name__ == "__main__":
    main()
