"""cpu against cuda: refused where there is no GPU, and what the table says where there is one."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from agents.ppo.settings import TensorPPOConfig
from agents.settings import Device
from experiments.benchmarks.devices import DevicesConfig, break_even, compare
from flashsim.errors import InputError
from flashsim.reference import g0
from tests.experiments.programs import Start, starter


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    return starter(monkeypatch, capsys, tmp_path)


def test_without_a_gpu_it_is_refused_and_nothing_is_left(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ended = start("benchmarks.devices", "output=one")
    assert ended.code == 2
    assert "cuda was asked for and there is no CUDA device here" in ended.stderr
    assert not (tmp_path / "one").exists()


def test_every_pair_of_batch_and_width_is_measured() -> None:
    agent = TensorPPOConfig(epochs=1)
    config = DevicesConfig(batches=(16, 64), widths=(8,), iterations=1, rounds=2, agent=agent)
    table = compare(g0().compile(), config, (Device.cpu,))
    assert list(zip(table["width"], table["batch"], strict=True)) == [(8, 16), (8, 64)]
    assert (table["cpu"] > 0.0).all()


def test_the_break_even_is_where_cuda_stays_ahead() -> None:
    rows = [(64, 1, 9.0, 1.0), (64, 2, 9.0, 10.0), (64, 4, 9.0, 8.0), (64, 8, 9.0, 9.0), (64, 16, 9.0, 20.0)]
    rows += [(128, 1, 9.0, 10.0), (128, 2, 9.0, 11.0), (256, 1, 9.0, 10.0), (256, 2, 9.0, 8.0)]
    table = pd.DataFrame(rows, columns=["width", "batch", "cpu", "cuda"])
    assert break_even(table) == {64: 8, 128: 1, 256: None}


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(InputError, match="sale: expected one of g0"):
        DevicesConfig(sale="g2")
    with pytest.raises(InputError, match="batches must name at least one number"):
        DevicesConfig(batches=())


@pytest.mark.gpu
def test_with_a_gpu_it_leaves_a_table(start: Start, tmp_path: Path) -> None:
    ended = start("benchmarks.devices", "sale=g0", "batches=[64]", "widths=[8]", "rounds=1", "output=one")
    assert ended.code == 0, ended.stderr
    assert pd.read_csv(tmp_path / "one" / "devices.csv")["ratio"].gt(0.0).all()
