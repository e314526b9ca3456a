"""The made sales are what they say: a plain regression is misled by them as far as theory says it is."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from flashsim.data.synthetic import PricedSales, draw_sales
from flashsim.errors import InputError

BOTH = PricedSales()


def draw(truth: PricedSales, *, rows: int = 20_000, seed: int = 0) -> pd.DataFrame:
    return draw_sales(truth, rows, generator=np.random.default_rng(seed))


def plain_poisson_slope(table: pd.DataFrame) -> float:
    design = np.column_stack([np.ones(len(table)), np.log(table["price"] / 50.0), table["x"]])
    beta = np.array([np.log(table["units"].mean()), 0.0, 0.0])
    for _ in range(25):
        rate = np.exp(design @ beta)
        beta += np.linalg.solve((design.T * rate) @ design, design.T @ (table["units"].to_numpy() - rate))
    return float(beta[1])


@pytest.mark.parametrize(
    ("kappa", "sold_out_share", "slope"), [(0.0, 0.0, -2.0), (0.4, 0.0, -0.72), (0.0, 0.48, -0.96), (0.4, 0.47, -0.39)]
)
def test_a_plain_regression_finds_what_the_reference_says_it_finds(
    kappa: float, sold_out_share: float, slope: float
) -> None:
    """How shelves are stocked is not part of the reference, hence .1."""
    table = draw(replace(BOTH, kappa=kappa, sold_out_share=sold_out_share))
    assert plain_poisson_slope(table) == pytest.approx(slope, abs=0.1)


def test_shelves_run_empty_as_often_as_wanted_and_nothing_is_sold_twice() -> None:
    table = draw(BOTH)
    assert (table["units"] <= table["stock"]).all()
    assert (table["units"] == table["stock"]).mean() == pytest.approx(0.47, abs=0.01)
    assert "stock" not in draw(replace(BOTH, sold_out_share=0.0), rows=10)


@pytest.mark.parametrize("shock", ["normal", "gamma"])
def test_mean_demand_is_the_mean_of_draws(shock: str) -> None:
    truth = replace(BOTH, kappa=0.0, sold_out_share=0.0, shock=shock, products=2, level_spread=0.5)
    table = draw(truth, rows=40_000)
    mean = truth.mean_demand(
        table["price"].to_numpy(), product=table["product_id"].to_numpy(dtype=np.intp), x=table["x"].to_numpy()
    )
    z = (table["units"] - mean).mean() / (table["units"] - mean).std() * np.sqrt(len(table))
    assert abs(z) < 4.0


def test_equal_seeds_draw_equal_sales_and_impossible_truths_are_refused() -> None:
    pd.testing.assert_frame_equal(draw(BOTH, rows=50, seed=3), draw(BOTH, rows=50, seed=3))
    with pytest.raises(InputError, match="elasticity must stay below 0"):
        PricedSales(elasticity=-0.5, elasticity_spread=1.0)
    with pytest.raises(InputError, match="kappa must be >= 0, got -1"):
        PricedSales(kappa=-1.0)
    with pytest.raises(InputError, match="sold_out_share must be in"):
        PricedSales(sold_out_share=1.0)
    with pytest.raises(InputError, match="normal or gamma"):
        PricedSales(shock="uniform")
