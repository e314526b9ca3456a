"""No policy earns more than the relaxation; it is tight where it must be, and refuses what it is not proven for."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch
from flashsim.errors import InputError
from flashsim.evaluation.limits.bounds import relaxation
from flashsim.evaluation.limits.hindsight import best_plans
from flashsim.evaluation.limits.possible import possible_rows, possible_table
from flashsim.evaluation.rollout import Rollout, play
from flashsim.reference import REFERENCE_SALES, MenuSale, fluid_value, j1, menu_sale, solve
from flashsim.scenarios import SCENARIOS, Failures, Outage, scenario_named
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.choice import ChoiceParams
from flashsim.sim.failures import TRAFFIC_SURGES
from flashsim.sim.inventory import StockParams
from flashsim.sim.servers import ServerParams
from flashsim.sim.streams import EVALUATION_DOMAIN
from flashsim.sim.traffic import TrafficParams
from tests.made_policies import BusyPolicy, TablePolicy
from tests.worlds import make_scenario, make_world, without_frailty


@pytest.mark.parametrize("name", ["g0", "g1", "g3"])
def test_in_a_menu_sale_the_relaxation_is_the_fluid_bound(name: str) -> None:
    sale = REFERENCE_SALES[name]()
    bound = relaxation(sale.compile(), sales=3, seed=0).value
    np.testing.assert_allclose(bound, fluid_value(sale), rtol=1e-6)
    assert bound.min() >= solve(sale).value


@given(
    rates=st.lists(st.lists(st.floats(0.01, 6.0), min_size=3, max_size=3), min_size=1, max_size=4),
    prices=st.lists(st.floats(0.1, 20.0), min_size=3, max_size=3),
    stock=st.integers(0, 9),
    salvage=st.floats(-3.0, 8.0),
)
@settings(max_examples=25)
def test_no_menu_sale_has_an_optimum_above_its_relaxation(
    rates: list[list[float]], prices: list[float], stock: int, salvage: float
) -> None:
    sale = menu_sale(rates=rates, prices=prices, stock=stock, salvage=salvage)
    bound = relaxation(sale.compile(), sales=1, seed=0).value[0]
    assert bound >= solve(sale).value - 1e-6 * (1.0 + abs(solve(sale).value))


def profit(sale: CompiledSale, policy: Any, sales: int) -> NDArray[np.float64]:
    return play(sale, policy, sales=sales, seed=0).totals["profit"]


def assert_above(sale: CompiledSale, earned: NDArray[np.float64]) -> None:
    """The mean bound of the same sales is no less than the mean earned, 4 standard errors aside."""
    excess = earned - relaxation(sale, sales=earned.size, seed=0).value
    assert excess.mean() <= 4.0 * excess.std() / np.sqrt(excess.size)


AMPLE = ServerParams(service_rate=1e4, start_servers=2, max_servers=2, cost=0.0, penalty=0.0)
LIVELY: dict[str, dict[str, Any]] = {
    "nothing": {},
    "pushes and news": {
        "traffic": TrafficParams(push_budget=3, push_uplift=1.0, goodwill_share=0.9, sharing_ratio=0.0)
    },
    "sharing": {"traffic": TrafficParams(push_budget=0, goodwill_share=0.0, sharing_ratio=0.7)},
    "references and scarcity": {"choice": ChoiceParams(reference_gain=3.0, scarcity_cue=2.0, scarcity_threshold=0.5)},
    "people who wait": {"choice": ChoiceParams(watch_share=0.8, watch_response=50.0)},
    "several units": {"choice": ChoiceParams(another_unit=0.5, limit=4)},
    "lots": {"carts": StockParams(lots=2, lot_share=0.5, lead_time=2, payment_failure=0.3)},
}


@pytest.mark.parametrize("feedback", LIVELY)
@pytest.mark.parametrize("cover", [0.5, 3.0])
def test_no_policy_earns_more_than_the_relaxation_with_any_feedback(feedback: str, cover: float) -> None:
    """Servers cost nothing and answer at once, so that little but the feedback keeps a policy from the bound."""
    changes: dict[str, Any] = {"servers": AMPLE, "stock_cover": cover, "waves": ((0, 1.0),), **LIVELY[feedback]}
    sale = make_scenario(make_world(products=2, population=5.0), ticks=12, **changes).compile()
    for seed in range(2):
        policy = BusyPolicy(sale, action={"timing": ("hold", "push", "reorder")}, closes=False)
        assert_above(sale, profit(sale, policy, 128 * (seed + 1)))
    assert_above(sale, best_plans(sale, sales=32, seed=0, rounds=8, children=8))  # though it knows what is to come


def test_the_relaxation_is_nearly_reached_where_nothing_but_chance_is_left_out() -> None:
    """Ample stock, no feedback, one product: the best held price earns what the bound says."""
    world = without_frailty(make_world(products=1, population=50.0, members=2))
    calm: dict[str, Any] = {
        "traffic": TrafficParams(push_budget=0, goodwill_share=0.0, sharing_ratio=0.0),
        "choice": ChoiceParams(reference_gain=0.0, reference_loss=0.0, scarcity_cue=0.0, watch_share=0.0),
        "servers": replace(AMPLE, patience_ticks=1e-6),
        "carts": StockParams(payment_failure=0.0),
    }
    sale = make_scenario(world, ticks=20, stock_cover=30.0, waves=((0, 1.0),), **calm).compile()
    held = [profit(sale, Held(sale, k), 128) for k in range(sale.price_levels)]
    best = max(held, key=lambda earned: float(earned.mean()))
    bound = relaxation(sale, sales=128, seed=0).value
    goods = float((sale.tables.unit_cost * sale.stock).sum())
    assert float(best.mean()) + goods == pytest.approx(float(bound.mean()) + goods, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_policy_earns_more_than_the_relaxation_of_a_named_scenario(name: str) -> None:
    sale = scenario_named(name, make_world(products=3)).compile()
    for policy in (Held(sale, 0), Held(sale, 2), Held(sale, sale.price_levels - 1), BusyPolicy(sale)):
        assert_above(sale, profit(sale, policy, 24))
    if sale.ticks <= 120:
        assert_above(sale, best_plans(sale, sales=8, seed=0, rounds=3, children=8))


class Held:
    """One price index for all products; all else by default."""

    name = "held"

    def __init__(self, sale: CompiledSale, price_index: int) -> None:
        self.action = {"heads": ("discount",)}
        self.row = np.full(sale.products, price_index, np.int64)

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.tile(self.row, (observation.shape[0], 1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"traffic": TrafficParams(sharing_is_learned=False)}, "sharing comes on top"),
        ({"traffic": TrafficParams(highest_conversion=0.05)}, "conversion reaches its cap of 0.05"),
        ({"choice": ChoiceParams(watch_share=1.0)}, "who watches always returns"),
    ],
)
def test_the_relaxation_refuses_what_it_is_not_proven_for(changes: dict[str, Any], words: str) -> None:
    sale = make_scenario(make_world(products=1), ticks=4, waves=((0, 1.0),), **changes).compile()
    with pytest.raises(InputError, match=words):
        relaxation(sale, sales=2, seed=0)


def test_the_relaxation_counts_frailties_where_conversion_reaches_its_cap() -> None:
    """Product 0 sells 20 times as much at the deepest discount; at usual frailties it is a twentieth of the demand."""
    traffic = TrafficParams(push_budget=0, sharing_ratio=0.0, highest_conversion=0.0199)
    sale = make_scenario(make_world(products=2), ticks=4, waves=((0, 1.0),), traffic=traffic).compile()
    rate = np.zeros_like(sale.tables.rate)
    rate[:, :, 0] = np.linspace(0.1, 2.0, sale.price_levels)[:, None]
    rate[:, :, 1] = 2.0
    even = sale.tables._replace(
        rate=rate,
        conversion=np.full_like(sale.tables.conversion, 0.01),
        traffic_share=np.zeros_like(sale.tables.traffic_share),
        product_variance=np.zeros_like(sale.tables.product_variance),
    )
    assert np.isfinite(relaxation(replace(sale, tables=even), sales=64, seed=0).value).all()
    uneven = even._replace(product_variance=even.product_variance + np.array([8.0, 0.0]))
    with pytest.raises(InputError, match=r"conversion reaches its cap of 0\.0199"):
        relaxation(replace(sale, tables=uneven), sales=64, seed=0)


def test_the_bound_of_a_sale_counts_its_own_surge() -> None:
    """Bit for bit that of a scenario whose surge starts then; on average it lies above that without one."""

    def bound(failures: Failures, *, sales: int = 12, seed: int = 0) -> NDArray[np.float64]:
        sale = make_scenario(make_world(products=2), ticks=12, waves=((0, 1.0),), failures=failures).compile()
        return relaxation(sale, sales=sales, seed=seed).value

    surge = Failures(traffic=Outage(None, 3), traffic_factor=5.0)
    sale = make_scenario(make_world(products=2), ticks=12, waves=((0, 1.0),), failures=surge).compile()
    batch = SaleBatch(sale, 12, action=ActionConfig(), reward=RewardConfig(), domain=EVALUATION_DOMAIN)
    batch.seed(np.arange(12, dtype=np.uint64))
    starts = batch.batch.rows(batch.batch.state.failures.start)[:, TRAFFIC_SURGES].tolist()
    bounds = bound(surge)
    assert len(set(starts)) > 3
    assert bounds.mean() > bound(Failures()).mean()
    for reference, start in enumerate(starts):
        assert bounds[reference] == bound(replace(surge, traffic=Outage(start, 3)), sales=1, seed=reference)[0]


def test_the_bound_of_a_sale_does_not_depend_on_those_beside_it() -> None:
    sale = make_scenario(make_world(products=2), ticks=6, waves=((0, 1.0),)).compile()
    np.testing.assert_array_equal(relaxation(sale, sales=6, seed=0).value[2:], relaxation(sale, sales=4, seed=2).value)


def optimal_table(sale: MenuSale) -> TablePolicy:
    return TablePolicy(sale.compile(), solve(sale).policy)


def test_a_plan_made_in_hindsight_beats_the_optimum_that_cannot_foresee() -> None:
    sale = REFERENCE_SALES["g1"]()
    assert isinstance(sale, MenuSale)
    few, many = (best_plans(sale.compile(), sales=24, seed=0, rounds=rounds) for rounds in (4, 40))
    assert (many >= few).all()
    assert many.mean() > solve(sale).value
    np.testing.assert_array_equal(best_plans(sale.compile(), sales=10, seed=5, rounds=4, threads=2), few[5:15])
    earned = play(sale.compile(), optimal_table(sale), sales=24, seed=0).totals["profit"]
    assert (many - earned).mean() > 0.0


def test_a_plan_made_in_hindsight_orders_servers_too() -> None:
    assert best_plans(j1(1).compile(), sales=16, seed=0, rounds=40).mean() > 0.9 * solve(j1(1)).value


def played(sale: CompiledSale, sales: int) -> list[Rollout]:
    return [replace(play(sale, Held(sale, k), sales=sales, seed=0), policy=f"held {k}") for k in (0, 2)]


def test_the_table_tells_who_earned_what_of_what_was_possible() -> None:
    sale = make_scenario(make_world(products=1, population=4.0), ticks=10, waves=((0, 1.0),), servers=AMPLE).compile()
    rollouts = played(sale, 40)
    profits = np.stack([rollout.totals["profit"][:20] for rollout in rollouts])
    bound, plans = np.full(20, 400.0), np.full(20, -1e9)
    table = possible_table(rollouts, relaxation=bound, best_plan=plans, roles={"held 0": "baseline"}, resamples=200)
    assert table["profit"].is_monotonic_decreasing
    assert table["sales"].tolist() == [20, 20]
    for place, name in enumerate(("held 0", "held 2")):
        row = table[table["policy"] == name].iloc[0]
        assert row["of_relaxation"] == pytest.approx(row["profit"] / 400.0)
        assert row["of_relaxation_low"] <= row["of_relaxation"] <= row["of_relaxation_high"]
        if profits.max(axis=0).mean() > 0.0 and not np.isnan(row["of_best_plan"]):
            assert row["of_best_plan"] <= 1.0 + 1e-9
        assert profits[place].size == 20
    assert table["of_optimum"].isna().all()
    assert [row["policy"] for row in possible_rows(table, currency="USD")] == table["policy"].tolist()
    assert "of the exact optimum" not in possible_rows(table, currency="USD")[0]


def test_bounds_that_do_not_fit_the_rollouts_are_refused() -> None:
    sale = make_scenario(make_world(products=1), ticks=4, waves=((0, 1.0),)).compile()
    rollouts = played(sale, 4)
    with pytest.raises(InputError, match="give them the same"):
        possible_table(rollouts, relaxation=np.ones(3), best_plan=np.ones(2))
    with pytest.raises(InputError, match="bounds of 5 sales, but 4 were played"):
        possible_table(rollouts, relaxation=np.ones(5))
