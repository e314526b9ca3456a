"""Compare exported policies with the baselines on the same sales.

python -m experiments.evaluate world.folder=WORLD 'bundles=[outputs/train/…/policies/ppo]' evaluation.sales=2000
python -m experiments.evaluate world.folder=WORLD 'bundles=[RUN/policies/ppo-1,RUN/policies/ppo-2]'
"""

from dataclasses import dataclass, field
from pathlib import Path

from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from experiments.pipeline.compare import (
    EvaluationConfig,
    check_names,
    compare_learners,
    evaluate,
    report,
    sale_context,
    world_context,
)
from experiments.pipeline.decisions import with_practice
from experiments.pipeline.prepare import (
    DESCRIPTIONS,
    RIVALS,
    ScenarioConfig,
    is_reference,
    make_rivals,
    obtain_scenario,
    searching_baselines,
)
from experiments.pipeline.trust import PoliciesConfig
from experiments.pipeline.worlds import WorldConfig, obtain_world
from flashsim.errors import InputError
from flashsim.evaluation.decision import DecisionRule
from flashsim.evaluation.rollout import check_policy
from flashsim.planning import DEFAULT_FIELD, check_field
from flashsim.sim.parameters import check_whole


@dataclass(frozen=True)
class EvaluateConfig:
    """Everything that an evaluation depends on."""

    bundles: tuple[str, ...] = ()
    """Folders of exported policies; NAME-1, NAME-2 and so on are trainings of NAME, compared over all of them too."""
    policies: PoliciesConfig = field(default_factory=PoliciesConfig)
    world: WorldConfig = field(default_factory=WorldConfig)
    scenario: ScenarioConfig = field(default_factory=ScenarioConfig)
    baselines: tuple[str, ...] = DEFAULT_FIELD
    """Rivals by name; scheduled scaler, LinUCB and Thompson sampling play on request."""
    search_ticks: int = 15_000_000
    """Simulated ticks that the search for the best fixed policy compares, at least."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    decision: DecisionRule = field(default_factory=DecisionRule)
    """By what the sale is judged; its practice may be one of the bundles, by its policy's name."""
    output: str = dated("evaluate")

    def __post_init__(self) -> None:
        check_whole("search_ticks", self.search_ticks, 0, 10**12)
        check_field(self.baselines, RIVALS)


@entry("evaluate", EvaluateConfig)
def main(config: EvaluateConfig, folder: RunFolder) -> None:
    """Load, play, compare, report."""
    if not config.bundles:
        raise InputError("bundles: expected folders of exported policies, got none; set 'bundles=[FOLDER]'")
    if is_reference(config.scenario):
        raise InputError(f"scenario: {config.scenario.name!r} is evaluated exactly by experiments.train")
    bundles = [config.policies.load(bundle) for bundle in config.bundles]
    check_names([policy.name for policy in bundles])
    named = with_practice(config.baselines, config.decision, own=[policy.name for policy in bundles])
    learners = [policy for policy in bundles if policy.name != config.decision.practice]
    if not learners:
        raise InputError(f"bundles: {config.decision.practice!r} is today's practice; give a policy to compare with it")
    world = obtain_world(config.world, folder)
    scenario = obtain_scenario(config.scenario, world, folder)
    sale = scenario.compile()
    for policy in bundles:
        check_policy(sale, policy)
    folder.record(seeds={"evaluation": config.evaluation.seed}, data={"world": world.fingerprint()})
    limits = config.decision.guardrails
    with searching_baselines(sale, named, ticks=config.search_ticks, limits=limits) as rivals:
        baselines = make_rivals(rivals, named, folder=folder.path)
    policies = [*bundles, *baselines]
    names = [policy.name for policy in learners]
    notes = {
        policy.name: f"learned, bundle {Path(bundle).name}"
        for policy, bundle in zip(bundles, config.bundles, strict=True)
    }
    context = {
        **world_context(world, sale),
        **sale_context(sale, sales=config.evaluation.sales),
        "policy_notes": DESCRIPTIONS | notes,
        "provenance": folder.provenance(),
    }
    evaluate(
        scenario,
        policies,
        config.evaluation,
        rule=config.decision,
        learners=names,
        context=context,
        folder=folder.path,
    )
    for table in compare_learners(folder.path, names, config.evaluation):
        print(f"\n{table}")
    comparison = report(folder.path, folder.path)
    print(f"\nReport: {folder.path / 'report.html'}\n{comparison}", flush=True)


if __name__ == "__main__":
    main()
