"""Train one agent on one sale and export it as a bundle.

python -m experiments.train agent=dqn world.folder=outputs/run/…/world
python -m experiments.train agent=ppo scenario.name=g1 agent.steps=500000
"""

from dataclasses import dataclass, field

from agents.learners import AgentConfig, DQNConfig, PPOConfig
from experiments.entry import dated, entry
from experiments.outputs import RunFolder
from experiments.stages import ScenarioConfig, WorldConfig, make_plan, obtain_world, train_agent
from flashsim.evaluation.exact import exact_value
from flashsim.files import write_json
from flashsim.reference import REFERENCE_SALES, solve


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a training depends on."""

    seed: int = 0
    world: WorldConfig = field(default_factory=WorldConfig)
    scenario: ScenarioConfig = field(default_factory=ScenarioConfig)
    agent: AgentConfig = field(default_factory=PPOConfig)
    output: str = dated("train")


@entry("train", TrainConfig, options={"agent": {"ppo": PPOConfig, "dqn": DQNConfig}})
def main(config: TrainConfig, folder: RunFolder) -> None:
    """Train, export, and on a reference sale say how far from the exact optimum the greedy policy is."""
    is_reference = config.scenario.name in REFERENCE_SALES
    world = None if is_reference else obtain_world(config.world, folder)
    folder.record(seeds={"training": config.seed}, data={} if world is None else {"world": world.fingerprint()})
    with folder.timed("training"):
        policy = train_agent(make_plan(config.scenario, world), config.agent, seed=config.seed, folder=folder.path)
    if is_reference:
        sale = REFERENCE_SALES[config.scenario.name]()
        optimum, value = solve(sale).value, exact_value(sale, policy)
        write_json(folder.path / "exact.json", {"optimum": optimum, "value": value, "share": value / optimum})
        print(f"{policy.name} earns {value:.4f}, exactly; the optimum is {optimum:.4f} ({value / optimum:.2%})")
    print(f"Bundle: {folder.path / 'policies' / policy.name.lower()}", flush=True)


if __name__ == "__main__":
    main()
