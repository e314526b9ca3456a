"""How KPIs move when stock, servers, population or depth move, in the same sales with the same people.

Two tables. ``MOVES`` holds for one sale, which is busy enough that each direction stated is seen beyond 4 standard
errors; it is no law: in a sale with idle servers more servers change nothing, and what people remember may turn others.
``LAWS`` is what theory promises of *every* sale in which nothing feeds back (nobody remembers, tells others, tries
again or comes back, and nothing fails): it is checked in random ones, and says only which way a KPI never moves.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flashsim.evaluation.kpis import KPIS, kpi_values
from flashsim.evaluation.rollout import play
from flashsim.rules import fixed
from flashsim.rules.rules import DEFAULT_OPERATIONS
from flashsim.scenarios import Scenario
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.inventory import StockParams
from flashsim.sim.servers import ServerParams
from tests.random_sales import pools, worlds
from tests.worlds import LEARNED_CHOICE, LEARNED_TRAFFIC, make_scenario, make_world, without_frailty

SALES = 400
CHANGES: dict[str, dict[str, Any]] = {
    "stock": {"units": 170},
    "servers": {"servers": 8},
    "population": {"population": 14.0},
    "depth": {"price_index": 3},
}
"""Each is more of something: units, servers, people, discount."""
MOVES = {
    # name               stock   servers  population  depth
    "profit": "          none    none     none        none",  # each costs something and brings something
    "revenue": "         up      up       up          none",  # more units, at a depth each for less
    "discount_given": "  up      up       up          up",
    "server_cost": "     same    up       same        same",
    "penalty": "         same    down     up          up",
    "units_sold": "      up      up       up          up",
    "sell_through": "    down    up       up          up",
    "leftover": "        up      down     down        down",
    "units_refused": "   down    up       up          up",  # those served sooner ask for more
    "net_lost_sales": "  down    up       up          up",
    "average_depth": "   same    same     same        up",  # this rule holds one depth
    "visitors": "        same    same     up          up",
    "attracted_share": " same    same     none        up",  # the same share of more people, by chance
    "participation": "   same    up       down        down",
    "conversion": "      up      none     down        down",  # more people for the same stock; all buy sooner
    "abandonment_share": "same   down     up          up",
    "error_share": "     same    down     up          up",
    "p95_latency_s": "   same    down     up          up",
    "p50_latency_s": "   same    down     up          up",
    "p99_latency_s": "   same    down     up          up",
    "mean_latency_s": "  same    down     up          up",
    "utilization": "     same    down     up          up",
    "server_minutes": "  same    up       same        same",
    "cart_expiry_share": "none   none     none        none",  # each cart expires by the same chance
    "retries": "         same    down     up          up",
    "pushes": "          same    same     same        same",
    "infeasible_actions": "same  same     same        same",
}
"""KPI -> how its mean moves with each of ``CHANGES`` in :func:`busy_sale`; none: in no direction to speak of."""


WAITS = ("p50_latency_s", "p95_latency_s", "p99_latency_s", "mean_latency_s")
ORDERED = ("server_minutes", "server_cost", "pushes", "retries", "infeasible_actions")
LAWS: dict[str, dict[str, tuple[str, ...]]] = {
    "stock": {  # nobody comes, waits or leaves because of what is on the shelf
        "same": (
            *("visitors", "attracted_share", "participation", "abandonment_share", "error_share", "utilization"),
            *(*WAITS, *ORDERED, "penalty"),
        ),
        "never down": ("units_sold", "revenue", "discount_given", "leftover", "conversion"),
        "never up": ("units_refused", "net_lost_sales"),
    },
    "servers": {
        "same": ("visitors", "attracted_share", "pushes", "retries", "infeasible_actions"),
        "never down": ("participation", "server_minutes", "server_cost"),
        "never up": ("utilization", *WAITS),
    },
    "population": {
        "same": ORDERED,
        "never down": ("visitors", "utilization", *WAITS),
        "never up": ("participation",),
    },
    "depth": {
        "same": ORDERED,
        "never down": ("visitors", "utilization", *WAITS),
        "never up": ("participation",),
    },
}
"""Change -> which KPIs are the same in each sale to the last bit, and whose mean never goes down or up.

Two shares that one would expect are no laws: who is lost is lost in one of three ways, and more servers may turn those
who lose patience into answers after the time-out (errors up), more people may turn them into refusals (abandonment
down). Nor are units sold: where a slow answer costs a purchase, more people may buy less. A refusal is a quick answer,
so latencies have laws only where nobody is refused.
"""


def busy_sale(*, units: int = 150, servers: int = 7, population: float = 12.0) -> CompiledSale:
    """Both products sell out near the end; servers are busy in the rush, and a queue drives few people away."""
    world = make_world(
        products=2, segments=2, members=2, population=population, conversion_at_list=np.array([0.2, 0.3])
    )
    pool = ServerParams(
        service_rate=10.0,
        start_servers=servers,
        min_servers=servers,
        max_servers=servers,
        timeout_s=60.0,
        queue_limit=2,
        retry_share=0.5,
        patience_ticks=3.0,
        latency_sensitivity=0.002,
    )
    carts = StockParams(payment_failure=0.1, cart_timeout=3)
    scenario = make_scenario(without_frailty(world), stock_units=units, waves=((0, 1.0),), servers=pool, carts=carts)
    return scenario.compile().with_members((0, 1))


def played(*, price_index: int = 2, **changes: Any) -> NDArray[np.float64]:
    """(sale, KPI) at one depth of both products throughout."""
    sale = busy_sale(**changes)
    policy = fixed(sale, [price_index] * sale.products, operations=DEFAULT_OPERATIONS)
    return kpi_values(play(sale, policy, sales=SALES, seed=0).totals)


@pytest.fixture(scope="module")
def before() -> NDArray[np.float64]:
    return played()


def move(before: NDArray[np.float64], after: NDArray[np.float64]) -> str:
    """Of the mean over the sales, each compared with itself: up or down by more than 4 standard errors."""
    difference = after - before
    if np.abs(difference).max() <= 1e-12 * max(1.0, float(np.abs(before).max())):
        return "same"
    distance = difference.mean() / max(1e-300, difference.std() / np.sqrt(difference.size))
    return "up" if distance > 4.0 else "down" if distance < -4.0 else f"{distance:.1f} standard errors"


def test_the_table_has_every_kpi_and_change() -> None:
    assert list(MOVES) == [kpi.name for kpi in KPIS]
    assert {len(row.split()) for row in MOVES.values()} == {len(CHANGES)}


@pytest.mark.parametrize("change", CHANGES)
def test_every_kpi_of_the_busy_sale_moves_as_it_must(before: NDArray[np.float64], change: str) -> None:
    after, place = played(**CHANGES[change]), list(CHANGES).index(change)
    expected = {name: row.split()[place] for name, row in MOVES.items()}
    seen = {kpi.name: move(before[:, column], after[:, column]) for column, kpi in enumerate(KPIS)}
    wrong = {name: (how, seen[name]) for name, how in expected.items() if how not in ("none", seen[name])}
    assert not wrong


@st.composite
def calm_sales(draw: st.DrawFn) -> dict[str, Scenario]:
    """Any sale in which nothing feeds back, "before" and after each of ``CHANGES`` by random amounts."""
    ticks, world = draw(st.integers(3, 15)), without_frailty(draw(worlds()))
    servers, units = draw(st.integers(1, 20)), draw(st.integers(0, 150))
    pool = replace(draw(pools(is_exact=False)), retry_share=0.0, collapse_load=0.0, lag=0, drain_ticks=0)

    def sale(*, stock: int = 0, more_servers: int = 0, people: float = 1.0) -> Scenario:
        count = servers + more_servers
        return make_scenario(
            replace(world, population=world.population * people),
            ticks=ticks,
            waves=((0, 1.0),),
            stock_units=units + stock,
            servers=replace(pool, start_servers=count, min_servers=count, max_servers=count),
            traffic=LEARNED_TRAFFIC,
            choice=LEARNED_CHOICE,
            carts=StockParams(payment_failure=0.0),
        )

    return {
        "before": sale(),
        "stock": sale(stock=draw(st.integers(1, 100))),
        "servers": sale(more_servers=draw(st.integers(1, 10))),
        "population": sale(people=draw(st.floats(1.05, 3.0))),
        "depth": sale(),
    }


def calm_kpis(scenario: Scenario, *, price_index: int) -> NDArray[np.float64]:
    """(sale, KPI) at one depth of all products throughout."""
    sale = scenario.compile()
    policy = fixed(sale, [price_index] * sale.products, operations=DEFAULT_OPERATIONS)
    return kpi_values(play(sale, policy, sales=200, seed=0).totals)


@given(sales=calm_sales(), price_index=st.integers(0, 4))
@settings(max_examples=15, deadline=None, derandomize=True, phases=(Phase.generate,))
def test_no_calm_sale_breaks_a_law(sales: dict[str, Scenario], price_index: int) -> None:
    """In 15 random sales, each change: the same to the last bit, or no mean on the wrong side by 4 standard errors."""
    before = calm_kpis(sales["before"], price_index=price_index)
    names = [kpi.name for kpi in KPIS]
    wrong = {}
    for change, laws in LAWS.items():
        after = calm_kpis(sales[change], price_index=price_index + (change == "depth"))
        for law, held in laws.items():
            for name in held:
                if law != "same" and name in WAITS and sales["before"].servers.queue_limit > 0:
                    continue
                column = names.index(name)
                seen = move(before[:, column], after[:, column])
                if seen == {"never up": "up", "never down": "down"}.get(law) or (law == "same" and seen != "same"):
                    wrong[change, name] = (law, seen)
    assert not wrong
