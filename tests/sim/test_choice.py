"""Choice: shares of a multinomial logit that match the learned units, and what happens when products sell out."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.sim.choice import choose, make_choice_flow
from flashsim.sim.samplers import make_workspace

LANES = 6000
UNITS = np.array([[2.0, 1.0, 3.0], [0.5, 4.0, 0.0]])
VISITORS = np.array([20.0, 10.0])
SERVED = np.array([25, 8])


def requests(
    *,
    units: NDArray[np.float64] = UNITS,
    visitors: NDArray[np.float64] = VISITORS,
    available: tuple[int, ...] = (9, 9, 9),
    attraction: float = 1.0,
) -> NDArray[np.int64]:
    """Requests (product, lane) of the same tick in LANES sales."""
    segments, products = units.shape

    def spread(values: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(np.broadcast_to(values[..., None], (*values.shape, LANES)))

    flow, keys = make_choice_flow(products, LANES), np.random.default_rng(1).integers(0, 2**63, LANES)
    choose(
        spread(units),
        spread(visitors),
        spread(SERVED[:segments]),
        spread(np.array(available)),
        np.full(LANES, attraction),
        keys.astype(np.uint64),
        flow,
        make_workspace(LANES),
    )
    return flow.requests


def assert_means(seen: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    """Mean requests are Σ served·share within 4 standard errors; shares (segment, product)."""
    truth = (SERVED[: shares.shape[0], None] * shares).sum(axis=0)
    error = seen.std(axis=1) / np.sqrt(LANES)
    assert (np.abs(seen.mean(axis=1) - truth) <= 4.0 * error + 1e-12).all(), (seen.mean(axis=1), truth)


def test_a_visitor_buys_what_the_world_says() -> None:
    assert_means(requests(), UNITS / VISITORS[:, None])


def test_congestion_scales_the_weights_of_products_against_leaving() -> None:
    weights = 0.4 * UNITS
    leaving = VISITORS - UNITS.sum(axis=1)
    assert_means(requests(attraction=0.4), weights / (leaving + weights.sum(axis=1))[:, None])


def test_buyers_of_a_sold_out_product_turn_to_the_others_or_leave() -> None:
    seen = requests(available=(9, 0, 9))
    assert not seen[1].any()
    weights = UNITS * np.array([1.0, 0.0, 1.0])
    leaving = VISITORS - UNITS.sum(axis=1)
    assert_means(seen, weights / (leaving + weights.sum(axis=1))[:, None])
    assert seen[0].mean() > requests()[0].mean()


def test_nobody_buys_two_things_and_choices_are_multinomial() -> None:
    seen = requests()
    assert (seen.sum(axis=0) <= SERVED.sum()).all()
    shares = UNITS / VISITORS[:, None]
    covariance = -(SERVED[:, None, None] * shares[:, :, None] * shares[:, None, :]).sum(axis=0)
    np.testing.assert_allclose(np.cov(seen)[np.triu_indices(3, 1)], covariance[np.triu_indices(3, 1)], atol=0.25)


def test_when_all_visitors_are_buyers_all_of_them_buy() -> None:
    """Reference sales: one product, no outside option."""
    seen = requests(units=np.array([[3.7]]), visitors=np.array([3.7]), available=(5,))
    assert (seen == SERVED[0]).all()


@pytest.mark.parametrize("available", [(0, 0, 0)])
def test_with_everything_sold_out_nobody_buys(available: tuple[int, ...]) -> None:
    assert not requests(available=available).any()
