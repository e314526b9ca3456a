"""Traffic: the split of an uplift, goodwill that adds nothing, pushes, and sharing that tends to a Hawkes process."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.sim.parameters import as_arguments
from flashsim.sim.samplers import make_workspace
from flashsim.sim.streams import write_tick_keys
from flashsim.sim.traffic import (
    TrafficArguments,
    TrafficFlow,
    TrafficParams,
    TrafficState,
    arrive,
    clear_traffic,
    make_traffic_flow,
    make_traffic_state,
    push,
)
from tests.sim.tiles import first_tile
from tests.worlds import LEARNED_TRAFFIC

ATTRACTED_ONLY = replace(LEARNED_TRAFFIC, has_exogenous_visitors=False, highest_conversion=1.0)


class Crowd(NamedTuple):
    """The traffic part of ``lanes`` sales with one segment."""

    params: TrafficParams
    state: TrafficState
    flow: TrafficFlow
    keys: NDArray[np.uint64]

    @classmethod
    def open(cls, params: TrafficParams, *, lanes: int = 1) -> "Crowd":
        state = first_tile(make_traffic_state(1, lanes, segments=1))
        clear_traffic(as_arguments(params, TrafficArguments), state, np.ones(lanes, np.bool_))
        keys = np.random.default_rng(2).integers(0, 2**63, lanes).astype(np.uint64)
        return cls(params, state, make_traffic_flow(1, 1, lanes), keys)

    def arrive(
        self, tick: int, *, listed: float, offered: float, conversion: float = 1.0, share: float = 0.0
    ) -> NDArray[np.int64]:
        """All visitors (lane) of a tick with ``listed`` units expected at list price, ``offered`` of the offer."""
        lanes = self.keys.size
        self.flow.list_units[:], self.flow.offer_units[:] = listed, offered
        now, ticks = np.zeros(lanes, np.uint64), np.full(lanes, tick)
        write_tick_keys(self.keys, ticks, now)
        arrive(
            as_arguments(self.params, TrafficArguments),
            self.state,
            np.array([conversion]),
            np.array([share]),
            np.zeros(lanes, np.int64),
            ticks,
            now,
            self.flow,
            make_workspace(lanes),
        )
        return (self.flow.exogenous + self.flow.attracted)[0]

    def push(self, wanted: bool) -> NDArray[np.int64]:
        """Pushes sent (lane)."""
        push(as_arguments(self.params, TrafficArguments), self.state, np.full(self.keys.size, wanted), self.flow)
        return self.flow.pushes.copy()


def visitors(params: TrafficParams, uplifts: list[float], *, share: float = 0.6) -> NDArray[np.float64]:
    """Expected visitors tick by tick when units are e^uplift times those at list price; 100 visitors at list price."""
    crowd, means = Crowd.open(params), []
    for tick, uplift in enumerate(uplifts):
        crowd.arrive(tick, listed=10.0, offered=10.0 * np.exp(uplift), conversion=0.1, share=share)
        means.append(float(crowd.flow.expected[0]))
    return np.array(means)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_an_uplift_is_split_between_visitors_and_conversion(share: float) -> None:
    uplifts = [0.0, 0.5, 1.5, 3.0]
    expected = [100.0 * np.exp(max(share * uplift, uplift - np.log(9.0))) for uplift in uplifts]
    np.testing.assert_allclose(visitors(LEARNED_TRAFFIC, uplifts, share=share), expected, rtol=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_at_a_constant_depth_goodwill_adds_nothing(share: float) -> None:
    with_goodwill = replace(LEARNED_TRAFFIC, goodwill_share=share, goodwill_half_life=3.0)
    for uplift in (0.0, 0.7, 2.8):
        seen = visitors(with_goodwill, [uplift] * 30)
        np.testing.assert_allclose(seen, visitors(LEARNED_TRAFFIC, [uplift] * 30), rtol=1e-12)


@pytest.mark.parametrize(("before", "after"), [(0.0, 1.0), (1.5, 0.5)])
def test_after_a_change_visitors_follow_with_the_half_life_of_goodwill(before: float, after: float) -> None:
    """ln(V/v) = γ(G - a), and G closes half its distance to a in four ticks."""
    params = replace(LEARNED_TRAFFIC, goodwill_share=0.3, goodwill_half_life=4.0)
    path = [before] * 5 + [after] * 13
    gap = np.log(visitors(params, path) / visitors(LEARNED_TRAFFIC, path))[5:]
    np.testing.assert_allclose(gap, 0.3 * 0.6 * (before - after) * 0.5 ** (np.arange(13) / 4.0), rtol=1e-6)


@pytest.mark.parametrize("period", [2, 6, 20])
@pytest.mark.parametrize("opens_deep", [False, True])
def test_depth_that_comes_and_goes_brings_no_more_people_than_its_response(period: int, opens_deep: bool) -> None:
    """Once what the opening offer is known for has faded, where the sale opens deep."""
    half = period // 2
    path = [1.4 * float((tick % period < half) == opens_deep) for tick in range(120 + 4 * period)]
    first = 120 if opens_deep else 0
    for share in (0.3, 1.0):
        params = replace(LEARNED_TRAFFIC, goodwill_share=share, goodwill_half_life=5.0)
        assert visitors(params, path)[first:].sum() < visitors(LEARNED_TRAFFIC, path)[first:].sum()


def test_goodwill_moves_nobody_who_comes_anyway() -> None:
    plain, moved = (Crowd.open(replace(LEARNED_TRAFFIC, goodwill_share=share), lanes=200) for share in (0.0, 1.0))
    for tick, offered in enumerate([10.0, 30.0, 12.0, 10.0, 50.0]):
        for crowd in (plain, moved):
            crowd.arrive(tick, listed=10.0, offered=offered, conversion=0.1, share=0.5)
        np.testing.assert_array_equal(plain.flow.exogenous, moved.flow.exogenous)
    assert (plain.flow.attracted != moved.flow.attracted).any()


def test_pushes_keep_to_their_budget_and_decay_by_their_half_life() -> None:
    crowd = Crowd.open(replace(LEARNED_TRAFFIC, push_budget=2, push_uplift=0.5, push_half_life=2.0))
    sent, means = [], []
    for tick, wanted in enumerate([False, True, False, False, True, True, False]):
        sent.append(float(crowd.push(wanted)[0]))
        crowd.arrive(tick, listed=10.0, offered=10.0, conversion=0.1)
        means.append(float(crowd.flow.expected[0]))
    assert sent == [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    goodwill = [0.0, 1.0, 0.5**0.5, 0.5, 1.0, 0.5**0.5, 0.5]
    np.testing.assert_allclose(means, 100.0 + 50.0 * np.array(goodwill), rtol=1e-9)


def hawkes_params(ratio: float, tick: float) -> TrafficParams:
    """Sharing with kernel n·e^(-t) in ticks of length ``tick``, on top of the immigrants."""
    return replace(ATTRACTED_ONLY, sharing_ratio=ratio, sharing_delay=1.0 / tick, sharing_is_learned=False)


def hawkes_windows(
    ratio: float, tick: float, *, lanes: int, warm_up: float, window: float, windows: int, rate: float = 1.0
) -> NDArray[np.float64]:
    """People (window, lane) in successive windows of the sharing process with immigrants at ``rate``."""
    crowd, counts = Crowd.open(hawkes_params(ratio, tick), lanes=lanes), np.zeros((windows, lanes))
    warm, each = round(warm_up / tick), round(window / tick)
    for step in range(warm + each * windows):
        people = crowd.arrive(step, listed=rate * tick, offered=rate * tick)
        if step >= warm:
            counts[(step - warm) // each] += people
    return counts


def fano_of_hawkes(ratio: float, window: float) -> float:
    """Variance over mean of the stationary Hawkes process with kernel n·e^(-t) in a window.

    Source: Hawkes (1971), Biometrika 58(1), covariance density, integrated.
    """
    most, decay = 1.0 / (1.0 - ratio) ** 2, 1.0 - ratio
    return float(most + (1.0 - most) * -np.expm1(-decay * window) / (decay * window))


TICKS = (1.0, 0.2, 0.05)
LIMITS = [(0.2, 1.5625), (0.5, 4.0), (0.8, 25.0)]


@pytest.mark.parametrize(("ratio", "limit"), LIMITS)
def test_sharing_tends_to_a_hawkes_process_as_the_tick_shrinks(ratio: float, limit: float) -> None:
    """Means at every tick; Fano factors of windows of 5, whose error falls, and of 50, near the limit."""
    assert fano_of_hawkes(ratio, 1e9) == pytest.approx(limit, rel=1e-6)
    errors, lanes = [], 4000
    for tick in TICKS:
        counts = hawkes_windows(ratio, tick, lanes=lanes, warm_up=8.0 / (1.0 - ratio), window=5.0, windows=10)
        mean, of_lane = counts.mean(), counts.mean(axis=0)
        assert abs(mean - 5.0 / (1.0 - ratio)) <= 4.0 * of_lane.std(ddof=1) / np.sqrt(lanes)
        fano = fano_with_error(counts, mean)
        errors.append(abs(fano[0] / fano_of_hawkes(ratio, 5.0) - 1.0))
    assert errors[0] > errors[1] > errors[2], errors
    assert errors[2] <= 4.0 * fano[1] / fano[0] + 0.01, errors
    total = counts.sum(axis=0)[None]
    fano = fano_with_error(total, mean * 10.0)
    assert abs(fano[0] - fano_of_hawkes(ratio, 50.0)) <= 4.0 * fano[1] + 0.01 * fano[0]
    assert fano_of_hawkes(ratio, 50.0) > 0.88 * limit


def fano_with_error(counts: NDArray[np.float64], mean: float) -> tuple[float, float]:
    """Variance over mean and its standard error over lanes; counts (window, lane)."""
    squares = ((counts - mean) ** 2).mean(axis=0) / mean
    return float(squares.mean()), float(squares.std(ddof=1) / np.sqrt(squares.size))


def test_from_empty_the_mean_tends_to_that_of_the_hawkes_process() -> None:
    """μ = 1, α = .5, β = 1: E[N(50)] = 98.0; means are linear in μ, so that 10^4 of it makes the noise small."""
    errors = []
    for tick in TICKS:
        people = hawkes_windows(0.5, tick, lanes=400, warm_up=0.0, window=50.0, windows=1, rate=1e4)[0] / 1e4
        errors.append(abs(people.mean() - 98.0))
    assert errors[0] > errors[1] > errors[2], errors
    assert errors[2] < 0.001 * 98.0
    one = hawkes_windows(0.5, TICKS[-1], lanes=4000, warm_up=0.0, window=50.0, windows=1)[0]
    assert abs(one.mean() - 98.0) <= 4.0 * one.std(ddof=1) / np.sqrt(one.size) + 0.01 * 98.0


@pytest.mark.parametrize("ratio", [0.2, 0.8])
def test_sharing_that_is_learned_leaves_the_mean_of_every_tick_and_makes_it_bursty(ratio: float) -> None:
    """Also where the mean rises, and where it falls no faster than talk dies down."""
    lanes = 20_000
    crowd = Crowd.open(replace(ATTRACTED_ONLY, sharing_ratio=ratio, sharing_delay=2.0), lanes=lanes)
    total, truth = np.zeros(lanes), 0.0
    for tick in range(40):
        rate = 3.0 + np.sin(tick / 8.0)
        people = crowd.arrive(tick, listed=rate, offered=rate)
        assert abs(people.mean() - rate) <= 4.5 * people.std(ddof=1) / np.sqrt(lanes)
        total += people
        truth += rate
    assert abs(total.mean() - truth) <= 4.0 * total.std(ddof=1) / np.sqrt(lanes)
    assert total.var() / total.mean() > 1.2


def test_those_who_come_anyway_and_those_attracted_share_each_among_their_own() -> None:
    """What the offer attracts does not change who comes anyway, sharing included."""
    listed, reduced = (Crowd.open(TrafficParams(sharing_ratio=0.6), lanes=300) for _ in range(2))
    for tick in range(12):
        listed.arrive(tick, listed=2.0, offered=2.0, conversion=0.1, share=0.5)
        reduced.arrive(tick, listed=2.0, offered=9.0, conversion=0.1, share=0.5)
        np.testing.assert_array_equal(listed.flow.exogenous, reduced.flow.exogenous)
        assert not listed.flow.attracted.any()
    assert reduced.flow.attracted.any()
