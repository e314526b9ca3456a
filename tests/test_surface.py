"""Tables are read between their nodes within 1 % of a smooth model; a model that no table follows is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.surface import LARGEST_ERROR, ResponseModel, SmoothedSteps, read_day, read_surface, relative, tabulate
from tests.models.made_trees import trees

Array = NDArray[np.float64]
GRID = 0.05 * np.arange(13)


def smooth_model(seed: int) -> ResponseModel:
    """Cells (8) with slopes up to 7 and days of three humps, 1.5 to 5 hours wide, over a small base."""
    generator = np.random.default_rng(seed)
    slope = generator.uniform(0.0, 7.0, 8)
    middle, width = generator.uniform(0.0, 24.0, (8, 3)), generator.uniform(1.5, 5.0, (8, 3))
    height = generator.dirichlet(np.ones(3), 8)

    def rates(depths: Array, minutes: Array) -> Array:
        angle = 2.0 * np.pi * (minutes / 60.0 - middle[..., None]) / 24.0
        humps = np.exp((np.cos(angle) - 1.0) / (2.0 * np.pi * width[..., None] / 24.0) ** 2)
        day = 0.02 + (height[..., None] * humps).sum(axis=1)
        return np.exp(slope[:, None] * depths)[..., None] * day[:, None, :]

    return rates


@pytest.mark.parametrize("seed", range(10))
def test_a_smooth_model_is_read_within_one_percent_on_a_random_grid(seed: int) -> None:
    """The bound by its own words: |table - model| <= 1 % of max(rate, 5 % of the cell's peak)."""
    model, generator = smooth_model(seed), np.random.default_rng((seed, 1))
    table = tabulate(model, GRID, generator=generator)
    depths, minutes = np.sort(generator.uniform(0.0, 0.6, 100)), generator.uniform(0.0, 1440.0, 100)
    truth = model(depths, minutes)
    allowed = 0.01 * np.maximum(truth, 0.05 * truth.max(axis=(1, 2), keepdims=True))
    assert (np.abs(read_surface(table.values, GRID, depths=depths, minutes=minutes) - truth) <= allowed).all()
    assert 0.0 < table.error <= LARGEST_ERROR


def test_a_grid_too_coarse_for_its_model_is_refused_with_the_place() -> None:
    with pytest.raises(InputError, match=r"on 3 depths strays .* by [\d.]+% .* at depth 0\.\d+, .*finer grid"):
        tabulate(smooth_model(0), [0.0, 0.3, 0.6], generator=np.random.default_rng(0))


def test_a_model_that_falls_with_depth_is_refused() -> None:
    def falling(depths: Array, minutes: Array) -> Array:
        return (2.0 - depths)[:, None] * np.ones(minutes.size)

    with pytest.raises(InputError, match="strays from its model"):
        tabulate(falling, GRID, generator=np.random.default_rng(0))


def test_trees_are_refused_as_they_are_and_pass_smoothed_with_the_loss_told() -> None:
    model = trees()
    with pytest.raises(InputError, match="smooth a model of steps first"):
        tabulate(model, GRID, generator=np.random.default_rng(0))
    smoothed = SmoothedSteps(model, 0.6)
    table = tabulate(smoothed, GRID, generator=np.random.default_rng(0))
    assert (np.diff(table.values, axis=-2) >= 0.0).all()
    assert table.error <= LARGEST_ERROR
    mean, largest = smoothed.loss(generator=np.random.default_rng(0))
    assert 0.0 < mean < largest
    fine, middles = 0.01 * np.arange(61.0), 60.0 * np.arange(0.5, 24.0)
    truth = 2.0 * np.exp(3.0 * fine)[:, None] * (1.0 + 0.8 * np.sin(2.0 * np.pi * (middles / 60.0 - 11.0) / 24.0))
    errors = [relative(rates(fine, middles) - truth, truth, peak=truth.max()).mean() for rates in (smoothed, model)]
    assert errors[0] < errors[1]  # nearer to what the trees were fitted to than the trees are


def test_smoothing_changes_a_straight_line_nowhere_and_a_jump_by_what_it_says() -> None:
    def line(depths: Array, minutes: Array) -> Array:
        return (1.0 + 2.0 * depths)[:, None] * np.ones(minutes.size)

    def jump(depths: Array, minutes: Array) -> Array:
        return np.where(depths < 0.3, 1.0, 2.0)[:, None] * np.ones(minutes.size)

    generator = np.random.default_rng(0)
    assert SmoothedSteps(line, 0.6).loss(generator=generator)[1] < 1e-9
    smoothed = SmoothedSteps(jump, 0.6)
    assert smoothed.loss(generator=generator)[1] == pytest.approx(0.5, abs=0.02)  # 1.5 where 1 was
    rates = smoothed(np.array([0.0, 0.14, 0.3, 0.46, 0.6]), np.zeros(1))[:, 0]
    assert rates == pytest.approx([1.0, 1.0, 1.5, 2.0, 2.0], abs=0.02)


@pytest.mark.parametrize(
    ("deepest", "window", "words"),
    [(0.0, 0.1, "deepest must lie between 0 and 1, got 0.0"), (0.6, 0.4, "window must lie from 0.0025 to half")],
)
def test_smoothing_out_of_range_is_refused(deepest: float, window: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        SmoothedSteps(smooth_model(0), deepest, window)


@given(st.lists(st.floats(0.0, 1e6), min_size=24, max_size=24))
def test_every_hour_keeps_its_mean_and_nothing_falls_below_zero(hours: list[float]) -> None:
    """Up to what lies between the places at which an hour is looked at; exact where nothing would dip below zero."""
    minutes = np.arange(1440 * 4) / 4.0 + 0.125
    day = read_day(hours, minutes)
    assert (day >= 0.0).all()
    assert np.abs(day.reshape(24, -1).mean(axis=1) - hours).max() <= 2e-3 * max(hours) + 1e-9


def test_the_day_is_a_circle() -> None:
    hours = 2.0 + np.sin(2.0 * np.pi * (np.arange(24) + 0.5) / 24.0)
    minutes = np.array([-30.0, 0.0, 1410.0, 1440.0])
    before, midnight, late, again = read_day(hours, minutes)
    assert (before, midnight) == pytest.approx((late, again))
    np.testing.assert_allclose(read_day(np.roll(hours, 5), minutes + 300.0), read_day(hours, minutes), rtol=1e-9)


def test_tables_are_met_at_their_nodes_and_never_fall_between_them() -> None:
    generator = np.random.default_rng(0)
    table = np.cumsum(generator.exponential(size=(3, 13, 24)), axis=1)
    flat = np.repeat(table[..., :1], 24, axis=-1)
    np.testing.assert_allclose(read_surface(flat, GRID, depths=GRID, minutes=[77.0])[..., 0], table[..., 0], rtol=1e-12)
    read = read_surface(table, GRID, depths=np.linspace(0.0, 0.6, 301), minutes=np.linspace(0.0, 1440.0, 97))
    assert (np.diff(read, axis=1) >= 0.0).all()
    one = read_surface(table[:, :1], GRID[:1], depths=[0.0], minutes=[600.0])
    np.testing.assert_allclose(one[:, 0], read_day(table[:, 0], [600.0]))


@pytest.mark.parametrize("depths", [[], [0.0, 0.61], [-0.01], [0.2, 0.1], [np.nan]])
def test_depths_outside_the_table_are_refused(depths: list[float]) -> None:
    with pytest.raises(InputError, match=r"depths must ascend within 0 … 0.6, got"):
        read_surface(np.ones((13, 24)), GRID, depths=depths, minutes=[0.0])
