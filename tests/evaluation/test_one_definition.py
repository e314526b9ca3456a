"""The cost of a tick, the constraint, the KPI and its guardrail of one name are one number."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.envs.arguments import as_compiled
from flashsim.envs.quantities import (
    ERROR_SHARE,
    MONEY_TERMS,
    SLOWEST_SHARE,
    AmountsOfTick,
    Waits,
    answered_visits,
    profit,
    visitors,
    wait_percentiles,
)
from flashsim.envs.reward import ConstraintConfig, RewardConfig
from flashsim.envs.vector import FlashSaleVectorEnv, SaleBatch
from flashsim.evaluation.comparison import compare
from flashsim.evaluation.kpis import find_kpi, kpi_values
from flashsim.evaluation.rollout import Rollout, action_config, play
from flashsim.evaluation.stats import equal_member_means
from flashsim.evaluation.tables import MONEY_LABELS
from flashsim.policies.bundle import Policy
from flashsim.rules import list_price
from flashsim.scenarios import SCENARIOS, scenario_named
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import EVALUATION_DOMAIN
from flashsim.world import shipped_world
from tests.evaluation.made_rollouts import make_rollout
from tests.made_policies import BusyPolicy, random_network

SALES, SEED, MARK = 6, 11, 0.01
COUNTS = ("served", "abandoned", "errors")


def badly_run(name: str) -> tuple[CompiledSale, Policy]:
    """The sale of that name and a policy that knows nothing, so that visits fail; that of the evening closes early.

    Without time before the opening: even who knows nothing would have servers by then.
    """
    sale = as_compiled(scenario_named(name, shipped_world(), pre_opening=0), "training")
    return sale, BusyPolicy(sale) if name == "grocery_evening" else random_network(sale)


@pytest.fixture(scope="module", params=sorted(SCENARIOS))
def played(request: pytest.FixtureRequest) -> tuple[CompiledSale, Policy, Rollout]:
    sale, policy = badly_run(request.param)
    constraints = ConstraintConfig(error_share=MARK)
    return sale, policy, play(sale, policy, sales=SALES, seed=SEED, constraints=constraints)


def by_tick(sale: CompiledSale, policy: Policy) -> tuple[dict[str, NDArray[Any]], list[Waits], list[Any]]:
    """The same sales in a vector env: counts summed over ticks, waits and visits answered of each tick.

    On the way the cost of each step is compared with the counts of its tick.
    """
    env = FlashSaleVectorEnv(
        sale,
        num_envs=SALES,
        action=action_config(policy),
        members=tuple(map(int, sale.tables.members)),
        domain=EVALUATION_DOMAIN,
        constraints=ConstraintConfig(error_share=MARK),
    )
    counts = {name: np.zeros(SALES) for name in COUNTS}
    waits: list[Waits] = []
    answered: list[Any] = []
    ticks: list[dict[str, NDArray[Any]]] = []
    is_open = np.ones(SALES, np.bool_)

    def add(batch: SaleBatch, _reward: NDArray[np.float64], _closed: NDArray[np.bool_]) -> None:
        amounts = AmountsOfTick(batch.batch.ledger, batch.batch.rows)
        ticks.append({name: np.array(amounts[name]) for name in COUNTS})
        waits.append(Waits(*(part * is_open for part in Waits.of_tick(batch.batch.ledger, batch.batch.rows))))
        answered.append(answered_visits(amounts) * is_open)

    env.sales.listeners.append(add)
    observation, _ = env.reset(seed=SEED)
    while is_open.any():
        observation, _, closed, _, info = env.step(policy.act(observation))
        np.testing.assert_array_equal(info["cost"]["error_share"], ERROR_SHARE(ticks[-1]))
        for name in COUNTS:
            counts[name] += ticks[-1][name] * is_open
        is_open &= ~closed
    return counts, waits, answered


def test_costs_of_ticks_constraint_kpi_and_guardrail_agree(
    played: tuple[CompiledSale, Policy, Rollout],
) -> None:
    """To the last digit: counts are summed over ticks, then one function makes the share."""
    sale, policy, rollout = played
    counts, waits, answered = by_tick(sale, policy)
    share = ERROR_SHARE(counts)
    assert share.max() > 0.0
    np.testing.assert_array_equal(find_kpi("error_share").value(rollout.totals), share)
    excess = ERROR_SHARE.excess(counts, most=MARK)
    np.testing.assert_allclose(rollout.totals["error_share_excess"], excess, rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(excess > 0.0, share > MARK)
    other = play(sale, list_price(sale), sales=SALES, seed=SEED)
    guardrails = compare(
        [rollout, other], learners=[policy.name], baselines=[other.policy], resamples=100, seed=0
    ).tables["guardrails"]
    shown = guardrails[(guardrails["kpi"] == "error_share") & (guardrails["policy"] == policy.name)]["mean"]
    assert shown.item() == equal_member_means(share[:, None], rollout.members)[0]
    laws = Waits(*(np.array(part) for part in zip(*waits, strict=True)))
    wait = wait_percentiles(laws, np.array(answered), shares=[1.0 - SLOWEST_SHARE])[0]
    latency = np.minimum(sale.tables.servers.timeout_s, sale.tables.servers.unloaded_latency_s + wait)
    np.testing.assert_array_equal(find_kpi("p95_latency_s").value(rollout.totals), latency)


def test_the_percentile_of_one_tick_is_what_the_ledger_says_of_it() -> None:
    sale, policy = badly_run("seckill")
    batch = SaleBatch(
        sale, SALES, action=action_config(policy), reward=RewardConfig(), domain=EVALUATION_DOMAIN, threads=1
    )
    batch.seed(np.arange(SALES, dtype=np.uint64))
    observation, rows = batch.observe(), batch.batch.rows
    checked = 0
    for _ in range(sale.ticks):
        batch.step(policy.act(observation))
        observation = batch.seen()
        ledger = batch.batch.ledger
        answered = answered_visits(AmountsOfTick(ledger, rows)).astype(np.float64)
        waits = Waits(*(part[None] for part in Waits.of_tick(ledger, rows)))
        latency = sale.tables.servers.unloaded_latency_s + wait_percentiles(waits, answered[None], shares=[0.95])[0]
        some = answered > 0.0
        expected = np.minimum(sale.tables.servers.timeout_s, latency)[some]
        np.testing.assert_allclose(rows(ledger.latency_p95_s)[some], expected, rtol=1e-6, atol=1e-6)
        checked += int(some.sum())
    assert checked > sale.ticks


def test_money_terms_are_those_of_profit_reward_and_labels() -> None:
    totals = make_rollout("any").totals
    np.testing.assert_array_equal(profit(totals), totals["profit"])
    assert set(MONEY_LABELS) == set(MONEY_TERMS)
    defaults = {field.name: field.default for field in fields(RewardConfig)}
    assert {name: weight for name, weight in defaults.items() if weight != 0.0} == MONEY_TERMS


def test_visitors_of_the_course_add_up_to_the_kpi(played: tuple[CompiledSale, Policy, Rollout]) -> None:
    _, _, rollout = played
    np.testing.assert_array_equal(find_kpi("visitors").value(rollout.totals), visitors(rollout.totals))
    assert np.isfinite(kpi_values(rollout.totals)).all()
