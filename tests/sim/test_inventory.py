"""Stock: carts are paid or come back, waves are released and lots arrive when due, the close settles."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.scenarios import Failures, Outage
from flashsim.sim.engine import Batch
from flashsim.sim.inventory import StockParams
from flashsim.sim.servers import ServerParams
from flashsim.sim.state import RELEASE, REORDER
from tests.worlds import make_scenario, make_world

SALES = 300
FREE: dict[str, Any] = {"servers": ServerParams(start_servers=500, max_servers=500)}


def ledgers(carts: StockParams, *, ticks: int = 14, cover: float = 3.0) -> dict[str, NDArray[Any]]:
    """Product entries of the ledger (tick, sale, product) of sales at list price that stay open."""
    scenario = make_scenario(make_world(population=5.0), carts=carts, stock_cover=cover, ticks=40, **FREE)
    batch = Batch(scenario.compile().tables, SALES, domain=0)
    batch.fill(batch.seed, np.arange(SALES, dtype=np.uint64))
    batch.open(np.ones(SALES, np.bool_))
    paths: dict[str, list[NDArray[Any]]] = {}
    for _ in range(ticks):
        batch.step()
        for name in ("requests", "reserved", "paid", "expired", "revenue", "in_carts", "opening", "released"):
            paths.setdefault(name, []).append(batch.rows(getattr(batch.ledger, name)).copy())
    return {name: np.array(path) for name, path in paths.items()}


@pytest.mark.parametrize("delay", [0, 1, 5])
def test_carts_are_paid_after_the_delay_at_the_price_of_their_opening(delay: int) -> None:
    path = ledgers(StockParams(payment_delay=delay, payment_failure=0.0))
    np.testing.assert_array_equal(path["paid"][delay:], path["reserved"][: 14 - delay])
    assert not path["paid"][:delay].any()
    assert not path["expired"].any()
    assert path["reserved"].any()
    np.testing.assert_allclose(path["revenue"], path["paid"] * make_world().list_price, rtol=1e-12)


@pytest.mark.parametrize("timeout", [0, 1, 6])
def test_carts_that_are_never_paid_come_back_after_their_time(timeout: int) -> None:
    """A cart that times out in its own tick is back for the next one."""
    path = ledgers(StockParams(payment_failure=1.0, cart_timeout=timeout))
    wait = max(timeout, 1)
    np.testing.assert_array_equal(path["expired"][wait:], path["reserved"][: 14 - wait])
    assert not path["paid"].any()
    assert path["expired"].any()


def test_the_share_of_carts_that_fail_is_the_parameter() -> None:
    path = ledgers(StockParams(payment_delay=0, payment_failure=0.3, cart_timeout=30), cover=30.0)
    carts, paid = path["reserved"].sum(), path["paid"].sum()
    assert abs(paid - 0.7 * carts) < 4.0 * np.sqrt(0.21 * carts)


def opened(**changes: Any) -> Batch:
    """Four sales; ``changes`` of the scenario."""
    batch = Batch(replace(make_scenario(**FREE), **changes).compile().tables, 4, domain=0)
    batch.fill(batch.seed, np.arange(4, dtype=np.uint64))
    batch.open(np.ones(4, np.bool_))
    return batch


def test_waves_are_released_when_they_are_due() -> None:
    batch = opened(waves=((0, 0.5), (3, 0.3), (3, 0.2)))
    released = []
    for _ in range(6):
        batch.step()
        released.append(batch.rows(batch.ledger.released)[0].copy())
    units = batch.tables.wave_units
    expected = [units[0], 0 * units[0], 0 * units[0], units[1], units[2], 0 * units[0]]
    np.testing.assert_array_equal(released, expected)


def test_a_wave_can_be_released_early_and_then_not_again() -> None:
    batch = opened(waves=((0, 0.5), (4, 0.5)))
    early, released = [], []
    for tick in range(6):
        batch.fill(batch.decisions.timing, np.array([RELEASE if tick == 2 else 0, 0, 0, 0]))
        batch.step()
        early.append(batch.rows(batch.ledger.early_releases).copy())
        released.append(batch.rows(batch.ledger.released)[:2, 0].copy())
    assert np.array(early)[:, 0].tolist() == [0, 0, 1, 0, 0, 0]
    assert not np.array(early)[:, 1:].any()
    first, second = batch.tables.wave_units[:, 0]
    assert np.array(released)[:, 0].tolist() == [first, 0, second, 0, 0, 0]
    assert np.array(released)[:, 1].tolist() == [first, 0, 0, 0, second, 0]


def test_an_order_to_release_in_the_tick_of_a_wave_releases_that_wave_alone() -> None:
    batch = opened(waves=((0, 0.5), (4, 0.5)))
    batch.decisions.timing[:] = RELEASE
    batch.step()
    np.testing.assert_array_equal(batch.rows(batch.ledger.released)[0], batch.tables.wave_units[0])
    assert not batch.ledger.early_releases.any()
    assert not batch.ledger.projected.any()


def test_the_close_settles_carts_and_counts_what_is_left() -> None:
    carts_open_long = StockParams(payment_delay=10, payment_failure=0.5, cart_timeout=10)
    batch = opened(ticks=3, waves=((0, 0.8), (2, 0.2)), carts=carts_open_long, stock_cover=9.0)
    carts = np.zeros((4, 3), np.int64)
    for _ in range(3):
        batch.step()
        carts += batch.rows(batch.ledger.reserved)
    ledger = batch.ledger
    np.testing.assert_array_equal(batch.rows(ledger.paid) + batch.rows(ledger.expired), carts)
    planned = batch.tables.wave_units.sum(axis=0)
    np.testing.assert_array_equal(batch.rows(ledger.paid) + batch.rows(ledger.leftover), np.tile(planned, (4, 1)))
    assert not batch.rows(ledger.in_carts).any()


@pytest.mark.parametrize("lead_time", [0, 1, 3])
def test_a_lot_is_ordered_once_and_is_on_sale_after_its_lead_time(lead_time: int) -> None:
    """The first sale orders in ticks 2 and 3, of two lots; its third order is not feasible. The second orders none."""
    batch = opened(carts=StockParams(lots=2, lot_share=0.5, lead_time=lead_time))
    ordered, released, projected = [], [], []
    for tick in range(9):
        batch.fill(batch.decisions.timing, np.array([REORDER if tick in (2, 3, 4) else 0, 0, 0, 0]))
        batch.step()
        ordered.append(batch.rows(batch.ledger.ordered).copy())
        released.append(batch.rows(batch.ledger.released).copy())
        projected.append(batch.rows(batch.ledger.projected).copy())
    lot = np.ceil(0.5 * batch.tables.planned).astype(int)
    first, waves = batch.tables.wave_units
    expected = np.zeros((9, 3), int)
    expected[2], expected[3] = lot, lot
    np.testing.assert_array_equal(np.array(ordered)[:, 0], expected)
    arrivals = np.roll(expected, lead_time, axis=0)
    arrivals[0] += first
    arrivals[8] += waves
    np.testing.assert_array_equal(np.array(released)[:, 0], arrivals)
    assert not np.array(ordered)[:, 1:].any()
    np.testing.assert_array_equal(np.array(projected)[:, 0], [0, 0, 0, 0, 1, 0, 0, 0, 0])


def test_a_lot_that_has_not_come_by_the_close_is_left_over_and_paid_for() -> None:
    batch = opened(ticks=4, waves=((0, 1.0),), carts=StockParams(lots=1, lot_share=2.0, lead_time=3))
    bought = np.zeros((4, 3))
    for tick in range(4):
        batch.fill(batch.decisions.timing, np.array([REORDER if tick == 1 else 0, 0, 0, 0]))
        batch.step()
        bought += batch.rows(batch.ledger.paid)
    planned, leftover = batch.tables.planned, batch.rows(batch.ledger.leftover)
    lots = np.array([[1], [0], [0], [0]]) * batch.tables.lot_units
    np.testing.assert_array_equal(bought + leftover, planned + lots)


def test_nothing_that_is_opened_in_a_payment_outage_is_ever_paid() -> None:
    """Carts opened in ticks 3 to 5 expire; those before and after are paid two ticks later, all of them."""
    carts = StockParams(payment_delay=2, payment_failure=0.0, cart_timeout=4)
    batch = opened(
        world=make_world(population=20.0), carts=carts, stock_cover=9.0, failures=Failures(payment=Outage(3, 3))
    )
    paths: dict[str, list[NDArray[Any]]] = {"reserved": [], "paid": [], "expired": []}
    for _ in range(15):
        batch.step()
        for name, path in paths.items():
            path.append(batch.rows(getattr(batch.ledger, name)).copy())
    reserved, paid, expired = (np.array(paths[name]) for name in ("reserved", "paid", "expired"))
    down = np.isin(np.arange(15), [3, 4, 5])[:, None, None]
    np.testing.assert_array_equal(paid[2:], np.where(down, 0, reserved)[:-2])
    np.testing.assert_array_equal(expired[4:], np.where(down, reserved, 0)[:-4])
    assert reserved[3:6].any()
