"""The price response finds the truth where prices react and shelves run empty, and says so where it cannot."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.studies.price_truth import CASES, GOALS, score_case, summarize
from flashsim.data.synthetic import PricedSales, draw_sales
from flashsim.errors import InputError
from flashsim.models.price.price_effects import fieller_interval
from flashsim.models.price.price_response import PriceResponse

BOTH = PricedSales()
ROWS = 2_000


def table_of(truth: PricedSales, *, rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    return draw_sales(truth, rows, generator=np.random.default_rng(seed))


@pytest.fixture(scope="module")
def sales() -> pd.DataFrame:
    return table_of(BOTH)


@pytest.fixture(scope="module")
def model(sales: pd.DataFrame) -> PriceResponse:
    return PriceResponse().fit(sales)


@pytest.mark.parametrize("elasticity", [-1.3, -4.0])
def test_the_elasticity_is_found_though_prices_react_and_shelves_run_empty(elasticity: float) -> None:
    truth = replace(BOTH, elasticity=elasticity)
    found = PriceResponse().fit(table_of(truth)).elasticities(confidence=0.999).iloc[0].to_dict()
    assert found["low"] <= elasticity <= found["high"]
    assert found["high"] - found["low"] < 0.8
    assert found["is_identified"]


def test_mean_demand_at_prices_that_we_set_is_the_true_one(model: PriceResponse) -> None:
    price = np.linspace(35.0, 70.0, 30)
    x = np.linspace(-1.0, 1.0, 30)
    predicted = model.predict(pd.DataFrame({"product_id": 0, "price": price, "x": x}))
    true = BOTH.mean_demand(price, product=np.zeros(30, dtype=np.intp), x=x)
    assert np.abs(predicted["mean"] - true).sum() / true.sum() < 0.1


@pytest.mark.parametrize(("alpha", "level"), [(0.3, 20.0), (2.0, 2.0), (4.0, 10.0)])
def test_means_of_counts_without_a_lognormal_tail_are_no_more_biased_than_a_constant(
    alpha: float, level: float
) -> None:
    """Promoted products whose days vary by gamma factors; the last fifty days are forecast."""
    generator, tables = np.random.default_rng(0), []
    for product in range(10):
        ratio = np.where(np.arange(200) % 21 < 5, generator.choice([0.5, 0.6, 0.75]), 1.0)
        mean = level * generator.uniform(0.3, 3.0) * ratio ** generator.uniform(-6.0, -2.0)
        units = generator.poisson(mean * generator.gamma(1.0 / alpha, alpha, size=200))
        days = pd.date_range("2025-01-06", periods=200)
        tables.append(
            pd.DataFrame({"date": days, "product_id": product, "units": units, "price": 10.0 * ratio, "mean": mean})
        )
    table = pd.concat(tables, ignore_index=True)
    is_late = table["date"] >= "2025-06-05"
    early, late = table[~is_late].drop(columns="mean"), table[is_late]
    found = PriceResponse().fit(early).predict(late)["mean"].sum() / late["mean"].sum() - 1.0
    constant = late["product_id"].map(early.groupby("product_id")["units"].mean()).sum() / late["mean"].sum() - 1.0
    assert abs(found) < max(abs(constant), 4.0 * np.sqrt(alpha / 500.0))


def test_quantiles_hold_what_they_promise_when_prices_no_longer_react(model: PriceResponse) -> None:
    fresh = table_of(replace(BOTH, kappa=0.0, sold_out_share=0.0), rows=4_000, seed=1)
    predicted = model.predict(fresh, levels=(0.05, 0.5, 0.95))
    units = fresh["units"]
    below = (units < predicted["q0.05"]).mean(), (units <= predicted["q0.05"]).mean()
    above = (units > predicted["q0.95"]).mean(), (units >= predicted["q0.95"]).mean()
    for strict, loose in (below, above):
        assert strict < 0.065
        assert loose > 0.035
    assert (units < predicted["q0.5"]).mean() < 0.53 < (units <= predicted["q0.5"]).mean() + 0.06


def test_demand_falls_with_the_price_and_is_marked_beyond_the_prices_seen(model: PriceResponse) -> None:
    price = np.array([5.0, 45.0, 50.0, 55.0, 500.0])
    predicted = model.predict(pd.DataFrame({"product_id": 0, "price": price, "x": 0.0}))
    assert (np.diff(predicted["mean"]) < 0.0).all()
    assert predicted["is_extrapolated"].tolist() == [True, False, False, False, True]


def test_intervals_widen_beyond_the_prices_seen() -> None:
    """So many units that Poisson noise, which is relatively smaller at low prices, does not count."""
    model = PriceResponse().fit(table_of(replace(BOTH, level=8.0), rows=200))
    predicted = model.predict(pd.DataFrame({"product_id": 0, "price": [5.0, 25.0, 50.0], "x": 0.0}))
    width = np.log(predicted["q0.95"] / predicted["q0.05"])
    assert width[0] > 1.1 * width[2]
    assert width[0] > width[1] > width[2]


def test_a_weak_instrument_is_called_weak_and_gives_no_confident_number() -> None:
    weak = PriceResponse().fit(table_of(replace(BOTH, instrument_strength=0.0), seed=3))
    found = weak.elasticities().iloc[0].to_dict()
    assert weak.diagnosis.first_stage_f < 10.0
    assert not weak.diagnosis.is_identified
    assert any("do not tell the response" in sentence for sentence in weak.diagnosis.words)
    assert not found["high"] - found["low"] < 1.0
    strong = PriceResponse().fit(table_of(BOTH, seed=3))
    request = pd.DataFrame({"product_id": 0, "price": [25.0], "x": 0.0})
    wide, narrow = (m.predict(request).iloc[0].to_dict() for m in (weak, strong))
    assert wide["q0.95"] / (wide["q0.05"] + 1.0) > 1.5 * narrow["q0.95"] / (narrow["q0.05"] + 1.0)


def test_fieller_intervals_are_normal_ones_with_a_strong_instrument_and_everything_with_none() -> None:
    strong = fieller_interval(-2.0, 0.1, rho=0.0, strength=1e12, c=1.645)
    assert strong == pytest.approx((-2.0 - 0.1645, -2.0 + 0.1645))
    assert fieller_interval(-2.0, 0.1, rho=1.0, strength=2.0, c=1.645) == (-np.inf, np.inf)
    low, high = fieller_interval(-2.0, 0.1, rho=2.0, strength=50.0, c=1.645)
    for end in (low, high):  # at its ends the defining inequality is an equality
        assert (-2.0 - end) ** 2 == pytest.approx(1.645**2 * (0.1**2 + (-2.0 + 2.0 - end) ** 2 / 50.0))


def test_without_an_instrument_shared_weeks_are_taken_out_and_the_caveat_is_stated() -> None:
    """Prices follow the week's demand; from day to day they are random. A plain regression is off by half."""
    generator = np.random.default_rng(4)
    weeks = np.repeat(np.arange(150), 7)
    shock = 0.4 * generator.standard_normal(150)[weeks]
    log_price = 0.5 * shock + 0.1 * generator.standard_normal(weeks.size)
    table = pd.DataFrame(
        {
            "date": pd.Timestamp("2020-01-06") + pd.to_timedelta(np.arange(weeks.size), unit="D"),
            "product_id": "tea",
            "units": generator.poisson(np.exp(3.0 - 2.0 * log_price + shock)),
            "price": 4.0 * np.exp(log_price),
        }
    )
    model = PriceResponse().fit(table)
    slope = np.polyfit(np.log(table["price"]), np.log(table["units"] + 0.5), 1)[0]
    assert slope > -1.2
    assert model.elasticities()["elasticity"].iloc[0] == pytest.approx(-2.0, abs=0.25)
    assert model.diagnosis.basis == "product and week effects"
    assert not model.diagnosis.is_identified
    assert "no instrument" in model.diagnosis.words[0]


def test_a_product_with_one_price_takes_the_response_of_the_others() -> None:
    table = table_of(replace(BOTH, products=4, kappa=0.0, sold_out_share=0.0))
    table.loc[table["product_id"] == 3, "price"] = 50.0
    found = PriceResponse().fit(table.drop(columns="instrument")).elasticities()
    width = (found["high"] - found["low"]).to_numpy()
    assert found["elasticity"].to_numpy()[3] == pytest.approx(-2.0, abs=0.3)
    assert width[3] > width[0]


def test_sales_that_rise_with_the_price_give_no_response_and_a_warning() -> None:
    table = table_of(replace(BOTH, kappa=0.0, sold_out_share=0.0), rows=500).drop(columns="instrument")
    table["price"] = 2500.0 / table["price"]
    model = PriceResponse().fit(table)
    assert model.elasticities()["elasticity"].iloc[0] == 0.0
    assert any("rose with the price" in sentence for sentence in model.diagnosis.words)
    price_index = pd.DataFrame({"product_id": 0, "price": [40.0, 60.0], "x": 0.0})
    assert model.predict(price_index)["mean"].is_monotonic_decreasing


def test_a_saved_model_predicts_the_same_and_a_changed_file_is_refused(
    model: PriceResponse, sales: pd.DataFrame, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    again = PriceResponse.load(tmp_path / "model")
    pd.testing.assert_frame_equal(again.predict(sales.head(50)), model.predict(sales.head(50)))
    arrays = tmp_path / "model" / "price_response.safetensors"
    arrays.write_bytes(arrays.read_bytes()[:-8] + b"12345678")
    with pytest.raises(InputError, match="was changed"):
        PriceResponse.load(tmp_path / "model")


def test_the_same_table_gives_the_same_model_in_any_order_of_rows(sales: pd.DataFrame) -> None:
    first = PriceResponse().fit(sales.head(500)).elasticities()
    second = PriceResponse().fit(sales.head(500).iloc[::-1]).elasticities()
    pd.testing.assert_frame_equal(first, second, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"units": -1}, "column 'units' holds -1.0 in row 0"),
        ({"units": 0.5}, "expected whole units"),
        ({"price": 0.0}, "column 'price' holds 0.0 in row 0, expected > 0"),
        ({"price": 9.0}, "every row has the price 9"),
        ({"date": "2024-01-01"}, "covers 1 dates"),
        ({"date": "soon"}, "'date' cannot be read as dates"),
        ({"units": 0, "stock": 9}, "never sold"),
        ({"units": 9, "stock": 9}, "demand has no upper end"),
        ({"units": 9, "stock": 3}, "sold 9 units of a stock of 3"),
        ({"x": np.nan}, "column 'x' holds nan"),
        ({"x": "red"}, "column 'x' holds 'red'"),
    ],
)
def test_a_table_that_tells_nothing_is_refused_in_words(
    sales: pd.DataFrame, change: dict[str, Any], message: str
) -> None:
    changed = sales.head(200).copy()
    for column, value in change.items():
        changed[column] = value
    with pytest.raises(InputError, match=message):
        PriceResponse().fit(changed)


def test_what_a_prediction_needs_is_named(model: PriceResponse, sales: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="column 'x' is missing"):
        model.predict(sales.drop(columns="x"))
    with pytest.raises(InputError, match="product '7' was not in the table"):
        model.predict(sales.assign(product_id=7))
    with pytest.raises(InputError, match="levels must lie between 0 and 1"):
        model.predict(sales, levels=(1.0,))
    with pytest.raises(InputError, match="column 'units' is missing"):
        PriceResponse().fit(sales.drop(columns="units"))
    with pytest.raises(InputError, match="learned nothing yet"):
        PriceResponse().predict(sales)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["both", "both, 4 products", "both, elasticity -1.3", "both, 70 % sold out"])
def test_ten_tables_of_8000_rows_keep_within_every_goal(case: str) -> None:
    assert case in CASES
    scores = pd.DataFrame([row for seed in range(10) for row in score_case(case, seed=seed, rows=8_000)])
    table = summarize(scores)
    ours = table[table["method"] == "price response"].iloc[0].to_dict()
    for goal, bound in GOALS.items():
        assert ours[goal] <= bound
    assert (table.loc[table["method"] == "plain Poisson regression", "keeps"] == "no").all()
