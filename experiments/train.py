"""Train one agent on one sale and export it as a bundle.

python -m experiments.train agent=dqn world.folder=outputs/run/…/world
python -m experiments.train agent=ppo scenario.name=g1 agent.steps=500000
"""

from dataclasses import dataclass, field

from agents.learners import AgentConfig, DQNConfig, PPOConfig
from experiments.entry import dated, entry
from experiments.outputs import RunFolder
from experiments.stages import ScenarioConfig, WorldConfig, make_reference, make_scenario, obtain_world, train_agent
from flashsim.evaluation.exact import exact_value
from flashsim.files import write_json
from flashsim.reference import REFERENCE_SALES, MenuSale, solve
from flashsim.scenarios import Scenario


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
    folder.record(seeds={"training": config.seed})
    sale: MenuSale | Scenario
    if config.scenario.name in REFERENCE_SALES:
        sale = make_reference(config.scenario)
    else:
        world = obtain_world(config.world, folder)
        folder.record(data={"world": world.fingerprint()})
        sale = make_scenario(config.scenario, world)
    with folder.timed("training"):
        policy = train_agent(sale.plan(), config.agent, seed=config.seed, folder=folder.path)
    if isinstance(sale, MenuSale):
        optimum, value = solve(sale).value, exact_value(sale, policy)
        write_json(folder.path / "exact.json", {"optimum": optimum, "value": value, "share": value / optimum})
        print(f"{policy.name} earns {value:.4f}, exactly; the optimum is {optimum:.4f} ({value / optimum:.2%})")
    print(f"Bundle: {folder.path / 'policies' / policy.name.lower()}", flush=True)


if __name__ == "__main__":
    main()
