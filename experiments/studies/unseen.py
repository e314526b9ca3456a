"""Does the one config solve sales that it was not made for? Train on reference sales drawn at random, and say how near.

    python -m experiments.studies.unseen agent=ppo sales=24
    python -m experiments.studies.unseen agent=dqn sales=24 first=24 draw_seed=1

Each sale is written to a table file, which ``python -m experiments.train scenario=reference scenario.table=FILE`` takes
as well, and trained with the same settings; its greedy policy is evaluated exactly. ``unseen.csv`` has a row a sale, as
they come, ``unseen.json`` the whole distribution.

Amounts are expected and exact: of the optimum, of the learned policy, of the best fixed orders, and of the best path of
prices (and servers) announced beforehand. ``share`` is of the optimum; ``normalized`` is 0 at the best fixed orders and
1 at the optimum, and empty where fixed orders earn within .1 % of it; ``feedback``, the prize of feedback, is the share
of the optimum that no announced path earns, as far as a local search knows (``flashsim.reference.best_price_path``).
Where it is above 1 %, a policy that sees what sells should earn more than the path.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from agents.learners import SETTINGS
from agents.settings import AgentConfig
from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from experiments.studies.drawn_sales import draw_sale, sale_kind
from flashsim.errors import InputError
from flashsim.evaluation.limits.exact import exact_value, normalized_share
from flashsim.files import write_json, write_table
from flashsim.reference import JointSale, best_fixed, best_price_path, solve, table_file
from flashsim.sim.parameters import check_seed, check_whole

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 1.0)
WORTH_SEEING = 0.01  # prize of feedback from which on a policy should earn more than an announced path


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

    table = folder / "tables" / f"{number:03d}.json"
    write_json(table, draw_sale(number, seed=config.draw_seed))
    sale = table_file(table)
    optimum = solve(sale).value
    if optimum <= 0.0:
        raise InputError(f"{table}: its optimum is {optimum}, of which there are no percents; draw with another seed")
    fixed, announced = best_fixed(sale), best_price_path(sale).value
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
        "fixed": fixed,
        "announced": announced,
        "value": value,
        "share": value / optimum,
        "normalized": normalized_share(value, fixed=fixed, optimum=optimum),
        "feedback": 1.0 - announced / optimum,
    }


def distribution(shares: pd.Series) -> dict[str, float]:
    """Quantiles of the shares that there are, 0 the worst and 1 the best; nothing where there is none."""
    return {f"{q:g}": float(shares.quantile(q)) for q in QUANTILES} if shares.notna().any() else {}


def below_announced(table: pd.DataFrame) -> list[int]:
    """Numbers of the sales in which feedback is worth seeing, and the policy earned less than the announced path."""
    is_below = (table["feedback"] > WORTH_SEEING) & (table["value"] < table["announced"])
    return [int(number) for number in table.loc[is_below, "sale"]]


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
        print(_sentence(rows[-1]), flush=True)
    spread, normalized = (distribution(table[name].astype(float)) for name in ("share", "normalized"))
    below, worth = below_announced(table), int((table["feedback"] > WORTH_SEEING).sum())
    summary = {"sales": len(rows), "quantiles": spread, "mean": table["share"].mean(), "normalized": normalized}
    write_json(folder.path / "unseen.json", summary | {"feedback": {"sales": worth, "below_announced": below}})
    print(f"{config.agent.name} on {len(rows)} sales, of the optimum: {_quantiles(spread)}")
    print(f"from the best fixed orders, 0, to the optimum, 1: {_quantiles(normalized)}")
    print(
        f"of {worth} sales where feedback is worth over {WORTH_SEEING:.0%}, below the best announced path: "
        + (", ".join(map(str, below)) or "none")
    )


def _sentence(row: Mapping[str, Any]) -> str:
    between = "" if row["normalized"] is None else f", normalized {row['normalized']:.2%}"
    announced = f"the best announced path {row['announced'] / row['optimum']:.2%}"
    return f"sale {row['sale']}, {row['kind']}: {row['share']:.2%} of {row['optimum']:.4f}{between}; {announced}"


def _quantiles(spread: Mapping[str, float]) -> str:
    return ", ".join(f"{q}: {value:.2%}" for q, value in spread.items()) or "fixed orders are within .1% in all"


if __name__ == "__main__":
    main()
