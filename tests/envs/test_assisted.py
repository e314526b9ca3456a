"""The rules that assist an agent, which run in compiled code, against the same rules for one sale in plain Python."""

import math
from typing import Any

import numpy as np
import pytest

from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.arguments import as_compiled
from flashsim.envs.calls import NEARLY_SOLD_OUT, PlannedCalls
from flashsim.envs.dashboard import Dashboard
from flashsim.scenarios import SCENARIOS
from flashsim.sim.state import HOLD, PUSH, RELEASE, REORDER
from tests.made_policies import random_observations

SALES = 400
TARGETS = (0.4, 0.7)


class Screen:
    """The observation of one sale, read by names."""

    def __init__(self, board: Dashboard, row: Any) -> None:
        self.board, self.row, self.sale = board, row, board.sale

    def share(self, name: str) -> float:
        return float(self.row[self.board.columns[name]])

    def ratio(self, name: str) -> float:
        share = min(self.share(name), 1.0 - 1e-6)
        return share / (1.0 - share)

    def tick(self) -> int:
        return min(max(round((1.0 - self.share("time_left")) * self.sale.ticks), 0), self.sale.ticks - 1)

    def until_opening(self) -> float:
        return self.share("to_opening") * self.sale.pre_opening

    def servers(self) -> int:
        return round(self.share("servers_ordered") * self.sale.tables.servers.max_servers)


def price(screen: Screen, step: int, product: int, *, opening_ticks: int) -> int:
    deepest = screen.sale.price_levels - 1
    middle = 0 if screen.tick() < opening_ticks else round(screen.share(f"product_{product}_run_out") * deepest)
    return min(max(middle + step, 0), deepest)


def due(screen: Screen) -> int:
    tables = screen.sale.tables
    budget = tables.traffic.push_budget
    left = screen.share("pushes_left") * budget
    middle_of_next = (budget - left + 0.5) / max(budget, 1)
    if left > 0.5 and 1.0 - screen.share("time_left") >= middle_of_next - 1e-6:
        return PUSH
    if tables.stock.lots > 0 and screen.share("lots_left") > 0.0:
        return REORDER
    is_short = any(
        screen.share(f"product_{k}_available") < min(NEARLY_SOLD_OUT, screen.share(f"product_{k}_stock"))
        for k in range(screen.sale.products)
    )
    return RELEASE if tables.wave_tick.shape[0] > 1 and screen.share("waves_left") > 0.0 and is_short else HOLD


def tracked_visits(screen: Screen, price_index: int) -> float:
    if screen.until_opening() > 0.0:
        return forecast_visits(screen, price_index)
    servers = screen.sale.tables.servers
    ahead = next((ticks for ticks in screen.sale.lookahead if ticks >= servers.lag), screen.sale.lookahead[-1])
    then = screen.ratio(f"load_in_{ahead}_at_{price_index}") * screen.share(f"servers_in_{ahead}") * servers.max_servers
    return max(screen.ratio("load") * max(1, screen.servers()), then)


def forecast_visits(screen: Screen, price_index: int) -> float:
    servers, forecast = screen.sale.tables.servers, screen.sale.forecast.visitors
    then = min(max(screen.tick() - round(screen.until_opening()) + servers.lag, 0), screen.sale.ticks - 1)
    return float(forecast[then, price_index] * screen.ratio("level") / servers.service_rate)


VISITS = {"tracking": tracked_visits, "scheduled": forecast_visits}


@pytest.mark.parametrize("scaler", list(VISITS))
@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_what_an_assisted_agent_decides_is_what_its_rules_say_sale_by_sale(scenario: str, scaler: str) -> None:
    sale = as_compiled(scenario, "training")
    action = ActionConfig(
        per_product=False,
        around_run_out=2,
        opening_ticks=9,
        timing=("planned", "hold"),
        planned_calls=("push", "reorder", "release"),
        scaler=scaler,
        scaler_targets=TARGETS,
    )
    codec, seen = ActionCodec(sale, action), random_observations(sale, SALES)
    seen[:, codec.dashboard.columns["time_left"]] = np.linspace(0.0, 1.0, SALES)
    actions = np.random.default_rng(1).integers(0, codec.sizes, size=(SALES, codec.sizes.size))
    for is_first in (True, False):
        decided = codec.decode(actions, seen, is_first=is_first)
        for row in range(SALES):
            screen, choices = Screen(codec.dashboard, seen[row]), dict(zip(codec.meanings(), actions[row], strict=True))
            prices = [price(screen, choices["discount"] - 2, k, opening_ticks=9) for k in range(sale.products)]
            assert decided.price_index[row].tolist() == prices
            is_planned = choices.get("timing", 0) == 0
            assert decided.timing[row] == (due(screen) if is_planned else HOLD)
            visits = VISITS[scaler](screen, round(sum(prices) / sale.products))
            wanted = math.ceil(visits / TARGETS[choices["capacity"]] - 1e-9)
            servers = sale.tables.servers
            missing = min(max(wanted, servers.min_servers), servers.max_servers) - screen.servers()
            nearest = min(sale.server_changes, key=lambda change: abs(change - missing))
            assert decided.change[row] == nearest


@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_the_calls_of_a_rule_are_those_that_are_due(scenario: str) -> None:
    sale = as_compiled(scenario, "training")
    board, seen = Dashboard(sale), random_observations(sale, SALES)
    orders = PlannedCalls(board, ("push", "reorder", "release")).order(seen)
    assert orders.tolist() == [due(Screen(board, row)) for row in seen]
