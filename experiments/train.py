"""Train one agent on one sale and export it as a bundle.

python -m experiments.train agent=dqn world.folder=outputs/run/…/world
python -m experiments.train agent=ppo scenario.name=g1 agent.steps=500000
python -m experiments.train agent=ppo scenario=reference scenario.table=FILE
"""

from dataclasses import dataclass, field
from pathlib import Path

from agents.learners import check_training
from agents.settings import AgentConfig, DQNConfig, PPOConfig, TensorPPOConfig
from experiments.entry import dated, entry
from experiments.outputs import RunFolder
from experiments.stages import (
    ScenarioConfig,
    WorldConfig,
    is_reference,
    make_reference,
    make_scenario,
    obtain_world,
    report_exactly,
    train_agent,
)
from flashsim.files import sha256
from flashsim.plan import Sale
from flashsim.reference import JointSale, MenuSale


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a training depends on."""

    seed: int = 0
    world: WorldConfig = field(default_factory=WorldConfig)
    scenario: ScenarioConfig = field(default_factory=ScenarioConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)  # conf/train.yaml chooses one that can learn
    output: str = dated("train")


@entry("train", TrainConfig, options={"agent": {"ppo": PPOConfig, "tensor_ppo": TensorPPOConfig, "dqn": DQNConfig}})
def main(config: TrainConfig, folder: RunFolder) -> None:
    """Train, export, and on a reference sale say how far from the exact optimum the greedy policy is."""
    check_training(config.agent, seed=config.seed)
    folder.record(seeds={"training": config.seed})
    sale: Sale
    if is_reference(config.scenario):
        sale = make_reference(config.scenario)
        if config.scenario.table is not None:
            folder.record(data={"table": sha256(Path(config.scenario.table))})
    else:
        world = obtain_world(config.world, folder)
        folder.record(data={"world": world.fingerprint()})
        sale = make_scenario(config.scenario, world)
    with folder.timed("training"):
        policy = train_agent(sale.plan(), config.agent, seed=config.seed, folder=folder.path)
    if isinstance(sale, MenuSale | JointSale):
        report_exactly(sale, policy, folder=folder.path)
    print(f"Bundle: {folder.path / 'policies' / policy.name.lower()}", flush=True)


if __name__ == "__main__":
    main()
