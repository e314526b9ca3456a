"""Random sales for tests of laws: any World, scenario and orders that the borders let through."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from flashsim.scenarios import Scenario
from flashsim.sim.inventory import StockParams
from flashsim.sim.servers import ServerParams
from flashsim.sim.traffic import TrafficParams
from tests.worlds import make_scenario, make_world

SEEDS = st.integers(0, 2**62)


@st.composite
def worlds(draw: st.DrawFn) -> Any:
    """Some members, segments and products; strong and weak demand, with and without frailty, some without demand."""
    members, segments, products = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    world = make_world(products=products, segments=segments, members=members)
    rates = world.units_per_minute * draw(st.sampled_from([0.01, 1.0, 20.0]))
    if draw(st.booleans()):
        rates[:, 0, 0] = 0.0
    return make_world(
        products=products,
        segments=segments,
        members=members,
        units_per_minute=rates,
        population=draw(st.sampled_from([0.1, 1.0, 10.0])),
        conversion_at_list=np.full(members, draw(st.floats(0.01, 0.99))),
        traffic_share=np.full(members, draw(st.floats(0.0, 1.0))),
        frailty_common_variance=np.full(members, draw(st.sampled_from([0.0, 0.1, 1.0]))),
        frailty_product_variance=np.full((members, products), draw(st.sampled_from([0.0, 0.3, 1.0]))),
    )


@st.composite
def waves(draw: st.DrawFn, ticks: int) -> tuple[tuple[int, float], ...]:
    """One to three releases at ascending ticks."""
    at = sorted(draw(st.lists(st.integers(0, ticks - 1), min_size=1, max_size=3)))
    return tuple((tick, 1.0 / len(at)) for tick in at)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Any sale of at most 15 ticks."""
    ticks = draw(st.integers(1, 15))
    most = draw(st.integers(1, 30))
    servers = ServerParams(
        service_rate=draw(st.floats(0.5, 60.0)),
        min_servers=draw(st.integers(0, 1)),
        start_servers=draw(st.integers(1, most)),
        max_servers=most,
        lag=draw(st.integers(0, 4)),
        pays_while_booting=draw(st.booleans()),
        unloaded_latency_s=draw(st.floats(0.0, 2.0)),
        timeout_s=draw(st.floats(2.1, 60.0)),
        patience_ticks=draw(st.floats(0.1, 20.0)),
        latency_sensitivity=draw(st.floats(0.0, 1.0)),
    )
    traffic = TrafficParams(
        push_budget=draw(st.integers(0, 2)),
        push_uplift=draw(st.floats(0.0, 3.0)),
        push_half_life=draw(st.floats(0.5, 20.0)),
        highest_conversion=draw(st.floats(0.2, 1.0)),
    )
    carts = StockParams(
        payment_delay=draw(st.integers(0, 4)),
        payment_failure=draw(st.floats(0.0, 1.0)),
        cart_timeout=draw(st.integers(0, 6)),
    )
    return make_scenario(
        draw(worlds()),
        ticks=ticks,
        waves=draw(waves(ticks)),
        stock_cover=draw(st.sampled_from([0.0, 0.3, 1.0, 3.0])),
        salvage_share=draw(st.floats(-1.0, 1.0)),
        start_minute=draw(st.integers(0, 1439)),
        weekday=draw(st.integers(0, 6)),
        servers=servers,
        traffic=traffic,
        carts=carts,
    )


def random_actions(sizes: NDArray[np.int64], sales: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Any orders, feasible or not."""
    return generator.integers(0, sizes, size=(sales, sizes.size))
