"""Rollouts: what a plain loop over the env adds up to, in any company and for any threads; quantiles against theory."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize

from flashsim.envs.actions import ActionConfig
from flashsim.envs.quantities import Waits, wait_percentiles
from flashsim.envs.single import FlashSaleEnv
from flashsim.errors import InputError
from flashsim.evaluation.rollout import Rollout, play
from flashsim.policies.bundle import Policy
from flashsim.rules import ladder, list_price
from flashsim.scenarios import Scenario
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.choice import ChoiceParams
from flashsim.sim.inventory import StockParams
from flashsim.sim.servers import ServerParams
from flashsim.sim.streams import EVALUATION_DOMAIN, TRAINING_DOMAIN
from tests.evaluation.made_rollouts import make_rollout
from tests.made_policies import BusyPolicy, random_network
from tests.worlds import make_scenario, make_world

CROWD = ServerParams(start_servers=3, max_servers=6, lag=2, service_rate=20.0, timeout_s=30.0, retry_share=0.5)
SUMS = {
    "server_cost": "server_cost",
    "penalty": "penalty",
    "salvage": "salvage",
    "returning_visitors": "returning_visitors",
    "retries": "retries",
    "errors": "errors",
    "given_up": "given_up",
    "abandoned": "abandoned",
    "dismissed": "dismissed",
    "served": "served",
    "servers_billed": "server_minutes",
    "projected": "projected_actions",
}
PRODUCT_SUMS = (
    *("buyers", "requests", "reserved", "paid", "expired", "released", "ordered", "leftover"),
    *("revenue", "discount_given", "goods_cost"),
)


def crowded_scenario(*, products: int = 2, ticks: int = 12, stock_cover: float = 0.8) -> Scenario:
    """A sale whose servers are too few and whose stock runs out."""
    prices = np.sqrt(np.arange(2.0, products + 2.0))  # whose sums depend on their order
    world = make_world(
        products=products,
        population=40.0 / products,
        conversion_at_list=np.full(3, 0.4),
        list_price=prices,
        unit_cost=0.6 * prices,
    )
    return make_scenario(world, ticks=ticks, waves=((0, 0.6), (4, 0.4)), servers=CROWD, stock_cover=stock_cover)


def crowded_sale(**changes: Any) -> CompiledSale:
    """The crowded sale on members that may be drawn all three."""
    return crowded_scenario(**changes).compile().with_members((0, 1, 2))


def one_by_one(sale: CompiledSale, policy: Policy, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The same sales played with the single env, its ledger added up in a plain loop."""
    env = FlashSaleEnv(
        sale,
        action=ActionConfig(**policy.action),
        members=tuple(map(int, sale.tables.members)),
        domain=EVALUATION_DOMAIN,
    )
    sales = []
    for seed in seeds:
        observation, _ = env.reset(seed=seed)
        sums: dict[str, Any] = {"reward": 0.0, "ticks": 0}
        is_over = False
        while not is_over:
            observation, reward, is_over, _, _ = env.step(policy.act(observation[None])[0])
            batch = env.sales.batch
            sums["reward"] += reward
            sums["ticks"] += 1
            for name in (*SUMS, *PRODUCT_SUMS):
                sums[name] = sums.get(name, 0.0) + batch.rows(getattr(batch.ledger, name))[0]
        sums["member"] = int(batch.rows(batch.state.member)[0])
        sales.append(sums)
    return sales


@pytest.mark.parametrize("closes", [False, True])
def test_a_rollout_adds_up_what_a_plain_loop_over_the_env_meets(closes: bool) -> None:
    """Also where sales close early: nothing of the next sale in their row is counted."""
    sale, seeds = crowded_sale(), range(40, 70)
    policy = BusyPolicy(sale, closes=closes)
    rollout = play(sale, policy, sales=len(seeds), seed=seeds[0])
    sales = one_by_one(sale, policy, seeds)
    for name, total in {"reward": "reward", "ticks": "ticks", **SUMS}.items():
        expected = [reference[name] for reference in sales]
        np.testing.assert_allclose(rollout.totals[total], expected, rtol=0.0, atol=1e-9, err_msg=name)
    for name in PRODUCT_SUMS:
        products = np.array([reference[name] for reference in sales])
        np.testing.assert_allclose(rollout.products[name], products, rtol=0.0, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(rollout.totals[name], products.sum(axis=1), rtol=0.0, atol=1e-9, err_msg=name)
    np.testing.assert_array_equal(rollout.members, [reference["member"] for reference in sales])
    np.testing.assert_array_equal(rollout.seeds, list(seeds))
    assert rollout.steps == sum(reference["ticks"] for reference in sales)
    closed_early = sum(reference["ticks"] < sale.ticks for reference in sales)
    assert 3 < closed_early < len(sales) if closes else closed_early == 0
    assert set(rollout.members) == {0, 1, 2}


@pytest.mark.parametrize("closes", [False, True])
def test_money_and_units_of_a_rollout_add_up(closes: bool) -> None:
    sale = crowded_sale(products=3)
    rollout = play(sale, BusyPolicy(sale, closes=closes), sales=200, seed=0)
    t, p = rollout.totals, rollout.products
    profit = t["revenue"] - t["goods_cost"] - t["server_cost"] - t["penalty"] + t["salvage"]
    np.testing.assert_allclose(t["profit"], profit, rtol=0.0, atol=1e-9)
    np.testing.assert_allclose(t["reward"], t["profit"], rtol=1e-12, atol=1e-9)  # the default reward is profit
    np.testing.assert_array_equal(p["paid"] + p["leftover"], np.tile(sale.stock, (200, 1)))
    assert (p["units_refused"].sum(axis=1) >= (p["requests"] - p["reserved"]).sum(axis=1) - 1e-9).any()
    np.testing.assert_array_equal(p["reserved"], p["paid"] + p["expired"])
    np.testing.assert_array_equal(t["stock"], sale.stock.sum())
    listed = sale.tables.list_price
    np.testing.assert_allclose(p["revenue"] + p["discount_given"], p["paid"] * listed, rtol=1e-12, atol=1e-9)
    assert t["errors"].sum() + t["abandoned"].sum() > 0
    assert (t["units_refused"] >= t["net_lost_sales"] - 1e-9).all()
    assert t["net_lost_sales"].sum() > 0
    assert (t["latency_p50_s"] <= t["latency_p95_s"]).all()
    assert (t["latency_p95_s"] <= t["latency_p99_s"]).all()
    assert (t["latency_mean_s"] <= sale.tables.servers.timeout_s).all()


def test_units_ordered_during_the_sale_are_part_of_its_stock() -> None:
    lots = StockParams(lots=2, lot_share=0.3, lead_time=3)
    sale = replace(crowded_scenario(products=3), carts=lots, choice=ChoiceParams(another_unit=0.3, limit=3)).compile()
    policy = BusyPolicy(sale, action={"timing": ("hold", "release", "push", "close", "reorder")})
    rollout = play(sale, policy, sales=100, seed=0)
    p, t = rollout.products, rollout.totals
    assert {1.0, 2.0} <= set(np.unique(p["ordered"] / sale.tables.lot_units)) <= {0.0, 1.0, 2.0}
    np.testing.assert_array_equal(p["paid"] + p["leftover"], sale.stock + p["ordered"])
    np.testing.assert_array_equal(t["stock"], sale.stock.sum() + t["ordered"])
    assert (p["requests"] > p["buyers"]).any()


def test_rollouts_made_for_tests_carry_what_real_ones_carry() -> None:
    sale = crowded_sale()
    real, made = play(sale, list_price(sale), sales=2, seed=0), make_rollout("any")
    for group in ("totals", "profile", "losses", "course"):
        assert set(getattr(made, group)) == set(getattr(real, group)), group


def assert_same(one: Rollout, other: Rollout, *, rows: int) -> None:
    for group in ("totals", "products"):
        for name, array in getattr(other, group).items():
            np.testing.assert_array_equal(getattr(one, group)[name][:rows], array[:rows], err_msg=name)
    np.testing.assert_array_equal(one.members[:rows], other.members[:rows])
    np.testing.assert_array_equal(one.seeds[:rows], other.seeds[:rows])


def test_a_sale_is_the_same_to_the_last_bit_in_any_company() -> None:
    """With more products and ticks than numpy adds up one by one."""
    sale = crowded_sale(products=9, ticks=40, stock_cover=2.0)
    policy = BusyPolicy(sale)
    many = play(sale, policy, sales=150, seed=5)
    for sales in (1, 2, 7, 65):
        assert_same(many, play(sale, policy, sales=sales, seed=5), rows=sales)
    for first in (1, 64, 149):
        alone = play(sale, policy, sales=1, seed=5 + first)
        for name, total in alone.totals.items():
            assert total[0] == many.totals[name][first], name


def test_a_rollout_is_the_same_for_any_number_of_threads() -> None:
    sale = crowded_sale()
    one, three = (play(sale, BusyPolicy(sale), sales=200, seed=5, threads=threads) for threads in (1, 3))
    assert_same(one, three, rows=200)
    for name, mean in one.profile.items():
        np.testing.assert_array_equal(three.profile[name], mean)


def test_every_policy_meets_the_same_people() -> None:
    sale = crowded_sale()
    one, other = (play(sale, policy, sales=50, seed=9) for policy in (list_price(sale), ladder(sale)))
    np.testing.assert_array_equal(one.totals["exogenous_visitors"], other.totals["exogenous_visitors"])
    np.testing.assert_array_equal(one.members, other.members)
    assert (one.totals["attracted_visitors"] != other.totals["attracted_visitors"]).any()


def test_evaluation_and_training_are_other_sales() -> None:
    sale = crowded_sale()
    default, training = (
        play(sale, list_price(sale), sales=50, seed=9, domain=domain) for domain in (EVALUATION_DOMAIN, TRAINING_DOMAIN)
    )
    assert_same(play(sale, list_price(sale), sales=50, seed=9), default, rows=50)
    assert (default.totals["exogenous_visitors"] != training.totals["exogenous_visitors"]).mean() > 0.9


def test_the_profile_is_the_mean_of_open_sales() -> None:
    sale = crowded_sale()
    rollout = play(sale, list_price(sale), sales=60, seed=0)
    means = {
        "visitors": rollout.totals["exogenous_visitors"] + rollout.totals["attracted_visitors"],
        "paid": rollout.totals["paid"],
        "errors": rollout.totals["errors"],
    }
    for name, totals in means.items():
        assert rollout.profile[name].sum() == pytest.approx(totals.mean(), rel=1e-12)
    assert rollout.profile["utilization"].mean() == pytest.approx(rollout.totals["utilization"].mean(), rel=1e-12)
    left = rollout.totals["leftover"].mean() / sale.stock.sum()
    assert rollout.profile["stock_left_share"][-1] == pytest.approx(left, rel=1e-12)
    np.testing.assert_array_equal(rollout.profile["depth"], np.zeros((sale.ticks, sale.products)))


def test_a_profile_ends_where_the_last_sale_closes() -> None:
    class ClosesAtOnce(BusyPolicy):
        def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
            return np.tile(np.array([1, 3, 2]), (observation.shape[0], 1))

    sale = replace(crowded_sale(), server_changes=(-1, 0, 1))
    policy = ClosesAtOnce(sale, action={"timing": ("hold", "release", "push", "close"), "per_product": False})
    rollout = play(sale, policy, sales=20, seed=0)
    assert rollout.steps == 20
    assert np.isfinite(rollout.profile["paid"][0])
    assert np.isnan(rollout.profile["paid"][1:]).all()
    np.testing.assert_array_equal(rollout.totals["ticks"], 1.0)
    np.testing.assert_array_equal(rollout.products["depth"], 0.1)


def test_progress_is_told_of_every_tick() -> None:
    told: list[int] = []
    sale = crowded_sale()
    play(sale, list_price(sale), sales=3, seed=0, progress=told.append)
    assert sum(told) == sale.ticks


@pytest.mark.parametrize(("name", "value"), [("sales", 0), ("seed", -1), ("seed", 0.5), ("threads", 0)])
def test_impossible_arguments_are_refused_with_their_value(name: str, value: Any) -> None:
    sale = crowded_sale()
    arguments: dict[str, Any] = {"sales": 2, "seed": 0} | {name: value}
    with pytest.raises(InputError, match=str(value)):
        play(sale, list_price(sale), **arguments)


def test_a_policy_of_another_sale_is_refused_before_anything_is_played() -> None:
    told: list[int] = []
    network = random_network(crowded_sale(products=2))
    with pytest.raises(InputError, match="train it on this sale"):
        play(crowded_sale(products=3), network, sales=2, seed=0, progress=told.append)
    assert not told


def beyond(waits: Waits, weights: NDArray[np.float64], wait: float) -> float:
    """Share of a sale's visits that wait longer than ``wait``; waits and weights (tick,)."""
    more = np.maximum(wait - waits.floor, 0.0)
    late = np.where(wait < waits.floor, 1.0, waits.chance * np.exp(-more / np.maximum(waits.tail, 1e-12)))
    return float((weights * late).sum() / weights.sum())


@pytest.mark.parametrize("share", [0.5, 0.95, 0.999])
def test_the_quantile_of_one_tick_is_known(share: float) -> None:
    """The floor and, with a chance, an exponential more: five sales of one tick."""
    waits = Waits(
        *np.array([[1.0, 1.0, 0.4, 0.02, 1.0], [0.0, 2.0, 1.0, 3.0, 0.5], [0.5, 1e4, 3.0, 5.0, 0.0]])[:, None]
    )
    found = wait_percentiles(waits, np.ones((1, 5)), shares=[share])[0]
    expected = waits.floor + waits.tail * np.log(np.maximum(waits.chance / (1.0 - share), 1.0))
    np.testing.assert_allclose(found, expected[0], rtol=1e-12, atol=1e-10)


def test_quantiles_of_a_mixture_are_where_the_tail_crosses_their_shares() -> None:
    """The least wait that at most 1 - share exceed: with floors the tail falls in steps. Each alone is the same."""
    rng = np.random.default_rng(3)
    waits = Waits(rng.random((30, 12)), rng.gamma(0.3, 2.0, (30, 12)), rng.gamma(0.5, 3.0, (30, 12)))
    weights = rng.integers(0, 50, (30, 12)).astype(np.float64)
    shares = (0.5, 0.95, 0.99)
    for share, found in zip(shares, wait_percentiles(waits, weights, shares=shares), strict=True):
        alone = wait_percentiles(waits, weights, shares=[share])[0]
        np.testing.assert_allclose(found, alone, rtol=0.0, atol=1e-14 * found.max())
        for sale in range(12):
            own, weight = Waits(*(part[:, sale] for part in waits)), weights[:, sale]
            assert beyond(own, weight, found[sale] + 1e-9) <= 1.0 - share + 1e-12
            assert beyond(own, weight, found[sale] - 1e-9) >= 1.0 - share - 1e-12
            assert beyond(own, weight, found[sale] - 1e-3) > 1.0 - share


def excess_at(wait: float, *, waits: Waits, weights: NDArray[np.float64]) -> float:
    return beyond(waits, weights, wait) - 0.05


def test_without_floors_the_quantile_solves_its_equation() -> None:
    rng = np.random.default_rng(3)
    waits = Waits(np.ones((30, 5)), np.zeros((30, 5)), rng.gamma(0.5, 3.0, (30, 5)))
    weights = rng.integers(0, 50, (30, 5)).astype(np.float64)
    found = wait_percentiles(waits, weights, shares=[0.95])[0]
    for sale in range(5):
        own, weight = Waits(*(part[:, sale] for part in waits)), weights[:, sale]
        excess = partial(excess_at, waits=own, weights=weight)
        root = optimize.brentq(excess, 0.0, 1e3, xtol=1e-13)
        assert found[sale] == pytest.approx(root, rel=1e-10)


def test_a_sale_without_answers_has_no_wait() -> None:
    waits = Waits(np.ones((2, 1)), np.array([[1.0], [0.0]]), np.array([[2.0], [3.0]]))
    assert wait_percentiles(waits, np.zeros((2, 1)), shares=[0.95]) == pytest.approx(0.0, abs=1e-9)
