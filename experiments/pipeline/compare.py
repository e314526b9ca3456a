"""The stages after training: play every policy through the same sales, compare, and report.

An evaluation leaves two things in its folder: ``rollouts/``, what every policy did in every sale, and
``evaluation.json``, how they are to be compared and what the report tells beside the numbers. Tables and report can be
made from them at any time.
"""

import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.launch.progress import progress_meter
from experiments.pipeline.decisions import Changed, look_for_change
from experiments.pipeline.prepare import RIVALS, cores
from experiments.pipeline.sale_facts import policy_facts, product_facts, sale_facts
from flashsim.errors import InputError
from flashsim.evaluation.comparison import Comparison, compare
from flashsim.evaluation.decision import DecisionRule
from flashsim.evaluation.evidence.appraisal import Entrant
from flashsim.evaluation.evidence.what_would_tell import world_fields
from flashsim.evaluation.gains import gains_rows, gains_table
from flashsim.evaluation.limits.bounds import relaxation
from flashsim.evaluation.limits.hindsight import ROUNDS, best_plans
from flashsim.evaluation.limits.possible import possible_rows, possible_table
from flashsim.evaluation.probes.response_maps import RESPONSE_SALES, response_maps
from flashsim.evaluation.records import EVALUATE_AGAIN, load_rollouts, save_rollouts
from flashsim.evaluation.rollout import Rollout, play
from flashsim.evaluation.trainings import trainings_rows, trainings_table
from flashsim.files import UNSTATED_FORMAT, check_format, read_json, write_json, write_table
from flashsim.policies.bundle import Policy
from flashsim.rules import HUMAN_TEAM
from flashsim.scenarios.compiled import CompiledSale
from flashsim.scenarios.menu import beyond_note
from flashsim.scenarios.scenario import Scenario
from flashsim.shown import brief
from flashsim.sim.parameters import check_range, check_seed, check_whole
from flashsim.world import World

EVALUATION_FILE = "evaluation.json"
EVALUATION_FORMAT = 2
EVALUATION_CHANGES = "2 holds the rule of decision"
ROLLOUTS, CHANGED_ROLLOUTS = "rollouts", "changed"
REFERENCES = ("list price",)
"""Policies that are shown beside the others and never in the verdict."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How policies are compared."""

    sales: int = 1_000
    """Sales that every policy plays, on held-out members."""
    seed: int = 0
    """First seed of the sales, and of the bootstrap."""
    threads: int | None = None
    """Threads that play policies and plans; none: one on each core. The results are the same for any number."""
    resamples: int = 10_000
    """Of the bootstrap."""
    confidence: float = 0.95
    bounded_sales: int = 64
    """Of the sales, the first ones, for which it is computed what was possible; 0: none."""
    changes: bool = True
    """Whether a change of the sale is searched where nobody keeps every guardrail on the training worlds."""

    def __post_init__(self) -> None:
        check_whole("sales", self.sales, 2, 10**9)
        check_seed(self.seed, bits=62)
        if self.threads is not None:
            check_whole("threads", self.threads, 1, 10_000)
        check_whole("resamples", self.resamples, 100, 10**9)
        check_range("confidence", self.confidence, 0.01, 0.9999)
        check_whole("bounded_sales", self.bounded_sales, 0, 10**6)


def check_names(learners: Sequence[str]) -> None:
    """InputError unless learners have names of their own, that no baseline has; case does not tell names apart."""
    taken = {name.lower() for name in RIVALS}
    for name in learners:
        if name.lower() in taken:
            raise InputError(f"name: two policies would be called {name!r}; give each learner a name of its own")
        taken.add(name.lower())


def evaluate(
    scenario: Scenario,
    policies: Sequence[Policy],
    config: EvaluationConfig,
    *,
    rule: DecisionRule,
    learners: Sequence[str],
    context: Mapping[str, Any],
    folder: Path,
) -> None:
    """Play ``policies`` through the same sales on held-out members and leave an evaluation in ``folder``.

    ``rule`` will decide. ``learners`` are names of policies; all others but those of ``REFERENCES`` are baselines;
    ``context`` goes to the report.
    """
    sale = scenario.compile()
    judged = sale.with_members(sale.heldout_members)
    baselines = [p.name for p in policies if p.name not in (*learners, *REFERENCES)]
    changed: Changed | None = None
    tried: tuple[str, ...] = ()
    if config.changes:
        changed, tried = look_for_change(scenario, policies, rule, candidates=[*learners, *baselines])
    rollouts = _play_all(judged, policies, config)
    save_rollouts(rollouts, folder / ROLLOUTS)
    if changed is not None:
        own = changed.sale.with_members(changed.sale.heldout_members)
        save_rollouts(_play_all(own, [changed.policy], config), folder / CHANGED_ROLLOUTS)
    possible = what_was_possible(judged, rollouts, config, learners=learners, folder=folder)
    answers = what_they_decide(judged, [policy for policy in policies if policy.name in learners], config)
    facts = {
        "learners": list(learners),
        "baselines": baselines,
        "rule": asdict(rule),
        "changed": [] if changed is None else [changed.words],
        "changes_tried": list(tried),
        "world_fields": world_fields(judged),
        "is_world_judged": not scenario.world.uncalibrated_because,
        "product_names": list(sale.product_names),
        "currency": sale.currency or "currency",
        "confidence": config.confidence,
        "resamples": config.resamples,
        "seed": config.seed,
    }
    minutes_per_tick = sale.tables.servers.seconds_per_tick / 60.0
    notes = policy_facts(policies, context.get("policy_notes", {}), minutes_per_tick=minutes_per_tick)
    told = {**context, "policy_notes": notes, "possible": possible, **answers}
    evaluation = {"comparison": facts, "context": told}
    write_json(folder / EVALUATION_FILE, {"format_version": EVALUATION_FORMAT, **evaluation}, is_sorted=False)


def _play_all(sale: CompiledSale, policies: Sequence[Policy], config: EvaluationConfig) -> list[Rollout]:
    """What every policy does, several side by side."""
    counting, threads = threading.Lock(), config.threads or cores()
    of_each = max(1, threads // len(policies))

    def played(policy: Policy) -> Rollout:
        return play(sale, policy, sales=config.sales, seed=config.seed, threads=of_each, progress=tell)

    def tell(ticks: int) -> None:
        with counting:
            advance(ticks)

    with (
        progress_meter("playing sales", total=len(policies) * sale.all_ticks) as advance,
        ThreadPoolExecutor(min(threads, len(policies))) as pool,
    ):
        try:
            return list(pool.map(played, policies))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def what_was_possible(
    sale: CompiledSale, rollouts: Sequence[Rollout], config: EvaluationConfig, *, learners: Sequence[str], folder: Path
) -> list[dict[str, str]]:
    """Who earned what and how much of what was possible: rows for the report; in full precision in ``possible.csv``."""
    sales = min(config.bounded_sales, config.sales)
    if sales < 2:
        return []
    try:
        bound = relaxation(sale, sales=sales, seed=config.seed).value
    except InputError as refusal:
        print(f"· no bound: {refusal}", flush=True)
        bound = None
    with progress_meter("planning in hindsight", total=ROUNDS * sale.all_ticks) as advance:
        plans = best_plans(sale, sales=sales, seed=config.seed, threads=config.threads or cores(), progress=advance)
    roles = {rollout.policy: "learner" if rollout.policy in learners else "baseline" for rollout in rollouts}
    table = possible_table(
        rollouts,
        relaxation=bound,
        best_plan=plans,
        roles=roles | dict.fromkeys(REFERENCES, "reference"),
        confidence=config.confidence,
        resamples=config.resamples,
        seed=config.seed,
    )
    write_table(folder / "possible.csv", table)
    return possible_rows(table, currency=sale.currency)


def what_they_decide(sale: CompiledSale, policies: Sequence[Policy], config: EvaluationConfig) -> dict[str, Any]:
    """Against time and stock left, utilization and visitors: rows for the report."""
    rows: dict[str, list[Any]] = {"response_map": [], "response_curves": []}
    for policy in policies:
        maps = response_maps(sale, policy, sales=min(config.sales, RESPONSE_SALES), seed=config.seed)
        for name, table in (("response_map", maps.stock_map), ("response_curves", maps.curves)):
            rows[name] += table.assign(policy=policy.name).to_dict("records")
    return rows


def compare_learners(folder: Path, learners: Sequence[str], config: EvaluationConfig) -> list[str]:
    """Tables of the evaluation in ``folder`` to print: learners against what is done by hand, and over their trainings.

    Of these, what was played: NAME-1, NAME-2 and so on are trainings of NAME, as ``experiments.run`` calls them. Also
    in ``gains.csv`` and ``trainings.csv``.
    """
    rollouts = load_rollouts(folder / ROLLOUTS)
    trainings: dict[str, list[str]] = {}
    for name in learners:
        trainings.setdefault(re.sub(r"-[1-9]\d*$", "", name), []).append(name)
    tables = []
    if any(rollout.policy == HUMAN_TEAM for rollout in rollouts):
        tables.append(_compare_with_team(folder, rollouts, learners, config))
    if len(trainings) < len(learners):
        tables.append(_compare_trainings(folder, rollouts, trainings, config))
    return tables


def _compare_trainings(
    folder: Path, rollouts: Sequence[Rollout], trainings: Mapping[str, Sequence[str]], config: EvaluationConfig
) -> str:
    """What holds over the ``trainings`` of each learner; for the report also in the evaluation."""
    table = trainings_table(
        rollouts, trainings=trainings, confidence=config.confidence, resamples=config.resamples, seed=config.seed
    )
    write_table(folder / "trainings.csv", table)
    evaluation = read_json(folder / EVALUATION_FILE)
    evaluation["context"]["over_trainings"] = trainings_rows(table)
    write_json(folder / EVALUATION_FILE, evaluation, is_sorted=False)
    return pd.DataFrame(trainings_rows(table)).to_string(index=False)


def _compare_with_team(
    folder: Path, rollouts: Sequence[Rollout], learners: Sequence[str], config: EvaluationConfig
) -> str:
    """Participation and conversion of ``learners`` against what is done by hand, beside what is claimed elsewhere."""
    table = gains_table(
        rollouts,
        policies=learners,
        rival=HUMAN_TEAM,
        confidence=config.confidence,
        resamples=config.resamples,
        seed=config.seed,
    )
    write_table(folder / "gains.csv", table)
    rows = pd.DataFrame(gains_rows(table, sales=rollouts[0].seeds.size)).to_string(index=False)
    return (
        f"Against the {HUMAN_TEAM}, beside the gains that reports of the industry claim for learned policies\n\n{rows}"
    )


def report(evaluation: Path, folder: Path) -> Comparison:
    """Compare the policies of the evaluation in ``evaluation`` and write the report to ``folder``."""
    from flashsim.report import write_report
    from flashsim.report.fidelity import uncalibrated_passage

    settings, context = _read_evaluation(evaluation / EVALUATION_FILE)
    rollouts = load_rollouts(evaluation / ROLLOUTS)
    try:
        comparison = compare(rollouts, **_typed_settings(settings, evaluation))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{evaluation / EVALUATION_FILE} does not fit this flashsim ({error}); evaluate again"
        ) from error
    write_report(folder, comparison, context=context)
    warning = uncalibrated_passage(context.get("world", ""), context.get("uncalibrated_because", ()))
    if warning:
        print(f"⚠ {warning}", flush=True)
    return comparison


def _typed_settings(settings: Mapping[str, Any], evaluation: Path) -> dict[str, Any]:
    """Arguments of :func:`compare` from what :func:`evaluate` wrote."""
    words = list(settings["changed"])
    others = load_rollouts(evaluation / CHANGED_ROLLOUTS) if words else []
    return {
        **settings,
        "rule": DecisionRule(**settings["rule"]),
        "changed": [Entrant(one, is_learned=False, change=change) for one, change in zip(others, words, strict=True)],
        "world_fields": {
            name: {int(member): float(value) for member, value in values.items()}
            for name, values in settings["world_fields"].items()
        },
    }


def _read_evaluation(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """How the policies are compared, and what the report says beside; InputError for what is no such file."""
    record = read_json(path)
    if isinstance(record, dict) and record:
        seen = record.get("format_version", UNSTATED_FORMAT)
        check_format(path, seen, known=EVALUATION_FORMAT, changes=EVALUATION_CHANGES, make_anew=EVALUATE_AGAIN)
    if not isinstance(record, dict) or set(record) - {"format_version"} != {"comparison", "context"}:
        raise InputError(f"{path} does not describe an evaluation; evaluate again")
    for part in ("comparison", "context"):
        if not isinstance(record[part], dict):
            raise InputError(f"{path}: expected a mapping as {part}, got {brief(record[part])}; evaluate again")
    if not isinstance(judged := record["comparison"].get("is_world_judged"), bool):
        raise InputError(f"{path}: is_world_judged must be true or false, got {brief(judged)}; evaluate again")
    return record["comparison"], record["context"]


def world_context(world: World, sale: CompiledSale) -> dict[str, Any]:
    """What the report tells of a World: scores of its models, rows left out, assumptions, limits."""
    facts = world.provenance
    beyond = [beyond_note(world)] if sale.is_extrapolated else []
    of_menu = [note for note in sale.menu_notes if note not in beyond]
    return {
        "world": world.title,
        "uncalibrated_because": list(world.uncalibrated_because),
        "fidelity": facts.get("fidelity"),
        "notices": [*of_menu, *([facts["notice"]] if "notice" in facts else [])],
        "demand_scores": score_rows(world),
        "dropped_rows": facts.get("rows", []),
        "assumptions": [row | {"identified": False} for row in facts.get("assumptions", [])],
        "extrapolations": beyond,
        "supported_depth": world.supported_depth,
    }


def score_rows(world: World) -> list[dict[str, Any]]:
    """Held-out scores of the demand model and its rivals, one row a forecast."""
    parts = {"": "value", "_low": "low", "_high": "high"}
    return [
        {"forecast": row["forecast"]}
        | {f"{m}{part}": row[m][key] for m in ("wape", "pinball") for part, key in parts.items()}
        for row in world.provenance.get("scores", {}).get("forecasts", [])
    ]


def sale_context(sale: CompiledSale, *, sales: int) -> dict[str, Any]:
    """What the report tells of a sale."""
    return {
        "title": f"Which policy should run {sale.name.replace('_', ' ')}?",
        "scenario": sale_facts(sale, sales=sales),
        "sale_products": product_facts(sale),
        "minutes_per_tick": sale.tables.servers.seconds_per_tick / 60.0,
    }
