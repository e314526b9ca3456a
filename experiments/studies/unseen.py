"""Does the one config solve sales that it was not made for? Train on reference sales drawn at random, and say how near.

    python -m experiments.studies.unseen agent=ppo sales=24
    python -m experiments.studies.unseen agent=dqn sales=24 first=24 draw_seed=1

Each sale is written to a table file, which ``python -m experiments.train scenario=reference scenario.table=FILE`` takes
as well, and trained with the same settings; its greedy policy is evaluated exactly. ``unseen.csv`` has a row a sale, as
they come, ``unseen.json`` the whole distribution.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents.learners import SETTINGS
from agents.settings import AgentConfig
from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from experiments.studies.drawn_sales import draw_sale, sale_kind
from flashsim.errors import InputError
from flashsim.evaluation.limits.exact import exact_value
from flashsim.files import write_json, write_table
from flashsim.reference import JointSale, solve, table_file
from flashsim.sim.parameters import check_seed, check_whole

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class UnseenConfig:
    """Which sales are drawn, and who learns them."""

    sales: int = 24
    first: int = 0
    """Number of the first sale; sale n of a draw seed is the same in every run."""
    draw_seed: int = 0
    seed: int = 0
    """Of each training."""
    agent: AgentConfig = field(default_factory=AgentConfig)  # conf/unseen.yaml chooses one that can learn
    output: str = dated("unseen")

    def __post_init__(self) -> None:
        check_whole("sales", self.sales, 1, 10_000)
        check_whole("first", self.first, 0, 10**9)
        check_seed(self.draw_seed, name="draw_seed", bits=62)


def solve_drawn(number: int, config: UnseenConfig, folder: Path) -> dict[str, Any]:
    """Draw sale ``number``, train on it and evaluate exactly; a row of the table."""
    from agents.training import train

    path = folder / "tables" / f"{number:03d}.json"
    write_json(path, draw_sale(number, seed=config.draw_seed))
    sale = table_file(path)
    optimum = solve(sale).value
    if optimum <= 0.0:
        raise InputError(f"{path}: its optimum is {optimum}, of which there are no percents; draw with another seed")
    value = exact_value(sale, train(sale.compile(), config.agent, seed=config.seed).policy())
    is_joint = isinstance(sale, JointSale)
    return {
        "sale": number,
        "kind": sale_kind(number) + (", joint" if is_joint and sale_kind(number) != "joint" else ""),
        "ticks": len(sale.rates),
        "prices": len(sale.prices),
        "stock": sale.stock,
        "lag": sale.lag if isinstance(sale, JointSale) else None,
        "optimum": optimum,
        "value": value,
        "share": value / optimum,
    }


def distribution(shares: pd.Series) -> dict[str, float]:
    """Quantiles of the shares of the optimum, 0 the worst and 1 the best."""
    return {f"{q:g}": float(np.quantile(shares, q)) for q in QUANTILES}


@entry("unseen", UnseenConfig, options={"agent": SETTINGS})
def main(config: UnseenConfig, folder: RunFolder) -> None:
    """Solve one sale after the other, then print the whole distribution."""
    from agents.training import check_training

    check_training(config.agent, seed=config.seed)
    folder.record(seeds={"training": config.seed, "draws": config.draw_seed})
    rows: list[dict[str, Any]] = []
    for number in range(config.first, config.first + config.sales):
        with folder.timed("training"):
            rows.append(solve_drawn(number, config, folder.path))
        table = pd.DataFrame(rows)
        write_table(folder.path / "unseen.csv", table)
        row = rows[-1]
        print(f"sale {number}, {row['kind']}: {row['share']:.2%} of {row['optimum']:.4f}", flush=True)
    spread = distribution(table["share"])
    write_json(folder.path / "unseen.json", {"sales": len(rows), "quantiles": spread, "mean": table["share"].mean()})
    print(f"{config.agent.name} on {len(rows)} sales: " + ", ".join(f"{q}: {value:.2%}" for q, value in spread.items()))


if __name__ == "__main__":
    main()
