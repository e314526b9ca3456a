"""CPU time until PPO or DQN earns a fixed return: ours against Stable-Baselines3 as it comes, on the same sale.

    python -m experiments.benchmark training
    python -m experiments.benchmark training agent=dqn
    python -m experiments.benchmark training sale=j1 seeds=3 profile=true

*As it comes*: ``PPO("MlpPolicy", DummyVecEnv([…] * 8))``, or DQN, with every setting at its default, on eight single
envs. DQN's exploration falls with the length of its training, so it is given as many decisions as ours.
*Ours*: ``TensorPPO``, ``PPO`` or ``DQN`` with the settings of ``agents.settings`` on the native batch. The return to
reach is a share of what ours has converged to (greedy play at the end, median over the seeds). One greedy evaluator
serves both, on the same sales; its time counts for neither. CPU time of all threads is compared, for wall time depends
on what else the machine does; the load average stands beside it. A stock training that does not get there in
``most_cpu_s``, or in its decisions, counts with the time that it took: the ratio is then a lower bound, and is told as
one. One of ours that does not counts with infinite time.
"""

import cProfile
import io
import os
import pstats
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from agents.dqn.settings import DQNConfig
from agents.learners import learner_of
from agents.ppo.settings import PPOConfig, TensorPPOConfig
from agents.settings import SEEDS_PER_RUN, AgentConfig
from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder, machine
from flashsim.envs.single import FlashSaleEnv
from flashsim.errors import InputError
from flashsim.files import write_json, write_page, write_table
from flashsim.reference import REFERENCE_SALES
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.parameters import check_range, check_whole

if TYPE_CHECKING:
    from stable_baselines3.common.callbacks import BaseCallback

RACERS = {"ppo": PPOConfig, "tensor_ppo": TensorPPOConfig, "dqn": DQNConfig}
OURS, STOCK = "ours", "stock settings, 8 single envs"
STOCK_ENVS = 8
_FOREVER = 10**9


@dataclass(frozen=True)
class TrainingSpeedConfig:
    """What is measured; the defaults take about half an hour of CPU time."""

    sale: str = "j1_lag1"
    """A reference sale by name. The best fixed orders should earn well below ``share``, as here (76 % of the optimum;
    in g1 94 %), or a network that has learned nothing may be there by luck, which is refused."""
    seeds: int = 5
    share: float = 0.95
    """Of the converged return, which is to be reached."""
    most_cpu_s: float = 900.0
    """CPU seconds after which a training with stock settings is given up."""
    evaluation_sales: int = 512
    profile: bool = False
    """Whether to profile one training of ours; the top of the table goes to ``profile.txt``."""
    agent: AgentConfig = field(default_factory=AgentConfig)  # conf/benchmark_training.yaml chooses one that can learn
    output: str = dated("benchmark_training")

    def __post_init__(self) -> None:
        if self.sale not in REFERENCE_SALES:
            raise InputError(f"sale: expected one of {', '.join(REFERENCE_SALES)}, got {self.sale!r}")
        check_whole("seeds", self.seeds, 1, 1_000)
        check_whole("evaluation_sales", self.evaluation_sales, 2, 10**6)
        check_range("share", self.share, 0.01, 1.0)
        check_range("most_cpu_s", self.most_cpu_s, 0.0, 1e6)


def learn_ours(sale: CompiledSale, config: AgentConfig, *, seed: int, sales: int) -> list[dict[str, float]]:
    """Train to the end; the curve of greedy play. The measuring of the reward's scale is on the clock."""
    from agents.ppo.entropy import EntropySchedule
    from agents.start.reward_scale import reward_scale
    from agents.training import make_model
    from experiments.benchmarks.timed_greedy import TimedGreedy

    first = seed * SEEDS_PER_RUN
    before = time.process_time()
    scale = reward_scale(sale, config.action(sale), seed=first)
    model = make_model(sale, config, seed=first, scale=scale)
    made = time.process_time() - before
    timed = TimedGreedy(
        sale,
        config.action(sale),
        network=learner_of(config).network,
        sales=sales,
        enough=np.inf,
        most_cpu_s=np.inf,
    )
    callbacks: list[BaseCallback] = [timed]
    if isinstance(config, PPOConfig):
        callbacks.append(EntropySchedule(config.entropy, until=config.entropy_until))
    model.learn(config.steps, callback=callbacks)
    timed.measure()
    return [point | {"cpu_s": point["cpu_s"] + made} for point in timed.curve]


def learn_stock(
    sale: CompiledSale, config: AgentConfig, *, seed: int, sales: int, enough: float, most_cpu_s: float
) -> list[dict[str, float]]:
    """Train with stock settings until ``enough`` or ``most_cpu_s``; the curve of greedy play."""
    from stable_baselines3 import DQN, PPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    from experiments.benchmarks.timed_greedy import TimedGreedy

    action = config.action(sale)
    env = DummyVecEnv([lambda: FlashSaleEnv(sale, action=action)] * STOCK_ENVS)
    algorithm, steps = (DQN, config.steps) if isinstance(config, DQNConfig) else (PPO, _FOREVER)
    model = algorithm("MlpPolicy", env, seed=seed, device="cpu")
    env.seed(seed * SEEDS_PER_RUN)
    network = learner_of(config).network
    timed = TimedGreedy(sale, action, network=network, sales=sales, enough=enough, most_cpu_s=most_cpu_s)
    model.learn(steps, callback=timed)
    if model.num_timesteps >= steps:
        timed.measure()
    return timed.curve


def cpu_to_reach(curve: list[dict[str, float]], enough: float) -> float | None:
    """CPU seconds at the first point of the curve that earns ``enough``; None where there is none."""
    return next((point["cpu_s"] for point in curve if point["profit"] >= enough), None)


def profile_of(sale: CompiledSale, config: AgentConfig, *, sales: int) -> str:
    """The 25 functions in which a training of ours spends most of its own time."""
    profiler = cProfile.Profile()
    profiler.runcall(learn_ours, sale, config, seed=0, sales=sales)
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(25)
    return text.getvalue()


def compare(sale: CompiledSale, config: TrainingSpeedConfig, agent: AgentConfig) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A row for each training and seed, and what they say together."""
    sales = config.evaluation_sales
    ours = {seed: learn_ours(sale, agent, seed=seed, sales=sales) for seed in range(config.seeds)}
    converged = float(np.median([curve[-1]["profit"] for curve in ours.values()]))
    enough = config.share * converged
    rows = []
    for seed, curve in ours.items():
        stock = learn_stock(sale, agent, seed=seed, sales=sales, enough=enough, most_cpu_s=config.most_cpu_s)
        for name, points in ((OURS, curve), (STOCK, stock)):
            if points[0]["profit"] >= enough:
                raise InputError(
                    f"sale {config.sale}: {name}, seed {seed}, earns the {enough:.4g} to reach before it has learned "
                    "anything; choose another sale or a larger share"
                )
            found = cpu_to_reach(points, enough)
            last = points[-1]
            at_least = np.inf if name == OURS else last["cpu_s"]
            spent = {"cpu_s": at_least if found is None else found, "is_reached": found is not None}
            rate = last["steps"] / max(last["cpu_s"], 1e-9)
            rows.append({"training": name, "seed": seed, **spent, "steps_a_cpu_s": rate, "load": os.getloadavg()[0]})
        print("\n".join(f"{row['training']}, seed {seed}: {row['cpu_s']:.1f} CPU s" for row in rows[-2:]), flush=True)
    table = pd.DataFrame(rows)
    ratio, is_lower_bound = ratio_of(table)
    return table, {
        "converged": converged,
        "return_to_reach": enough,
        "ratio": ratio,
        "is_lower_bound": is_lower_bound,
    }


def ratio_of(table: pd.DataFrame) -> tuple[float, bool]:
    """How many times less CPU time ours takes, by medians, and whether that is a lower bound: stock did not arrive."""
    by_training = table.groupby("training")
    median, arrived = by_training["cpu_s"].median(), by_training["is_reached"].all()
    return float(median[STOCK] / median[OURS]), not bool(arrived[STOCK])


@entry("benchmark_training", TrainingSpeedConfig, options={"agent": RACERS})
def main(config: TrainingSpeedConfig, folder: RunFolder) -> None:
    """Measure, print and save."""
    import torch
    from torch.distributions import Distribution

    from agents.training import check_training

    check_training(config.agent, seed=config.seeds)
    torch.set_num_threads(config.agent.torch_threads)
    Distribution.set_default_validate_args(False)
    sale = REFERENCE_SALES[config.sale]().compile()
    _warm_up(sale, config.agent)
    table, told = compare(sale, config, config.agent)
    if config.profile:
        write_page(folder.path / "profile.txt", profile_of(sale, config.agent, sales=config.evaluation_sales))
    write_table(folder.path / "training.csv", table)
    write_json(folder.path / "training.json", {"machine": machine(), "sale": config.sale, **told})
    print(f"\n{machine()['processor']}; {config.sale}, to reach {told['return_to_reach']:.4g}\n")
    print(table.to_string(index=False, float_format="{:.4g}".format))
    bound = "at least " if told["is_lower_bound"] else ""
    print(f"\nOurs takes {bound}{told['ratio']:.1f} times less CPU time (medians). Results: {folder.path}", flush=True)


def _warm_up(sale: CompiledSale, agent: AgentConfig) -> None:
    """Whatever happens only once: compiled code is loaded, libraries allocate."""
    from agents.training import make_model

    model = make_model(sale, agent, seed=0, scale=1.0)
    model.learn(1)
    learn_stock(sale, agent, seed=0, sales=2, enough=-np.inf, most_cpu_s=0.0)


if __name__ == "__main__":
    main()
