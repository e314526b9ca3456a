"""Judge the price response on sales whose demand is known: does it find the truth where a plain regression does not?

python -m experiments.studies.price_truth
python -m experiments.studies.price_truth seeds=3 rows=2000

Leaves ``scores.csv`` (one row a case, method and seed) and ``summary.csv``, and prints the summary, losers included.
Errors are those of the worst product; WAPE is that of mean demand at 2 000 prices that we set (33 % below to 50 % above
the reference price) with x known, and regret the share of profit lost by asking the price that the model recommends.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.launch.entry import dated, entry
from experiments.launch.outputs import RunFolder
from experiments.launch.progress import progress_meter
from flashsim.data.synthetic import PricedSales, draw_sales
from flashsim.errors import InputError
from flashsim.files import write_table
from flashsim.models.price.price_response import PriceResponse

REQUESTS: Final = 2_000
MENU: Final = np.exp(np.linspace(-0.65, 1.6, 400))
"""Prices over the reference price among which the most profitable is sought."""
COST_SHARE: Final = 0.5
"""Unit cost over the reference price."""
GOALS: Final = {"error": 0.2, "wape": 0.08, "regret": 0.02}
BOTH: Final = PricedSales()
CASES: Final[dict[str, PricedSales]] = {
    "clean": replace(BOTH, kappa=0.0, sold_out_share=0.0),
    "prices react": replace(BOTH, sold_out_share=0.0),
    "shelves run empty": replace(BOTH, kappa=0.0, sold_out_share=0.48),
    "both": BOTH,
    "both, elasticity -1.3": replace(BOTH, elasticity=-1.3),
    "both, elasticity -3": replace(BOTH, elasticity=-3.0),
    "both, elasticity -4": replace(BOTH, elasticity=-4.0),
    "both, shocks of sd .2": replace(BOTH, shock_sd=0.2),
    "both, shocks of sd .6": replace(BOTH, shock_sd=0.6),
    "both, kappa .8": replace(BOTH, kappa=0.8),
    "both, kappa .8, sd .6, elasticity -1.3": replace(BOTH, kappa=0.8, shock_sd=0.6, elasticity=-1.3),
    "both, 20 % sold out": replace(BOTH, sold_out_share=0.2),
    "both, 70 % sold out": replace(BOTH, sold_out_share=0.7),
    "both, 85 % sold out": replace(BOTH, sold_out_share=0.85),
    "both, x without effect": replace(BOTH, covariate_effect=0.0),
    "both, x not in the table": BOTH,
    "both, few units": replace(BOTH, level=1.0),
    "both, many units": replace(BOTH, level=5.5),
    "both, skewed shocks": replace(BOTH, shock="gamma"),
    "both, 4 products": replace(BOTH, products=4, elasticity=-2.4, elasticity_spread=1.0, level_spread=1.0),
    "both, 20 products": replace(BOTH, products=20, elasticity=-2.4, elasticity_spread=0.8, level_spread=1.0),
    "both, instrument a third as strong": replace(BOTH, instrument_strength=0.05),
    "both, weak instrument": replace(BOTH, instrument_strength=0.004),
}
Mean = Callable[[pd.DataFrame], NDArray[np.float64]]


@dataclass(frozen=True)
class PriceTruthConfig:
    """How much is tried."""

    rows: int = 8_000
    """Rows of a table."""
    seeds: int = 10
    """Tables a case."""
    first_seed: int = 0
    output: str = dated("price_truth")

    def __post_init__(self) -> None:
        if self.rows < 100 or self.seeds < 1 or self.first_seed < 0:
            raise InputError(
                f"rows, seeds and first_seed: expected at least 100, 1 and 0, "
                f"got {self.rows}, {self.seeds}, {self.first_seed}"
            )


@entry("price_truth", PriceTruthConfig)
def main(config: PriceTruthConfig, folder: RunFolder) -> None:
    """Score every case and method, print and write the summary."""
    seeds = list(range(config.first_seed, config.first_seed + config.seeds))
    folder.record(seeds=seeds)
    rows: list[dict[str, Any]] = []
    with folder.timed("scoring"), progress_meter("scoring", total=len(CASES) * len(seeds)) as advance:
        for name in CASES:
            for seed in seeds:
                rows.extend(score_case(name, seed=seed, rows=config.rows))
                advance(1)
    scores = pd.DataFrame(rows)
    table = summarize(scores)
    for file, frame in (("scores", scores), ("summary", table)):
        write_table(folder.path / f"{file}.csv", frame)
    print(table.to_string(index=False, float_format="{:.3f}".format), flush=True)


def score_case(name: str, *, seed: int, rows: int) -> list[dict[str, Any]]:
    """Scores of every method on one table of a case."""
    truth = CASES[name]
    generator = np.random.default_rng(seed)
    table = draw_sales(truth, rows, generator=generator)
    hides_x = name.endswith("x not in the table")
    if hides_x:
        table = table.drop(columns="x")
    product = generator.integers(truth.products, size=REQUESTS)
    x = np.zeros(REQUESTS) if hides_x else generator.standard_normal(REQUESTS)
    price = truth.reference_price * np.exp(generator.uniform(-0.4, 0.4, REQUESTS))
    averaged = np.exp(truth.covariate_effect**2 / 2.0) if hides_x else 1.0
    request = pd.DataFrame({"product_id": product, "price": price, "x": x})
    wanted = truth.mean_demand(price, product=product, x=x) * averaged
    out = []
    for method, learn in METHODS.items():
        slopes, mean, facts = learn(table)
        score = {
            "error": float(np.abs(slopes - truth.elasticities).max()),
            "bias": float((slopes - truth.elasticities).mean()),
            "wape": float(np.abs(mean(request) - wanted).sum() / wanted.sum()),
            "regret": max(_regret(truth, mean, product=i) for i in range(truth.products)),
        }
        if "low" in facts:
            inside = (facts.pop("low") <= truth.elasticities) & (truth.elasticities <= facts.pop("high"))
            facts["covered"] = float(inside.mean())
        out.append({"case": name, "method": method, "seed": seed} | score | facts)
    return out


def _regret(truth: PricedSales, mean: Mean, *, product: int) -> float:
    """Share of the best profit that the model's best price loses."""
    price = truth.reference_price * MENU
    here, x = np.full(price.size, product), np.zeros(price.size)
    margin = price - COST_SHARE * truth.reference_price
    profit = margin * truth.mean_demand(price, product=here, x=x)
    expected = margin * mean(pd.DataFrame({"product_id": here, "price": price, "x": x}))
    return float(1.0 - profit[np.argmax(expected)] / profit.max())


def _by_response(table: pd.DataFrame) -> tuple[NDArray[np.float64], Mean, dict[str, Any]]:
    model = PriceResponse().fit(table)
    found = model.elasticities().astype({"product_id": int}).sort_values("product_id")
    facts = {
        "low": found["low"].to_numpy(),
        "high": found["high"].to_numpy(),
        "first_stage_f": model.diagnosis.first_stage_f,
        "called_identified": float(found["is_identified"].mean()),
    }
    slopes = found["elasticity"].to_numpy()
    return slopes, lambda request: model.predict(request, levels=(0.5,))["mean"].to_numpy(), facts


def _without_instrument(table: pd.DataFrame) -> tuple[NDArray[np.float64], Mean, dict[str, Any]]:
    return _by_response(table.drop(columns="instrument"))


def _plain_poisson(table: pd.DataFrame) -> tuple[NDArray[np.float64], Mean, dict[str, Any]]:
    """Poisson regression of units on price, product by product: what one gets without a thought."""
    effects = []
    for product in range(table["product_id"].nunique()):
        rows = table[table["product_id"] == product]
        design = _poisson_design(rows)
        beta = np.append(np.log(rows["units"].mean() + 0.1), np.zeros(design.shape[1] - 1))
        for _ in range(30):
            rate = np.exp(design @ beta)
            beta += np.linalg.solve((design.T * rate) @ design, design.T @ (rows["units"].to_numpy() - rate))
        effects.append(beta)
    beta = np.stack(effects)

    def mean(request: pd.DataFrame) -> NDArray[np.float64]:
        used = request if "x" in table.columns else request.drop(columns="x")
        return np.exp((_poisson_design(used) * beta[request["product_id"].to_numpy()]).sum(axis=1))

    return beta[:, 1], mean, {}


def _poisson_design(rows: pd.DataFrame) -> NDArray[np.float64]:
    columns = [np.ones(len(rows)), np.log(rows["price"].to_numpy() / BOTH.reference_price)]
    return np.column_stack([*columns, rows["x"]] if "x" in rows.columns else columns)


METHODS: Final = {
    "price response": _by_response,
    "price response, no instrument": _without_instrument,
    "plain Poisson regression": _plain_poisson,
}


def summarize(scores: pd.DataFrame) -> pd.DataFrame:
    """Worst seed of each case and method, and whether it keeps within every goal."""
    by = scores.groupby(["case", "method"], sort=False)
    worst = by[list(GOALS)].max()
    extras = [column for column in ("covered", "called_identified") if column in scores]
    table = worst.join(by[["bias", *extras]].mean())
    if "first_stage_f" in scores:
        table = table.join(by["first_stage_f"].min())
    keeps = np.logical_and.reduce([worst[name] <= goal for name, goal in GOALS.items()])
    return table.assign(keeps=np.where(keeps, "yes", "no")).reset_index()


if __name__ == "__main__":
    main()
