"""Train one agent on one sale and export it as a bundle.

python -m experiments.train agent=dqn world.folder=outputs/run/…/world
python -m experiments.train agent=ppo scenario=g1 agent.steps=500000
python -m experiments.train agent=ppo scenario=reference scenario.table=FILE
python -m experiments.train experiment=reference/j1_lag1 agent=tensor_ppo seed=2
python -m experiments.train agent=maskable_ppo scenario=seckill agent.max_discount=0.3 agent.min_servers=4
python -m experiments.train agent=tensor_ppo agent.constraints.latency_p95_s=2 agent.constraints.error_share=0.01
python -m experiments.train reward=revenue_conversion_gain agent.gamma=0.99
python -m experiments.train resume=outputs/train/…

The last takes up a training that was stopped, in the settings of its folder, and ends where that would have ended: with
the same curve and network. Its results go to a folder of its own. Whose signature of the World is asked for is said on
the command line again (``world.trusted_keys``, ``world.signed_only``): the folder may come from anybody.
"""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from agents.learners import SETTINGS, settings_for
from agents.ppo.settings import PPOConfig
from agents.settings import AgentConfig
from experiments.launch.command_lines import command_line, literal
from experiments.launch.config import build, schema, whole_text
from experiments.launch.entry import dated, entry
from experiments.launch.outputs import CONFIG, RunFolder, read_run
from experiments.launch.refusals import Given, explain
from experiments.pipeline.prepare import (
    ScenarioConfig,
    is_reference,
    make_reference,
    obtain_scenario,
    report_exactly,
    train_agent,
)
from experiments.pipeline.worlds import WorldConfig, check_no_world, obtain_world
from flashsim.errors import InputError, LearningError
from flashsim.files import is_folder, sha256, write_text
from flashsim.policies.bundle import NetworkPolicy
from flashsim.reference import JointSale, MenuSale
from flashsim.scenarios.compiled import Compilable
from flashsim.shown import brief
from flashsim.yaml_file import read_yaml


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a training depends on."""

    seed: int = 0
    world: WorldConfig = field(default_factory=WorldConfig)
    scenario: ScenarioConfig = field(default_factory=ScenarioConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)  # conf/train.yaml chooses one that can learn
    resume: str | None = None
    """Folder of a training that was stopped; no other settings go with it but ``output``, ``world.trusted_keys`` and
    ``world.signed_only``."""
    output: str = dated("train")


@entry("train", TrainConfig, options={"agent": SETTINGS})
def main(config: TrainConfig, folder: RunFolder) -> None:
    """Train, export, and on a reference sale say how far from the exact optimum the greedy policy is."""
    from agents.training import check_training

    resume = None if config.resume is None else Path(config.resume)
    if resume is not None:
        config, text = stopped_config(resume, config)
        write_text(folder.path / CONFIG, text)
        folder.record(resumes=str(resume))
    check_training(config.agent, seed=config.seed)
    folder.record(seeds={"training": config.seed})
    sale: Compilable
    if is_reference(config.scenario):
        check_no_world(config.world)
        sale = make_reference(config.scenario)
        if config.scenario.table is not None:
            folder.record(data={"table": sha256(Path(config.scenario.table))})
    else:
        world = obtain_world(config.world, folder)
        folder.record(data={"world": world.fingerprint()})
        sale = obtain_scenario(config.scenario, world, folder)
    kept = f"{config.agent.name.lower()}.checkpoint.safetensors"
    try:
        with folder.timed("training"):
            policy = train_agent(
                sale.compile(),
                config.agent,
                seed=config.seed,
                folder=folder.path,
                checkpoint=folder.path / kept,
                resume=None if resume is None else resume / kept,
            )
    except LearningError:
        (folder.path / kept).unlink(missing_ok=True)
        raise
    except (KeyboardInterrupt, InputError) as error:
        is_stop = isinstance(error, KeyboardInterrupt)
        stopped = folder.path if (folder.path / kept).exists() else resume if is_stop else None
        if stopped is not None:
            print(f"go on with: {command_line('experiments.train', resume=str(stopped))}", file=sys.stderr)
        raise
    if isinstance(sale, MenuSale | JointSale):
        report_exactly(sale, policy, folder=folder.path)
    else:
        print(_sentence(policy, sales=config.agent.evaluation_sales))
    print(f"Bundle: {folder.path / 'policies' / policy.name.lower()}", flush=True)


def _sentence(policy: NetworkPolicy, *, sales: int) -> str:
    """One sentence on what the network that was kept earned in greedy play on ``sales`` sales."""
    kept = policy.training["kept"]
    sentence = (
        f"{policy.name}, as it was after {kept['steps']:,} decisions, earned {kept['profit']:,.2f} a sale "
        f"(± {kept['standard_error']:,.2f}) in greedy play on {sales} sales of the training worlds"
    )
    if "lead" not in kept:
        return sentence
    name = "reward" if "reward" in kept else "profit"
    return f"{sentence}; its {name} was {kept['lead']:,.2f} (± {kept['lead_error']:,.2f}) above that of its rule"


def stopped_config(stopped: Path, given: TrainConfig) -> tuple[TrainConfig, str]:
    """The config of the training in ``stopped``, and its YAML; InputError when the folder is no such training, it left
    no checkpoint, or ``given`` says more than where it is, where results go and whose World is trusted: of that the
    folder has no say."""
    from agents.checkpoints import read_checkpoint

    untrusting = replace(given.world, trusted_keys=(), signed_only=False)
    if replace(given, resume=None, output="", world=untrusting) != TrainConfig(agent=PPOConfig(), output=""):
        raise InputError(
            f"resume={stopped} takes the settings of that folder; leave all others but output away "
            "(world.trusted_keys and world.signed_only may stay)"
        )
    kept, run = _kept_settings(stopped / CONFIG), read_run(stopped)
    facts = next((read_checkpoint(path)[1] for path in stopped.glob("*.checkpoint.safetensors")), None)
    if facts is None:
        is_finished = run.get("finished", False)
        why = "it was finished: its bundle is in policies/" if is_finished else "it stopped before it began to learn"
        raise InputError(f"{stopped} holds no checkpoint: {why}")
    shared = facts.get("shared")
    algorithm = shared.get("algorithm") if isinstance(shared, dict) else None
    kind = settings_for(str(algorithm))
    if kind is None:
        raise InputError(f"{stopped}: its checkpoint is of {brief(algorithm)}, which cannot go on here; train it again")
    node = schema(TrainConfig)
    node.agent = schema(kind)
    try:
        merged = OmegaConf.merge(node, literal(kept), {"output": literal(given.output)})
        assert isinstance(merged, DictConfig)
        if merged.world.folder is None and is_folder(stopped / "world"):
            merged.world.folder, merged.world.calibrate = literal(str(stopped / "world")), False
        merged.world.trusted_keys = literal(list(given.world.trusted_keys))
        merged.world.signed_only = given.world.signed_only
        config: TrainConfig = build(merged)
        return config, whole_text(merged, config)
    except (OmegaConfBaseException, OverflowError) as error:
        sentence = explain(error, Given((), stopped, CONFIG))
        raise InputError(f"cannot resume from {stopped}: {CONFIG}: {sentence}") from error


def _kept_settings(path: Path) -> dict[str, Any]:
    """What the ``config.yaml`` of a training says; InputError for a file that no run wrote."""
    try:
        settings = read_yaml(path)
    except InputError as error:
        raise InputError(f"cannot resume from {path.parent}: {path.name} {error}") from error
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise InputError(f"cannot resume from {path.parent}: {path.name} holds no settings; train it again")
    return settings


if __name__ == "__main__":
    main()
