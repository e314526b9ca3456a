"""Stock: carts are paid or come back at their time, waves are released when due or wanted, the close settles."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.sim.engine import Batch
from flashsim.sim.inventory import StockParams
from flashsim.sim.sale import RELEASE
from flashsim.sim.servers import ServerParams
from tests.worlds import make_scenario, make_world

SALES = 300
FREE: dict[str, Any] = {"servers": ServerParams(start_servers=500, max_servers=500)}


def ledgers(carts: StockParams, *, ticks: int = 14, cover: float = 3.0) -> dict[str, NDArray[Any]]:
    """Product entries of the ledger (tick, sale, product) of sales at list price that stay open."""
    scenario = make_scenario(make_world(population=5.0), carts=carts, stock_cover=cover, ticks=40, **FREE)
    batch = Batch(scenario.plan().tables, SALES, domain=0)
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
    batch = Batch(replace(make_scenario(**FREE), **changes).plan().tables, 4, domain=0)
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
