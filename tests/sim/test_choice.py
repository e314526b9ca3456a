"""Choice: shares of a logit that match the learned units, memory of prices, scarcity, watchers, several units."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.sim.choice import (
    ChoiceArguments,
    ChoiceFlow,
    ChoiceParams,
    ChoiceState,
    choose,
    clear_choice,
    come_back,
    make_choice_flow,
    make_choice_state,
    show_offer,
)
from flashsim.sim.parameters import as_arguments
from flashsim.sim.samplers import make_workspace
from tests.sim.tiles import first_tile
from tests.worlds import LEARNED_CHOICE

LANES = 6000
UNITS = np.array([[2.0, 1.0, 3.0], [0.5, 4.0, 0.0]])
VISITORS = np.array([20.0, 10.0])
SERVED = np.array([25, 8])
PLANNED = (100, 100, 100)
LEAVING = VISITORS - UNITS.sum(axis=1)


class Shop(NamedTuple):
    """The choice part of LANES sales."""

    params: ChoiceParams
    state: ChoiceState
    flow: ChoiceFlow

    @classmethod
    def open(cls, params: ChoiceParams = LEARNED_CHOICE, *, segments: int = 2, products: int = 3) -> "Shop":
        state = first_tile(make_choice_state(1, LANES, segments=segments, products=products))
        clear_choice(state, np.ones(LANES, np.bool_))
        return cls(params, state, make_choice_flow(segments, products, LANES))

    def choose(
        self,
        *,
        tick: int = 0,
        shown: tuple[float, ...] = (0.0, 0.0, 0.0),
        units: NDArray[np.float64] = UNITS,
        visitors: NDArray[np.float64] = VISITORS,
        available: tuple[int, ...] = (90, 90, 90),
        latency_factor: float = 1.0,
        served: NDArray[np.int64] = SERVED,
    ) -> NDArray[np.int64]:
        """Requests (product, lane) when products stand at the depths ``shown``."""
        segments, products = units.shape
        self.show(shown[:products])
        choose(
            as_arguments(self.params, ChoiceArguments),
            self.state,
            np.full(LANES, tick),
            np.array(PLANNED[:products]),
            spread(units),
            spread(visitors),
            spread(served[:segments]),
            np.full(LANES, latency_factor),
            spread(np.array(available[:products])),
            keys(tick),
            self.flow,
            make_workspace(LANES),
        )
        return self.flow.requests.copy()

    def come_back(self, *, tick: int, shown: tuple[float, ...]) -> NDArray[np.int64]:
        """Those who return (segment, lane)."""
        self.show(shown)
        come_back(
            as_arguments(self.params, ChoiceArguments),
            self.state,
            np.full(LANES, tick),
            keys(tick),
            self.flow,
            make_workspace(LANES),
        )
        return self.flow.returning.copy()

    def show(self, shown: tuple[float, ...]) -> None:
        """Let products stand at the depths ``shown``, from a menu of one price each."""
        show_offer(np.array(shown)[:, None], np.zeros((len(shown), LANES), np.int64), self.flow)


def spread(values: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(np.broadcast_to(values[..., None], (*values.shape, LANES)))


def keys(tick: int) -> NDArray[np.uint64]:
    return np.random.default_rng(tick + 1).integers(0, 2**63, LANES).astype(np.uint64)


def assert_means(seen: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    """Mean requests are Σ served·share within 4 standard errors; shares (segment, product)."""
    truth = (SERVED[: shares.shape[0], None] * shares).sum(axis=0)
    error = seen.std(axis=1) / np.sqrt(LANES)
    assert (np.abs(seen.mean(axis=1) - truth) <= 4.0 * error + 1e-12).all(), (seen.mean(axis=1), truth)


def shares_at(factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logit shares (segment, product) when the weights of products carry ``factors``."""
    weights = UNITS * factors
    return np.asarray(weights / (LEAVING + weights.sum(axis=1))[:, None])


def test_a_visitor_buys_what_the_world_says() -> None:
    assert_means(Shop.open().choose(), UNITS / VISITORS[:, None])


def test_at_a_constant_depth_and_ample_stock_memory_and_scarcity_change_nothing() -> None:
    """Bit for bit, tick after tick, whatever the parameters: the learned response is what it is."""
    plain = Shop.open()
    rich = Shop.open(ChoiceParams(reference_gain=3.0, reference_loss=5.0, scarcity_cue=2.0, watch_share=0.5))
    for tick in range(5):
        same = {"tick": tick, "shown": (0.1, 0.3, 0.0)}
        np.testing.assert_array_equal(plain.choose(**same), rich.choose(**same))  # type: ignore[arg-type]
        assert not rich.come_back(tick=tick, shown=(0.1, 0.3, 0.0)).any()


def test_congestion_scales_the_weights_of_products_against_leaving() -> None:
    assert_means(Shop.open().choose(latency_factor=0.4), shares_at(np.full(3, 0.4)))


def test_buyers_of_a_sold_out_product_turn_to_the_others_or_leave() -> None:
    seen = Shop.open().choose(available=(90, 0, 90))
    assert not seen[1].any()
    assert_means(seen, shares_at(np.array([1.0, 0.0, 1.0])))
    assert seen[0].mean() > Shop.open().choose()[0].mean()


def test_what_a_missing_product_costs_is_its_demand_less_what_the_others_recapture() -> None:
    """Exactly, with two products: of those who wanted the second, share w_1 / (w_0 + w_1) takes the first."""
    shop = Shop.open(replace(LEARNED_CHOICE, another_unit=0.5, limit=2), products=2)
    shop.choose(units=UNITS[:, :2], available=(90, 0), latency_factor=0.8)
    outside, weights = VISITORS - UNITS[:, :2].sum(axis=1), 0.8 * UNITS[:, :2]
    wanted = 1.5 * SERVED * weights[:, 1] / (outside + weights.sum(axis=1))
    recaptured = wanted * weights[:, 0] / (outside + weights[:, 0])
    expected = np.array([-recaptured.sum(), wanted.sum()])
    np.testing.assert_allclose(shop.flow.missed_requests, spread(expected), rtol=1e-12)


def test_nothing_is_missed_with_all_on_sale_and_all_without_anything() -> None:
    """What is missing counts without the cue of scarcity, what is there as people see it."""
    shop = Shop.open(replace(LEARNED_CHOICE, scarcity_cue=0.6, scarcity_threshold=0.2))
    shop.choose(available=(90, 1, 5))
    assert not shop.flow.missed_requests.any()
    shop.choose(available=(0, 0, 0))
    everything = (SERVED[:, None] * UNITS / VISITORS[:, None]).sum(axis=0)
    np.testing.assert_allclose(shop.flow.missed_requests, spread(everything), rtol=1e-12)
    shop.choose(available=(5, 0, 90))
    cued, there = np.array([1.45, 1.0, 1.0]), np.array([1.45, 0.0, 1.0])
    expected = (SERVED[:, None] * (shares_at(cued) - shares_at(there))).sum(axis=0)
    np.testing.assert_allclose(shop.flow.missed_requests, spread(expected), rtol=1e-12)


def test_nobody_buys_two_things_and_choices_are_multinomial() -> None:
    seen = Shop.open().choose()
    assert (seen.sum(axis=0) <= SERVED.sum()).all()
    shares = UNITS / VISITORS[:, None]
    covariance = -(SERVED[:, None, None] * shares[:, :, None] * shares[:, None, :]).sum(axis=0)
    np.testing.assert_allclose(np.cov(seen)[np.triu_indices(3, 1)], covariance[np.triu_indices(3, 1)], atol=0.25)


def test_when_all_visitors_are_buyers_all_of_them_buy() -> None:
    """Reference sales: one product, no outside option."""
    shop = Shop.open(segments=1, products=1)
    seen = shop.choose(units=np.array([[3.7]]), visitors=np.array([3.7]), available=(5,))
    assert (seen == SERVED[0]).all()


def test_with_everything_sold_out_nobody_buys() -> None:
    assert not Shop.open().choose(available=(0, 0, 0)).any()


@pytest.mark.parametrize("shown", [(0.2, 0.2, 0.2), (0.5, 0.0, 0.2)])
def test_people_compare_with_the_depths_they_have_seen_and_losses_weigh_more(shown: tuple[float, ...]) -> None:
    shop = Shop.open(replace(LEARNED_CHOICE, reference_gain=1.5, reference_loss=3.0))
    shop.choose(tick=0, shown=(0.2, 0.2, 0.2))
    better = np.array(shown) - 0.2
    factors = np.exp(np.where(better >= 0.0, 1.5, 3.0) * better)
    assert_means(shop.choose(tick=1, shown=shown), shares_at(factors))


def test_the_reference_depth_closes_half_its_distance_in_its_half_life() -> None:
    shop = Shop.open(replace(LEARNED_CHOICE, reference_half_life=4.0))
    shop.choose(tick=0, shown=(0.4, 0.0, 0.1))
    for tick in range(1, 5):
        shop.choose(tick=tick, shown=(0.0, 0.2, 0.1))
    np.testing.assert_allclose(shop.state.reference[:, 0], [0.2, 0.1, 0.1], rtol=1e-12)


@pytest.mark.parametrize(("left", "cue"), [(90, 0.0), (20, 0.0), (10, 0.5), (5, 0.75), (1, 0.95)])
def test_almost_gone_draws_buyers_below_its_threshold(left: int, cue: float) -> None:
    """Threshold 20 units of 100: at 10 half of the cue shows."""
    shop = Shop.open(replace(LEARNED_CHOICE, scarcity_cue=0.6, scarcity_threshold=0.2))
    assert_means(shop.choose(available=(90, left, 90)), shares_at(np.array([1.0, 1.0 + 0.6 * cue, 1.0])))


def test_those_who_buy_nothing_are_those_of_whom_some_watch() -> None:
    shop = Shop.open(replace(LEARNED_CHOICE, watch_share=0.3))
    bought = shop.choose().sum(axis=0)
    np.testing.assert_array_equal(shop.state.departed.sum(axis=0), SERVED.sum() - bought)
    np.testing.assert_array_equal(shop.state.watching, 0)
    shop.choose(tick=1)
    bought += shop.flow.buyers.sum(axis=0)
    np.testing.assert_array_equal(shop.state.departed.sum(axis=0), 2 * SERVED.sum() - bought)


def test_watchers_return_only_when_it_is_cheaper_than_ever_before() -> None:
    shop = Shop.open(replace(LEARNED_CHOICE, watch_share=0.5, watch_response=10.0))
    seen = []
    for tick, depth in enumerate([0.1, 0.1, 0.0, 0.1, 0.2, 0.1, 0.2, 0.4]):
        seen.append(bool(shop.come_back(tick=tick, shown=(depth,) * 3).any()))
        shop.choose(tick=tick, shown=(depth,) * 3)
    assert seen == [False, False, False, False, True, False, False, True]


def assert_binomial(seen: NDArray[np.int64], people: NDArray[np.int64], chance: float) -> None:
    """Within 4 standard errors in total, and spread as independent draws are."""
    expected, deviation = chance * people.sum(), np.sqrt(people.sum() * chance * (1.0 - chance))
    assert abs(seen.sum() - expected) <= 4.0 * deviation
    squares = ((seen.sum(axis=0) - chance * people.sum(axis=0)) ** 2).sum()
    assert squares == pytest.approx(deviation**2, rel=0.1)


def test_a_share_watches_and_returns_by_the_rise_of_the_mean_depth() -> None:
    """Two rises, from 1/30 to 3/30 and 6/30: the first is for those who left, the second for those who still watch."""
    shop = Shop.open(replace(LEARNED_CHOICE, watch_share=0.5, watch_response=10.0))
    shop.come_back(tick=0, shown=(0.0, 0.1, 0.0))
    shop.choose(tick=0)
    left = shop.state.departed.copy()
    returned = shop.come_back(tick=1, shown=(0.3, 0.0, 0.0))
    chances = 1.0 - np.exp(-10.0 * np.array([0.2, 0.3]) / 3.0)
    assert_binomial(returned, left, 0.5 * chances[0])
    watching = shop.state.watching.copy()
    assert_binomial(returned + watching, left, 0.5)
    assert not shop.state.departed.any()
    again = shop.come_back(tick=2, shown=(0.3, 0.3, 0.0))
    assert_binomial(again, watching, chances[1])
    np.testing.assert_array_equal(shop.state.watching, watching - again)


@pytest.mark.parametrize("served", [1, 2, 3, 5, 10])
@pytest.mark.parametrize(("latency_factor", "seen_before"), [(1.0, 0.5), (0.5, 0.0), (0.2, 0.5)])
def test_a_deeper_discount_never_lowers_its_own_requests_whatever_else_weighs_on_choices(
    served: int, latency_factor: float, seen_before: float
) -> None:
    """Person by person, where weights carry factors below 1: a queue, or a reference depth above those shown."""
    requests = []
    for step in range(6):
        shop = Shop.open(replace(LEARNED_CHOICE, reference_gain=1.0, reference_loss=2.0))
        shop.choose(tick=0, shown=(seen_before,) * 3)
        units = np.array([[2.0, 1.0, 1.2**step], [0.5, 0.4, 0.6]])
        depths = (seen_before, seen_before, 0.1 * step)
        visitors = np.array([9.0, 10.0])
        arguments = {"tick": 1, "shown": depths, "units": units, "visitors": visitors, "latency_factor": latency_factor}
        requests.append(shop.choose(served=np.array([served, 1]), **arguments)[2])  # type: ignore[arg-type]
    lower = (np.diff(requests, axis=0) < 0).sum()
    assert lower == 0, f"{lower} of {5 * LANES} sales ask for less at a deeper discount"


@pytest.mark.parametrize(("more", "limit"), [(0.0, 1), (0.4, 1), (0.4, 3), (0.7, 5), (0.3, 100)])
def test_a_buyer_wants_more_units_up_to_the_limit_a_person(more: float, limit: int) -> None:
    params = replace(LEARNED_CHOICE, another_unit=more, limit=limit)
    shop = Shop.open(params)
    requests = shop.choose()
    buyers = shop.flow.buyers
    np.testing.assert_array_equal(buyers, Shop.open().choose())
    assert (requests >= buyers).all()
    assert (requests <= limit * buyers).all()
    chances = more ** np.arange(min(limit, 60))
    assert params.units_allowed == pytest.approx(chances.sum(), rel=1e-9)
    mean, second = chances.sum(), ((2.0 * np.arange(1, chances.size + 1) - 1.0) * chances).sum()
    error = np.sqrt(buyers.sum() * (second - mean**2))
    assert abs(requests.sum() - mean * buyers.sum()) <= 4.0 * error + 1e-6


def test_opening_a_lane_sends_its_watchers_home() -> None:
    shop = Shop.open(replace(LEARNED_CHOICE, watch_share=1.0, watch_response=1.0))
    shop.choose()
    shop.come_back(tick=1, shown=(0.1, 0.1, 0.1))
    shop.choose(tick=1)
    before = [shop.state.departed.copy(), shop.state.watching.copy()]
    clear_choice(shop.state, np.arange(LANES) == 1)
    for now, then in zip((shop.state.departed, shop.state.watching), before, strict=True):
        assert then[:, 1].any()
        assert not now[:, 1].any()
        np.testing.assert_array_equal(np.delete(now, 1, axis=1), np.delete(then, 1, axis=1))
