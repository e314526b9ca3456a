"""Units refused and net lost sales, participation and abandonment, on sales that were played; ends of intervals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flashsim.evaluation.comparison import compare
from flashsim.evaluation.decision import DecisionRule
from flashsim.evaluation.kpis import KPIS, find_kpi
from flashsim.evaluation.rollout import Rollout, play
from flashsim.rules import fixed, ladder, list_price
from flashsim.rules.rules import DEFAULT_OPERATIONS
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.choice import ChoiceParams
from flashsim.sim.servers import ServerParams
from tests.evaluation.made_rollouts import make_rollout
from tests.random_sales import busy_orders, run, with_all_parts
from tests.worlds import LEARNED_CHOICE, make_scenario, make_world, without_limits

SALES = 400


def free_sale(*, products: int = 2, **changes: Any) -> CompiledSale:
    """No queue and nothing that people remember: demand is the learned response, whatever the stock."""
    scenario = without_limits(make_world(products=products, population=10.0), **changes)
    return scenario.compile().with_members((0, 1, 2))


def at_20_percent(sale: CompiledSale) -> Rollout:
    return play(sale, fixed(sale, [2] * sale.products, operations=DEFAULT_OPERATIONS), sales=SALES, seed=3)


@pytest.mark.parametrize("choice", [LEARNED_CHOICE, replace(LEARNED_CHOICE, another_unit=0.4, limit=3)], ids=str)
def test_without_stock_all_that_would_be_asked_for_is_refused(choice: ChoiceParams) -> None:
    """Of each product and in total: the requests of the same people at ample stock, within 4 standard errors."""
    ample, none = at_20_percent(free_sale(choice=choice)), at_20_percent(free_sale(choice=choice, stock_units=0))
    asked, refused = ample.products["requests"], none.products["units_refused"]
    np.testing.assert_array_equal(none.totals["served"], ample.totals["served"])
    assert not none.totals["requests"].any()
    error = (asked - refused).std(axis=0) / np.sqrt(SALES)
    assert (np.abs((asked - refused).mean(axis=0)) <= 4.0 * error).all()
    np.testing.assert_allclose(none.totals["net_lost_sales"], none.totals["units_refused"], rtol=1e-12)
    for name in ("units_refused", "net_lost_sales"):
        assert not ample.totals[name].any()


@pytest.mark.parametrize("cover", [0.3, 0.8])
def test_stock_only_moves_demand_from_sold_to_lost(cover: float) -> None:
    """Whatever was sold out when: net lost sales and units sold add up to what ample stock would have sold."""
    ample, scarce = at_20_percent(free_sale(products=3)), at_20_percent(free_sale(products=3, stock_cover=cover))
    gap = ample.totals["paid"] - scarce.totals["paid"] - scarce.totals["net_lost_sales"]
    assert abs(gap.mean()) <= 4.0 * gap.std() / np.sqrt(SALES)
    assert (scarce.totals["units_refused"] > scarce.totals["net_lost_sales"] + 1e-9).mean() > 0.5


def test_of_one_product_both_are_the_same() -> None:
    rollout = at_20_percent(free_sale(products=1, stock_cover=0.5))
    assert (rollout.totals["net_lost_sales"] > 0.0).mean() > 0.9
    np.testing.assert_array_equal(rollout.totals["net_lost_sales"], rollout.totals["units_refused"])


def test_nothing_is_missed_in_a_sale_in_which_every_product_is_on_sale() -> None:
    """Exactly, sale by sale, whatever is sold out in others."""
    ledger = run(with_all_parts(), busy_orders())
    is_complete = (ledger["opening"] > 0).all(axis=2)
    assert 0.1 < is_complete.mean() < 0.9
    assert not ledger["missed_requests"][is_complete].any()
    gone = ledger["opening"] == 0
    assert (ledger["missed_requests"][gone] >= 0.0).all()
    assert ledger["missed_requests"][gone].any()


def test_a_visitor_who_comes_back_takes_part_once() -> None:
    """Visitors whose last visit was answered are those who were not lost: never more than there are."""
    world = make_world(products=2, population=2.0)
    choice = ChoiceParams(watch_share=0.9, watch_response=20.0)
    sale = make_scenario(world, choice=choice, servers=ServerParams(start_servers=60, max_servers=60)).compile()
    totals = play(sale, ladder(sale), sales=SALES, seed=0).totals
    came = totals["exogenous_visitors"] + totals["attracted_visitors"]
    assert (totals["served"] > came).mean() > 0.9
    taking_part = find_kpi("participation").value(totals)
    assert ((taking_part >= 0.0) & (taking_part <= 1.0)).all()
    lost = totals["abandoned"] + totals["given_up"]
    assert lost.any()
    np.testing.assert_allclose(taking_part, 1.0 - lost / came, rtol=1e-12)


def test_those_whom_the_close_dismisses_have_not_abandoned() -> None:
    """Far too few servers, and nobody loses patience: all who wait at the end are dismissed."""
    servers = ServerParams(
        start_servers=1, min_servers=1, max_servers=1, service_rate=5.0, patience_ticks=1e9, queue_limit=0
    )
    sale = make_scenario(make_world(products=2, population=20.0), servers=servers).compile()
    totals = play(sale, list_price(sale), sales=50, seed=0).totals
    assert (totals["dismissed"] > 100).all()
    np.testing.assert_array_equal(totals["abandoned"], totals["dismissed"])
    assert not find_kpi("abandonment_share").value(totals).any()


def near_its_ends(policy: str) -> Rollout:
    """Shares and latencies at the ends of their ranges in all sales but one."""
    made = make_rollout(policy)
    is_far = np.arange(made.seeds.size) == 0
    visitors = made.totals["exogenous_visitors"] + made.totals["attracted_visitors"]
    own = 1.0 + 0.01 * len(policy)
    latencies = {f"latency_{name}_s": np.where(is_far, 4.0 / own, 8.0) for name in ("mean", "p50", "p95", "p99")}
    served = np.where(is_far, 0.7 / own, 1.0) * visitors
    shares = {"returning_visitors": 0.0 * visitors, "served": served, "utilization": np.where(is_far, 0.5, 1.0)}
    return replace(made, totals=made.totals | latencies | shares)


def test_intervals_stay_within_the_range_of_their_kpi() -> None:
    """A range may be that of the sale: no latency beyond the time-out. An end that cannot be told stays open."""
    rollouts = [near_its_ends("learner"), near_its_ends("best rule")]
    table = compare(rollouts, learners=["learner"], baselines=["best rule"], resamples=300).tables["kpis"]
    for rollout in rollouts:
        shown = table[table["policy"] == rollout.policy].set_index("kpi")
        for kpi in KPIS:
            least, most = kpi.bounds(rollout.totals)
            low, high = shown["low"][kpi.name], shown["high"][kpi.name]
            assert least <= low <= high <= most or low == -np.inf or high == np.inf, kpi.name
            assert all(least <= end <= most for end in (low, high) if np.isfinite(end)), kpi.name
        assert shown["high"]["p99_latency_s"] in (8.0, np.inf)
        assert shown["high"]["participation"] in (1.0, np.inf)
    rule = DecisionRule(practice="best rule", primary="participation")
    risk = compare(rollouts, learners=["learner"], baselines=["best rule"], rule=rule, resamples=300).tables["risk"]
    ends = risk[["tail_low", "tail_high"]].to_numpy().ravel()
    assert ((ends >= 0.0) & (ends <= 1.0) | np.isinf(ends)).all()
