"""cpu against cuda on the same training: decisions a second, and from what batch and network on cuda is the faster.

    python -m experiments.benchmarks.devices
    python -m experiments.benchmarks.devices sale=j1 'batches=[4096,65536]' 'widths=[64,1024]'

For every minibatch and width of the two hidden layers, ``TensorPPO`` trains on both devices in turns: the same sale,
seed, rollouts (four minibatches) and epochs. The first rollout of each is off the clock; a second is decisions over the
wall time of the rest, the device's queue run empty. The median over the rounds is told, and the smallest minibatch from
which on cuda is never the slower. The simulator runs on the cpu in both, and its time is part of both. The learning
itself may differ in the last bits between devices. Needs a CUDA device.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import pandas as pd

from agents.ppo.settings import FEWEST_ROLLOUTS, TensorPPOConfig
from agents.settings import Device
from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder, machine
from flashsim.errors import InputError
from flashsim.files import write_json, write_table
from flashsim.reference import REFERENCE_SALES
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.parameters import check_whole

MINIBATCHES = 4  # in a rollout


@dataclass(frozen=True)
class DevicesConfig:
    """What is measured; the defaults take some minutes."""

    sale: str = "j1_lag1"
    """A reference sale by name."""
    batches: tuple[int, ...] = (512, 2_048, 8_192, 32_768)
    """Decisions of a minibatch."""
    widths: tuple[int, ...] = (64, 256, 1_024)
    """Of both hidden layers."""
    iterations: int = 3
    """Rollouts with their updates on the clock."""
    rounds: int = 3
    """Turns of each device."""
    agent: TensorPPOConfig = field(default_factory=TensorPPOConfig)
    """Settings beside these; its device, batch_size, rollout_steps, steps and layers are replaced."""
    output: str = dated("benchmark_devices")

    def __post_init__(self) -> None:
        if self.sale not in REFERENCE_SALES:
            raise InputError(f"sale: expected one of {', '.join(REFERENCE_SALES)}, got {self.sale!r}")
        for name in ("batches", "widths"):
            if not getattr(self, name):
                raise InputError(f"{name} must name at least one number, got {getattr(self, name)!r}")
            for number in getattr(self, name):
                check_whole(name, number, 1, 10**8)
        check_whole("iterations", self.iterations, 1, 10**6)
        check_whole("rounds", self.rounds, 1, 10**6)


def decisions_a_second(sale: CompiledSale, agent: TensorPPOConfig, *, iterations: int) -> float:
    """Decisions trained on in a second of wall time, after a first rollout and its update."""
    import torch

    from agents.training import make_model

    model = make_model(sale, agent, seed=0, scale=1.0)
    model.learn(1)
    started, before = time.perf_counter(), model.num_timesteps
    model.learn(iterations * before, reset_num_timesteps=False)
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
    return (model.num_timesteps - before) / (time.perf_counter() - started)


def compare(sale: CompiledSale, config: DevicesConfig, devices: Sequence[Device]) -> pd.DataFrame:
    """A row for each width and minibatch: median decisions a second on each of ``devices``, measured in turns."""
    rows = []
    for width in config.widths:
        for batch in config.batches:
            rates: dict[str, list[float]] = {device.value: [] for device in devices}
            for _ in range(config.rounds):
                for device in devices:
                    agent = TensorPPOConfig(
                        **{
                            **vars(config.agent),
                            "device": device,
                            "batch_size": batch,
                            "rollout_steps": MINIBATCHES * batch,
                            "steps": FEWEST_ROLLOUTS * MINIBATCHES * batch,  # or rollouts are made smaller
                            "layers": (width, width),
                        }
                    )
                    rates[device.value].append(decisions_a_second(sale, agent, iterations=config.iterations))
            rows.append({"width": width, "batch": batch} | {name: median(found) for name, found in rates.items()})
            print(", ".join(f"{name} {value:,.0f}" for name, value in rows[-1].items()), flush=True)
    return pd.DataFrame(rows)


def break_even(table: pd.DataFrame) -> dict[int, int | None]:
    """Width -> smallest minibatch from which on cuda is never the slower; None where there is none."""
    found: dict[int, int | None] = {}
    for width, rows in table.sort_values("batch").groupby("width"):
        slower = rows["cuda"] < rows["cpu"]
        beyond = rows[~slower[::-1].cummax()[::-1]]
        found[int(str(width))] = None if beyond.empty else int(beyond["batch"].iloc[0])
    return found


@entry("benchmark_devices", DevicesConfig)
def main(config: DevicesConfig, folder: RunFolder) -> None:
    """Measure, print and save."""
    import torch
    from torch.distributions import Distribution

    from agents.training import torch_device

    torch_device(Device.cuda)  # refuses where there is none
    torch.set_num_threads(config.agent.torch_threads)
    Distribution.set_default_validate_args(False)
    table = compare(REFERENCE_SALES[config.sale]().compile(), config, (Device.cpu, Device.cuda))
    table["ratio"] = table["cuda"] / table["cpu"]
    facts = machine() | {"cuda_device": torch.cuda.get_device_name(), "torch_threads": config.agent.torch_threads}
    write_table(folder.path / "devices.csv", table)
    write_json(folder.path / "devices.json", {"machine": facts, "sale": config.sale})
    print(f"\n{facts['processor']}, {facts['torch_threads']} thread(s), and {facts['cuda_device']}\n")
    print(table.to_string(index=False, float_format="{:,.2f}".format))
    for width, batch in break_even(table).items():
        told = (
            f"cuda is the faster from minibatches of {batch:,} on" if batch else "the cpu is the faster at the largest"
        )
        print(f"Two layers of {width}: {told}")
    print(f"Results: {folder.path}", flush=True)


if __name__ == "__main__":
    main()
