"""A member's response: segments add up to the demand model, and none of them buys less when it is cheaper."""

import numpy as np
import pytest

from flashsim.models.demand.response import respond, rising_parts

NONE = np.zeros(1, dtype=np.intp)


class Shares:
    """Two segments; the share of the second falls by ``fall`` for each unit of depth."""

    def __init__(self, fall: float) -> None:
        self.fall = fall

    def at(self, depth: np.ndarray) -> np.ndarray:
        second = 0.6 * np.exp(-self.fall * depth)
        return np.stack([1.0 - second, second])[None]


class OneMember:
    """One product that sells 12 exp(2 depth) a day, all hours alike."""

    hour_profile = np.full((1, 2, 24), 1.0 / 24.0)

    def __init__(self, fall: float) -> None:
        self.shares = Shares(fall)

    def daily_units(self, depth: np.ndarray) -> np.ndarray:
        return 12.0 * np.exp(2.0 * depth)[None]


@pytest.mark.parametrize("fall", [0.0, 1.0, 4.0])
def test_segments_add_up_to_the_demand_model_and_never_fall_with_depth(fall: float) -> None:
    response = respond(OneMember(fall), products=NONE, group_of=NONE, deepest=0.6)  # type: ignore[arg-type]
    depths = np.array([0.0, 0.123, 0.25, 0.5, 0.6])
    rates = response(depths, np.array([10.0, 700.0]))
    assert rates.shape == (2, 1, 5, 2)
    np.testing.assert_allclose(rates.sum(axis=0)[0].T * 24 * 60.0, [12.0 * np.exp(2.0 * depths)] * 2, rtol=1e-4)
    assert (np.diff(rates, axis=2) >= 0.0).all()
    assert (response.moved > 0.1) == (fall > 2.0)  # a share that falls faster than demand rises


def test_parts_that_rise_stay_as_they_are_and_sums_stay_in_any_case() -> None:
    generator = np.random.default_rng(0)
    rising = np.cumsum(generator.random((3, 4, 9)), axis=2)
    np.testing.assert_allclose(rising_parts(rising), rising)
    whole = np.cumsum(generator.random((4, 9)), axis=1) + 1.0
    parts = generator.dirichlet(np.ones(3), (4, 9)).transpose(2, 0, 1) * whole
    held = rising_parts(parts)
    np.testing.assert_allclose(held.sum(axis=0), whole)
    assert (np.diff(held, axis=2) >= 0.0).all()
