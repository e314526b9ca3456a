"""The benchmark: what it leaves behind, and what it refuses."""

import math
from pathlib import Path

import pandas as pd
import pytest

from experiments.benchmark import SINGLE, BenchmarkConfig, main
from experiments.launch.outputs import start_run
from flashsim.errors import InputError
from flashsim.files import read_json

QUICK = BenchmarkConfig(
    sales=(1, 16),
    threads=(1, 2),
    products=(1, 2),
    segments=(1, 2),
    cell_sales=16,
    seconds=0.01,
    repeats=2,
    memory_sales=32,
    memory_chunk=16,
    measures_starts=False,
)


def test_a_quick_run_leaves_tables_and_a_figure(tmp_path: Path) -> None:
    main.__wrapped__(QUICK, start_run(tmp_path / "run", config="", command=""))  # type: ignore[attr-defined]
    speed = pd.read_csv(tmp_path / "run" / "speed.csv")
    scaling = pd.read_csv(tmp_path / "run" / "scaling.csv")
    results = read_json(tmp_path / "run" / "benchmark.json")
    assert set(speed["case"]) >= {"sales: 1, threads: 1", "sales: 16, threads: 2", SINGLE}
    figures = [*speed["per_second"], *speed["per_cpu_second"], *scaling["microseconds_cpu"]]
    figures += [results["state_bytes_a_sale"], results["megabytes_of_32_sales_by_16"]]
    assert all(math.isfinite(figure) and figure > 0.0 for figure in figures)
    assert scaling["cells"].tolist() == [1, 2, 2, 4]
    assert results["machine"]["processor"]
    assert (tmp_path / "run" / "benchmark.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("changes", [{"sales": ()}, {"products": (8, 8)}, {"threads": (0,)}, {"repeats": 0}])
def test_what_cannot_be_measured_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        BenchmarkConfig(**changes)  # type: ignore[arg-type]
