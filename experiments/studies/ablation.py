"""What is each part of an agent's training worth? Train without it, several times, and compare on held-out worlds.

    python -m experiments.studies.ablation world.folder=WORLD trainings=3
    python -m experiments.studies.ablation agent=dqn scenario=seckill world.folder=WORLD 'variants=[no twins]'

Training k of every variant has the same seed and all play the same sales, so differences are paired; intervals count
trainings, worlds and sales (``flashsim.evaluation.trainings``). All variants learn from as many decisions. An agent
without rules decides in every tick, so that it meets fewer sales, and has no twins (the same sales run by its rule);
one without twins has longer rollouts. Leaves ``ablation.csv`` and ``ablation.png``, and what each training leaves.
"""

import io
import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agents.learners import SETTINGS
from agents.settings import AgentConfig
from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from experiments.launch.progress import progress
from experiments.pipeline.prepare import (
    ScenarioConfig,
    TrainingPool,
    is_reference,
    obtain_scenario,
    train_agent,
)
from experiments.pipeline.training_progress import showing_trainings
from experiments.pipeline.worlds import WorldConfig, obtain_world
from flashsim.errors import InputError
from flashsim.evaluation.intervals import interval_words
from flashsim.evaluation.rollout import play
from flashsim.evaluation.stats import differences, equal_member_means
from flashsim.evaluation.trainings import over_trainings
from flashsim.files import write_bytes, write_table
from flashsim.policies.bundle import Policy
from flashsim.rules import Operations
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.parameters import check_range, check_seed, check_whole

WHOLE = "whole"
VARIANTS: dict[str, dict[str, Any]] = {
    "basic observation": {"observation": "basic"},
    "raw observation": {"observation": "raw"},
    "no head start": {"head_start": 0.0, "margin": 0.0},
    "no twins": {"paired": False},
    "no rules": {"assisted": False},
}
"""Name -> what differs from the whole agent, of the fields that it has."""
WORSE, BETTER, UNCLEAR = "#b3261e", "#0b62c4", "#8a8f98"


@dataclass(frozen=True)
class AblationConfig:
    """Who is trained, without what, and where it is judged."""

    seed: int = 0
    """Of the first training of each variant."""
    trainings: int = 3
    world: WorldConfig = field(default_factory=WorldConfig)
    scenario: ScenarioConfig = field(default_factory=ScenarioConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)  # conf/ablation.yaml chooses one that can learn
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Any of: basic observation, raw observation, no head start, no twins, no rules."""
    sales: int = 1_000
    """Sales that every policy plays, on held-out members."""
    sales_seed: int = 0
    """First seed of the sales, and of the bootstrap."""
    confidence: float = 0.95
    resamples: int = 10_000
    output: str = dated("ablation")

    def __post_init__(self) -> None:
        for name in self.variants:
            if name not in VARIANTS:
                raise InputError(f"variants: expected any of {', '.join(VARIANTS)}, got {name!r}")
        if len(set(self.variants)) < len(self.variants) or not self.variants:
            raise InputError(f"variants: expected different names, at least one, got {list(self.variants)!r}")
        check_whole("trainings", self.trainings, 1, 1_000)
        check_whole("sales", self.sales, 2, 10**9)
        check_seed(self.sales_seed, name="sales_seed", bits=62)
        check_whole("resamples", self.resamples, 100, 10**9)
        check_range("confidence", self.confidence, 0.01, 0.9999)


def settings_of(agent: AgentConfig, variants: tuple[str, ...], *, trainings: int) -> dict[str, list[AgentConfig]]:
    """Variant, the whole agent first -> settings of each of its trainings, with names of their own."""
    changes: dict[str, dict[str, Any]] = {WHOLE: {}} | {name: VARIANTS[name] for name in variants}
    return {
        name: [
            replace(
                agent,
                name=f"{agent.name} {name} {number + 1}",
                **{key: value for key, value in differs.items() if hasattr(agent, key)},
            )
            for number in range(trainings)
        ]
        for name, differs in changes.items()
    }


def ablation_table(
    profits: dict[str, NDArray[np.float64]], rule: NDArray[np.float64], members: NDArray[Any], config: AblationConfig
) -> pd.DataFrame:
    """A row a variant from ``profits`` (training, sale) and those of the rule (sale,): profit, leads, intervals."""
    rows = []
    for name, own in profits.items():
        row: dict[str, Any] = {"variant": name, "trainings": len(own)}
        row["profit"] = float(equal_member_means(own.mean(axis=0)[:, None], members)[0])
        for rival, theirs in (("rule", rule), (WHOLE, profits[WHOLE])):
            found = over_trainings(
                differences(own.T, np.atleast_2d(theirs).T).T,
                members,
                confidence=config.confidence,
                resamples=config.resamples,
                seed=config.sales_seed,
            )
            row |= {f"over_{rival}": found.mean, f"over_{rival}_low": found.low, f"over_{rival}_high": found.high}
        rows.append(row)
    return pd.DataFrame(rows)


def ablation_rows(table: pd.DataFrame, *, sales: int) -> list[dict[str, str]]:
    """An :func:`ablation_table` of ``sales`` sales in words."""

    def told(row: dict[Any, Any], rival: str) -> str:
        mean, low, high = (row[f"over_{rival}{end}"] for end in ("", "_low", "_high"))
        return f"{mean:+,.1f} ({interval_words(mean, low, high, sales=sales, shown='{:+,.1f}'.format, of='tail')})"

    return [
        {
            "variant": str(row["variant"]),
            "trainings": str(row["trainings"]),
            "profit a sale": f"{row['profit']:,.1f}",
            "over the rule": told(row, "rule"),
            "over the whole agent": told(row, WHOLE),
        }
        for row in table.to_dict("records")
    ]


def draw_ablation(table: pd.DataFrame, *, currency: str) -> bytes:
    """PNG: what every variant earns above the rule, with its interval; colored where it differs from the whole; an
    arrow where an end cannot be told."""
    from matplotlib.figure import Figure

    from flashsim.report.figures import plot_intervals

    figure = Figure(figsize=(8.0, 0.9 + 0.45 * len(table)), layout="constrained")
    axes = figure.subplots()
    colors = np.select([table["over_whole_high"] < 0.0, table["over_whole_low"] > 0.0], [WORSE, BETTER], UNCLEAR)
    ends = {"over_rule": "difference", "over_rule_low": "low", "over_rule_high": "high"}
    plot_intervals(axes, table.rename(columns=ends), places=range(len(table)), colors=colors.tolist())
    axes.set_yticks(range(len(table)), table["variant"].tolist())
    axes.invert_yaxis()
    axes.set_xlabel(f"{currency} a sale above the run-out price; red: less than the whole agent, grey: not separable")
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def train_variants(
    sale: CompiledSale, config: AblationConfig, folder: RunFolder, *, operations: Operations
) -> dict[str, list[Policy]]:
    """Variant -> its trained policies; those that start at a rule do so with ``operations``."""
    named = settings_of(config.agent, config.variants, trainings=config.trainings)
    place = itertools.count()
    trainings = [one for settings in named.values() for one in settings]
    with TrainingPool(len(trainings)) as pool, showing_trainings(trainings, pool.steps):
        shared: dict[str, Any] = {"folder": folder.path, "operations": operations}
        jobs = {
            name: [
                pool.submit(train_agent, sale, one, seed=config.seed + number, number=next(place), **shared)
                for number, one in enumerate(settings)
            ]
            for name, settings in named.items()
        }
        return {name: [job.result() for job in running] for name, running in jobs.items()}


@entry("ablation", AblationConfig, options={"agent": SETTINGS})
def main(config: AblationConfig, folder: RunFolder) -> None:
    """Train all variants, play them beside the rule that all could start at, then print the table."""
    from agents.start.imitation import starting_rule
    from agents.training import check_steps, check_training

    if is_reference(config.scenario):
        raise InputError(f"scenario: {config.scenario.name!r} has no members to hold out; name a scenario on a World")
    check_training(config.agent, seed=config.seed + config.trainings - 1)
    world = obtain_world(config.world, folder)
    folder.record(seeds={"training": config.seed, "sales": config.sales_seed}, data={"world": world.fingerprint()})
    sale = obtain_scenario(config.scenario, world, folder).compile()
    for settings in settings_of(config.agent, config.variants, trainings=1).values():
        check_steps(settings[0], sale)
    rule = starting_rule(sale)
    with folder.timed("training"):
        trained = train_variants(sale, config, folder, operations=rule.operations)
    judged = sale.with_members(sale.heldout_members)
    ruled = play(judged, rule, sales=config.sales, seed=config.sales_seed)
    profits = {
        name: np.stack(
            [play(judged, one, sales=config.sales, seed=config.sales_seed).totals["profit"] for one in policies]
        )
        for name, policies in progress(trained.items(), "playing sales", total=len(trained))
    }
    table = ablation_table(profits, ruled.totals["profit"], ruled.members, config)
    write_table(folder.path / "ablation.csv", table)
    write_bytes(folder.path / "ablation.png", draw_ablation(table, currency=sale.currency or "currency"))
    told = pd.DataFrame(ablation_rows(table, sales=config.sales)).to_string(index=False)
    print(f"\n{told}\n\nTable: {folder.path / 'ablation.csv'}")


if __name__ == "__main__":
    main()
