"""Chances, lost visits and the course of one sale: counted by hand, and kept by a sale that is really played."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flashsim.evaluation import compare
from flashsim.evaluation.outcomes.causes import CAUSES, LOSSES
from flashsim.evaluation.outcomes.tables import cause_table
from flashsim.evaluation.records import load_rollouts, save_rollouts
from flashsim.evaluation.rollout import play
from flashsim.rules import list_price
from tests.evaluation.made_rollouts import make_rollout
from tests.evaluation.test_rollout import crowded_sale


def test_causes_tell_the_shortest_time_that_holds_nine_tenths_of_the_lost_visits() -> None:
    losses = pd.DataFrame(
        {
            "policy": "rule",
            "kpi": "error_share",
            "cause": ["other", "servers", "servers", "doors"],
            "tick": [0, 5, 6, 20],
            "visits": [0.5, 6.0, 3.0, 0.5],
        }
    )
    row = cause_table(losses).iloc[0]
    assert (row["cause"], row["share"], row["first_tick"], row["last_tick"]) == ("servers", 0.9, 5, 6)


def test_chances_are_shares_of_sales() -> None:
    rule, learner = make_rollout("rule"), make_rollout("PPO")
    del learner.totals["sold_out_tick"]  # as in what was played before it was kept
    profit = np.where(np.arange(rule.seeds.size) % 4 == 0, -1.0, 1.0)
    losing = rule.totals | {"profit": profit, "revenue": profit - rule.totals["profit"] + rule.totals["revenue"]}
    losing |= {name: np.where(profit < 0.0, np.inf, 3.0) for name in ("first_sold_out_tick", "sold_out_tick")}
    rule.totals.update(losing)
    table = compare([learner, rule], learners=["PPO"], baselines=["rule"], resamples=500).tables["chances"]
    mine = table[table["policy"] == "rule"].set_index("outcome")["mean"]
    assert mine["loss"] == pytest.approx(0.25)
    assert mine["all sold out by half"] == pytest.approx(0.75)
    assert "all sold out" not in set(table[table["policy"] == "PPO"]["outcome"])


def test_lost_visits_of_a_crowded_sale_add_up_and_come_with_too_few_servers(tmp_path: Path) -> None:
    sale = crowded_sale()
    rollout = play(sale, list_price(sale), sales=16, seed=3)
    assert set(rollout.losses) == set(LOSSES)
    errors, gave_up = (rollout.losses[name].sum() for name in ("error_share", "abandonment_share"))
    assert errors == pytest.approx(rollout.totals["errors"].mean())
    assert gave_up == pytest.approx((rollout.totals["abandoned"] - rollout.totals["dismissed"]).mean())
    assert errors > 0.0
    assert CAUSES[int(rollout.losses["error_share"].sum(axis=0).argmax())] in ("servers", "collapse")
    assert set(rollout.course) == set(rollout.profile)
    paid = rollout.course["paid"]
    assert paid[np.isfinite(paid)].sum() == rollout.totals["paid"][0]
    save_rollouts([rollout], tmp_path / "kept")
    (again,) = load_rollouts(tmp_path / "kept")
    np.testing.assert_array_equal(again.losses["error_share"], rollout.losses["error_share"])
    np.testing.assert_array_equal(again.totals["sold_out_tick"], rollout.totals["sold_out_tick"])
