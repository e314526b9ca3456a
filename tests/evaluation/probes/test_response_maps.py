"""Response maps: policies whose answers are known by formula, what moves together, and that asking leaves no trace."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.envs.features import FEATURE_SETS, feature_groups, feature_set, observation_table
from flashsim.errors import InputError
from flashsim.evaluation.probes import response_maps as module
from flashsim.evaluation.probes.response_maps import LEVELS, STOCK_LEFT, TIMES, response_maps
from flashsim.evaluation.rollout import play
from flashsim.reference import REFERENCE_SALES, g0
from flashsim.scenarios import Failures, Outage
from flashsim.scenarios.compiled import CompiledSale
from tests.evaluation.test_rollout import crowded_sale, crowded_scenario
from tests.made_policies import BusyPolicy, random_network
from tests.worlds import make_scenario


@dataclass
class ByOneColumn:
    """Sets the price index to what ``column`` says, in tenths of the menu, and keeps what it saw."""

    sale: CompiledSale
    column: str
    name: str = "by one column"
    action: Mapping[str, Any] = field(default_factory=lambda: {"heads": ("discount",)})
    seen: list[NDArray[np.float32]] = field(default_factory=list)

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        self.seen.append(observation.copy())
        names = [feature.name for feature in observation_table(self.sale)]
        share = observation[:, names.index(self.column)].astype(np.float64)
        price_index = np.rint(share * (self.sale.price_levels - 1)).astype(np.int64)
        return np.repeat(price_index[:, None], self.sale.products, axis=1)


def test_a_map_shows_the_rule_of_a_policy() -> None:
    sale = g0().compile()
    table = response_maps(sale, ByOneColumn(sale, "product_0_stock"), sales=40, seed=0).stock_map
    planned = int(sale.stock[0])
    for row in table.to_dict("records"):
        shown = np.rint(row["stock_left"] * planned) / planned
        expected = sale.depths[0][int(np.rint(np.float32(shown) * (sale.price_levels - 1)))]
        assert row["discount"] == row["discount_low"] == row["discount_high"] == expected
    assert sorted(set(table["stock_left"])) == pytest.approx(list(STOCK_LEFT))
    np.testing.assert_allclose(table.groupby("time_left")["met"].sum(), 1.0)
    opening = table.query("time_left == 1 and stock_left == 1")
    assert list(opening["met"]) == [1.0]  # all sales open with all their stock


def test_nobody_is_asked_whose_screen_is_frozen() -> None:
    sale = make_scenario(ticks=TIMES, failures=Failures(feed=Outage(None, 5))).compile()
    table = response_maps(sale, ByOneColumn(sale, "product_0_stock"), sales=40, seed=0).stock_map
    assert len(set(table["time_left"])) == TIMES
    assert (table["discount_low"] == table["discount_high"]).all()


def test_a_tick_at_which_all_screens_are_frozen_is_left_out() -> None:
    sale = make_scenario(ticks=TIMES, failures=Failures(feed=Outage(3, 4))).compile()
    table = response_maps(sale, ByOneColumn(sale, "product_0_stock"), sales=40, seed=0).stock_map
    asked = np.rint((1.0 - table["time_left"].to_numpy()) * sale.ticks).astype(int)
    assert set(asked) == set(range(TIMES)) - {4, 5, 6, 7}


def test_a_reference_sale_has_no_curves() -> None:
    sale = REFERENCE_SALES["j1_lag1"]().compile()
    assert response_maps(sale, random_network(sale), sales=8, seed=0).curves.empty


def test_curves_show_the_rule_of_a_policy() -> None:
    sale = crowded_sale()
    by_level = response_maps(sale, ByOneColumn(sale, "level"), sales=40, seed=0).curves.query("feature == 'visitors'")
    np.testing.assert_allclose(by_level["value"], LEVELS)
    price_index = np.rint(LEVELS / (1.0 + LEVELS) * (sale.price_levels - 1)).astype(int)
    np.testing.assert_allclose(by_level["discount"], sale.depths[:, price_index].mean(axis=0))
    assert by_level["met"].sum() == pytest.approx(1.0)
    by_use = response_maps(sale, ByOneColumn(sale, "utilization"), sales=40, seed=0).curves
    busy = by_use.query("feature == 'utilization'")
    assert len(busy) > 1
    assert busy["value"].is_monotonic_increasing
    assert busy["discount"].is_monotonic_increasing
    assert busy["met"].sum() == pytest.approx(1.0)
    step = sale.depths.max() / (sale.price_levels - 1)
    assert (abs(busy["discount"] - busy["value"] * sale.depths.max()) < step).all()


def test_what_follows_from_the_stock_moves_with_it_and_nothing_else_does() -> None:
    sale = crowded_sale()
    policy = ByOneColumn(sale, "level")
    response_maps(sale, policy, sales=10, seed=0)
    names = [feature.name for feature in observation_table(sale)]
    groups = feature_groups(observation_table(sale))
    second_tick = policy.seen[STOCK_LEFT.size + 1 :]  # the first is asked about the stock alone, then played
    with_nothing, with_all = second_tick[0], second_tick[STOCK_LEFT.size - 1]
    as_met = second_tick[STOCK_LEFT.size + LEVELS.size]
    others = np.concatenate([columns for group, columns in groups.items() if group != "stock"])
    np.testing.assert_array_equal(with_nothing[:, others], as_met[:, others])
    np.testing.assert_array_equal(with_all[:, others], as_met[:, others])
    shown = {name: with_nothing[:, names.index(name)] for name in names if name.startswith("product_0")}
    for name in ("stock", "available", "cover_at_0", "pace", "run_out"):
        assert not shown[f"product_0_{name}"].any()
    assert (with_all[:, names.index("product_0_cover_at_0")] > 0.0).all()


def sale_that_fails() -> CompiledSale:
    """The crowded sale, in which things fail at any time."""
    failures = Failures(pool=Outage(None, 4), traffic=Outage(None, 2), feed=Outage(None, 5))
    return replace(crowded_scenario(), failures=failures).compile().with_members((0, 1, 2))


@pytest.mark.parametrize("sale", [crowded_sale(), sale_that_fails()], ids=["sound", "failing"])
def test_asking_leaves_the_sales_as_they_were(sale: CompiledSale, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet, asked = ByOneColumn(sale, "load"), ByOneColumn(sale, "load")
    play(sale, quiet, sales=20, seed=3)
    response_maps(sale, asked, sales=20, seed=3)
    met = {observation.tobytes() for observation in asked.seen}
    assert all(observation.tobytes() in met for observation in quiet.seen)
    monkeypatch.setattr(module, "TIMES", 3)
    assert response_maps(sale, asked, sales=4, seed=0).stock_map["time_left"].nunique() == 3


@pytest.mark.parametrize("sale", [crowded_sale(), sale_that_fails()], ids=["sound", "failing"])
def test_sales_closed_early_are_left_out_and_a_seed_gives_the_same(sale: CompiledSale) -> None:
    one, two = (response_maps(sale, BusyPolicy(sale), sales=30, seed=5) for _ in range(2))
    assert one.stock_map.equals(two.stock_map)
    assert one.curves.equals(two.curves)
    np.testing.assert_allclose(one.stock_map.groupby("time_left")["met"].sum(), 1.0)
    servers = sale.tables.servers
    assert one.stock_map["servers"].between(servers.min_servers, servers.max_servers).all()


def test_every_feature_has_a_group_and_sets_lie_within_one_another() -> None:
    for sale in (crowded_sale(), g0().compile()):
        table = observation_table(sale)
        groups = feature_groups(table)
        assert sorted(np.concatenate(list(groups.values()))) == list(range(len(table)))
        raw, basic, engineered = (feature_set(table, chosen) for chosen in FEATURE_SETS)
        assert set(raw) < set(basic) < set(engineered) == {feature.name for feature in table}
        assert "product_0_run_out" not in basic
    with pytest.raises(InputError, match="expected one of raw, basic, engineered, got 'all'"):
        feature_set(observation_table(crowded_sale()), "all")
