"""The demand model finds the response that made the data, and never an upside-down one."""

import numpy as np
import pytest

from flashsim.errors import InputError
from flashsim.models.demand.negative_binomial import (
    DEPTH,
    DISPLAY,
    DemandModel,
    DemandTable,
    DisplayContrast,
    filter_levels,
    fit_demand,
)

GROUPS, PER_GROUP, WEEKS = 3, 6, 48
WEEKDAY = np.log(np.array([0.9, 0.8, 0.8, 0.9, 1.1, 1.3, 1.2]))


def make_table(
    *, seed: int = 0, level: float = 8.0, alpha: float = 0.15, season: float = 0.0, chase: float = 0.0
) -> tuple[DemandTable, np.ndarray]:
    """Negative-binomial sales with known slopes; ``season`` moves groups slowly and depth follows it by ``chase``."""
    generator = np.random.default_rng(seed)
    products = GROUPS * PER_GROUP
    group_of = np.repeat(np.arange(GROUPS), PER_GROUP)
    slopes = np.stack(
        [
            generator.normal(np.array([3.0, 2.0, 1.5])[group_of], 0.4),
            generator.normal(0.4, 0.1, products),
            generator.normal(0.2, 0.1, products),
        ],
        axis=1,
    )
    week = season * np.sin(2.0 * np.pi * (np.arange(WEEKS) / WEEKS + generator.random((GROUPS, 1))))
    depth = generator.choice([0.0, 0.0, 0.0, 0.15, 0.3, 0.45], size=(products, WEEKS))
    depth = np.clip(depth + chase * week[group_of], 0.0, 0.6)
    display = np.where(depth > 0.1, generator.random((products, WEEKS)), 0.0)
    mailer = (generator.random((products, WEEKS)) < 0.2) * 1.0
    covariates = np.stack([depth, display, mailer], axis=2)
    log_mean = np.log(level) + np.einsum("pwk,pk->pw", covariates, slopes) + week[group_of]
    mean = np.exp(log_mean[:, :, None] + WEEKDAY)
    units = generator.poisson(mean * generator.gamma(1.0 / alpha, alpha, mean.shape)).astype(float)
    table = DemandTable(
        units, np.ones(units.shape), covariates, group_of.astype(np.intp), np.ones(WEEKS), np.ones(products)
    )
    return table, slopes


@pytest.fixture(scope="module")
def fitted() -> tuple[DemandTable, np.ndarray, DemandModel]:
    table, slopes = make_table()
    return table, slopes, fit_demand(table)


def test_known_slopes_are_found_within_their_standard_errors(
    fitted: tuple[DemandTable, np.ndarray, DemandModel],
) -> None:
    _, slopes, model = fitted
    z = (model.slopes - slopes) / np.sqrt(model.slope_variance)
    assert np.abs(z).max() < 4.0
    assert 0.6 < z[:, DEPTH].std() < 1.5
    assert np.abs(model.slopes[:, DEPTH] - slopes[:, DEPTH]).mean() < 0.15


def test_weekdays_and_dispersion_are_found(fitted: tuple[DemandTable, np.ndarray, DemandModel]) -> None:
    _, _, model = fitted
    centered = model.weekday_effect - model.weekday_effect.mean(axis=1, keepdims=True)
    assert np.abs(centered - (WEEKDAY - WEEKDAY.mean())).max() < 0.08
    assert model.alpha.mean() == pytest.approx(0.15, abs=0.03)


def test_a_slow_season_that_discounts_follow_does_not_pass_for_response() -> None:
    """Depth is deeper when the group sells well anyway: without week effects slopes would be far too steep.

    This season moves twice as fast as the prior of the week effects expects, so a fifth of the bias may remain.
    """
    table, slopes = make_table(seed=1, season=0.5, chase=0.3)
    with_weeks = fit_demand(table)
    design = np.concatenate([np.ones((*table.covariates.shape[:2], 1)), table.covariates], axis=2)
    response = np.log(table.units.sum(axis=2) + 0.5)
    naive = np.stack([np.linalg.lstsq(design[p], response[p], rcond=None)[0][1] for p in range(len(design))])
    truth = slopes[:, DEPTH]
    bias = (naive - truth).mean()
    assert bias > 0.3
    assert abs((with_weeks.slopes[:, DEPTH] - truth).mean()) < 0.2 * bias


def test_the_response_never_falls_with_depth_though_the_data_do() -> None:
    table, _ = make_table(seed=2)
    upside_down = table._replace(units=table.units[:, ::-1].copy())
    upside_down.units[0] = np.round(20.0 * np.exp(-4.0 * table.covariates[0, :, DEPTH]))[:, None]
    model = fit_demand(upside_down)
    assert (model.slopes[:, DEPTH] >= 0.0).all()
    assert model.slopes[0, DEPTH] == 0.0
    deep, shallow = (np.zeros((len(table.units), 1, 3)) for _ in range(2))
    deep[:, :, DEPTH] = 0.4
    assert (model.expected_units(deep) >= model.expected_units(shallow)).all()


def test_a_product_without_promotions_takes_the_slope_of_its_group() -> None:
    table, _ = make_table(seed=3)
    covariates = table.covariates.copy()
    covariates[0] = 0.0
    model = fit_demand(table._replace(covariates=covariates))
    assert model.slopes[0, DEPTH] == pytest.approx(model.group_slopes[0, DEPTH], abs=0.02)
    others = model.slopes[1:PER_GROUP, DEPTH]
    assert others.min() < model.slopes[0, DEPTH] < others.max()
    assert model.slope_variance[0, DEPTH] > 3.0 * model.slope_variance[1, DEPTH]


def test_a_display_contrast_takes_the_place_of_what_totals_say() -> None:
    table, _ = make_table(seed=4)
    held = fit_demand(table, display=DisplayContrast(effect=1.0, spread=0.01))
    assert held.slopes[:, DISPLAY] == pytest.approx(np.full(len(held.slopes), 1.0), abs=0.05)


def test_days_off_sale_and_weeks_of_weight_zero_do_not_count() -> None:
    table, _ = make_table(seed=5)
    exposure, weight = table.exposure.copy(), table.week_weight.copy()
    exposure[:, :4] = 0.0
    weight[10:14] = 0.0
    plain = table._replace(exposure=exposure, week_weight=weight)
    nonsense = plain.units.copy()
    nonsense[:, :4], nonsense[:, 10:14] = 1e6, 1e6
    first, second = fit_demand(plain), fit_demand(plain._replace(units=nonsense))
    np.testing.assert_allclose(first.slopes, second.slopes, atol=1e-6)


def test_a_bootstrap_member_without_a_single_sale_of_a_product_is_still_finite() -> None:
    table, _ = make_table(seed=6)
    start = fit_demand(table)
    units = table.units.copy()
    units[0] = 0.0
    model = fit_demand(table._replace(units=units), start=start, iterations=12)
    assert np.isfinite(model.intercept).all()
    assert np.isfinite(model.slopes).all()


def test_levels_follow_a_change_and_see_the_past_only() -> None:
    generator = np.random.default_rng(7)
    expected = np.full((2, 30, 7), 20.0)
    units = generator.poisson(expected).astype(float)
    units[0, 15:] = generator.poisson(2.0 * expected[0, 15:])
    levels = filter_levels(units, expected)
    assert levels[0, :16] == pytest.approx(np.ones(16), abs=0.15)
    assert levels[0, 22:] == pytest.approx(np.full(8, 2.0), abs=0.25)
    changed = units.copy()
    changed[:, 20:] = 0.0
    np.testing.assert_array_equal(filter_levels(changed, expected)[:, :21], levels[:, :21])


def test_a_product_that_was_not_on_sale_keeps_its_level() -> None:
    expected = np.full((1, 6, 7), 10.0)
    expected[0, 3:] = 0.0
    levels = filter_levels(np.full((1, 6, 7), 15.0), expected, prior_units=1e-9)
    assert levels[0, 1:] == pytest.approx(np.full(5, 1.5))


def test_wrong_tables_are_refused_in_words() -> None:
    table, _ = make_table(seed=8)
    with pytest.raises(InputError, match=r"covariates: expected \(18, 48, 3\), got \(18, 48, 2\)"):
        fit_demand(table._replace(covariates=table.covariates[:, :, :2]))
    with pytest.raises(InputError, match=r"units: expected finite values >= 0, got \[-1.0\]"):
        fit_demand(table._replace(units=-np.ones(table.units.shape)))
    with pytest.raises(InputError, match="covariates: expected finite values"):
        fit_demand(table._replace(covariates=np.full(table.covariates.shape, np.nan)))
    exposure = table.exposure.copy()
    exposure[3] = 0.0
    with pytest.raises(InputError, match=r"product 3 .* is never on sale"):
        fit_demand(table._replace(exposure=exposure))
