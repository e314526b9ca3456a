"""Elasticities are drawn towards category and literature by as much as they are unsure."""

import numpy as np
import pytest

from flashsim.models.demand.pooled_slopes import PUBLISHED, pool_slopes


def test_a_product_that_tells_nothing_has_the_published_distribution() -> None:
    pooled = pool_slopes(np.array([0.0]), np.array([np.inf]), ["tea"])
    assert pooled.mean[0] == pytest.approx(PUBLISHED[0])
    assert pooled.sd[0] == pytest.approx(PUBLISHED[1], rel=1e-6)


def test_a_product_that_tells_all_keeps_what_it_tells() -> None:
    pooled = pool_slopes(np.array([-0.4, -7.0]), np.array([0.01, 0.01]), ["tea", "tea"])
    np.testing.assert_allclose(pooled.mean, [-0.4, -7.0], atol=0.01)
    np.testing.assert_allclose(pooled.sd, 0.01, rtol=0.01)


def test_a_product_that_tells_little_is_drawn_towards_its_own_category() -> None:
    told = np.array([-1.0, -1.1, -0.9, -1.0, -2.0, -4.0, -4.1, -3.9, -4.0, -2.0])
    error = np.array([0.1, 0.1, 0.1, 0.1, 2.0, 0.1, 0.1, 0.1, 0.1, 2.0])
    pooled = pool_slopes(told, error, ["a"] * 5 + ["b"] * 5)
    assert pooled.mean[4] > -1.6
    assert pooled.mean[9] < -3.0
    assert pooled.sd[4] < 1.5


def test_intervals_cover_over_drawn_categories() -> None:
    generator = np.random.default_rng(0)
    covers = []
    for _ in range(200):
        center = generator.normal(-2.6, 1.5, size=4)
        truth = center.repeat(5) + generator.normal(0.0, 0.7, size=20)
        error = generator.uniform(0.2, 2.5, size=20)
        pooled = pool_slopes(generator.normal(truth, error), error, list("aaaaabbbbbcccccddddd"))
        covers.append(np.abs(pooled.mean - truth) <= 1.645 * pooled.sd)
    assert 0.87 < np.mean(covers) < 0.96


def test_the_order_of_products_does_not_matter() -> None:
    told, error = np.array([-1.0, -2.0, -3.0]), np.array([0.5, 0.2, np.inf])
    one, other = pool_slopes(told, error, ["a", "b", "a"]), pool_slopes(told[::-1], error[::-1], ["a", "b", "a"])
    np.testing.assert_allclose(one.mean, other.mean[::-1])
