"""Importance by permutation: what a policy does not read costs nothing, what it reads costs what a loop finds."""

from dataclasses import replace

import numpy as np
import pytest

from flashsim.envs.features import feature_groups, observation_table
from flashsim.errors import InputError
from flashsim.evaluation.probes.importance import ShuffledPolicy, importance_table
from flashsim.evaluation.rollout import play
from flashsim.reference import g1, solve
from tests.evaluation.probes.test_response_maps import ByOneColumn
from tests.evaluation.test_rollout import crowded_sale
from tests.made_policies import BusyPolicy, TablePolicy, random_network


def test_the_stock_is_what_the_best_policy_of_a_reference_sale_lives_by() -> None:
    reference = g1()
    sale = reference.compile()
    policy = TablePolicy(sale, solve(reference).policy)
    whole = play(sale, policy, sales=400, seed=0)
    table = importance_table(sale, policy, whole, resamples=400)
    rows = {row["group"]: row for row in table.to_dict("records")}
    stock = rows.pop("stock")
    assert stock["low"] > 0.0
    assert stock["lost_share"] == pytest.approx(stock["lost"] / whole.totals["profit"].mean())
    assert rows
    assert not any(row[name] for row in rows.values() for name in ("lost", "low", "high"))


def test_a_group_that_is_not_read_costs_nothing_in_the_crowd() -> None:
    sale = crowded_sale()
    policy = ByOneColumn(sale, "product_1_run_out")
    table = importance_table(sale, policy, play(sale, policy, sales=30, seed=2), resamples=200)
    costs = table.set_index("group")["lost"]
    assert list(costs[costs != 0.0].index) == ["stock"]
    assert "time" not in costs.index
    assert table["features"].sum() == len(observation_table(sale)) - 1
    assert table["lost"].is_monotonic_decreasing


def test_columns_are_exchanged_as_a_whole_among_sales_of_one_tick() -> None:
    sale = crowded_sale()
    names = [feature.name for feature in observation_table(sale)]
    columns = feature_groups(observation_table(sale))["stock"]
    seen = ByOneColumn(sale, "level")
    blind = ShuffledPolicy(seen, columns, names.index("time_left"), np.random.default_rng(0))
    rng = np.random.default_rng(1)
    observation = rng.random((60, len(names)), dtype=np.float32)
    observation[:, 0] = np.repeat([0.5, 0.25, 0.75], 20)
    before = observation.copy()
    blind.act(observation)
    np.testing.assert_array_equal(observation, before)
    (shown,) = seen.seen
    others = np.setdiff1d(np.arange(len(names)), columns)
    np.testing.assert_array_equal(shown[:, others], observation[:, others])
    for start in (0, 20, 40):
        here = slice(start, start + 20)
        met = {row.tobytes() for row in observation[here, columns]}
        assert {row.tobytes() for row in shown[here, columns]} == met
        assert (shown[here, columns] != observation[here, columns]).any()


def test_sales_that_close_early_are_played_and_a_seed_gives_the_same() -> None:
    sale = crowded_sale()
    policy = BusyPolicy(sale)
    whole = play(sale, policy, sales=24, seed=9)
    one, two = (importance_table(sale, policy, whole, resamples=200) for _ in range(2))
    assert one.equals(two)


def test_a_policy_for_another_sale_is_refused() -> None:
    sale = crowded_sale()
    whole = play(sale, BusyPolicy(sale), sales=4, seed=0)
    stranger = replace(random_network(g1().compile()), name="stranger")
    with pytest.raises(InputError, match="'stranger' was trained on"):
        importance_table(sale, stranger, whole)
