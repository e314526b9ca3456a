"""Pull-forward is found where it is, and "about zero" is said where deep discounts merely draw other people."""

import json
from datetime import date

import numpy as np
import pytest

from flashsim.data.panel import Panel, SaleLines
from flashsim.models.customers.segments import HouseholdSegments
from flashsim.models.demand.pull_forward import DEEPER, PullForward, estimate_pull_forward

HOUSEHOLDS, PRODUCTS, WEEKS = 1200, 12, 52
AFTER = (-2.0, -1.2, -0.6, 0.0)
"""Known change of log rebuying a week, for depth 1, in the first four weeks after."""


def made_shop(after: tuple[float, ...], *, seed: int) -> tuple[SaleLines, Panel, HouseholdSegments]:
    """Households differ in taste (gamma) and in how they respond to depth; those who respond most buy least often."""
    generator = np.random.default_rng(seed)
    depth = generator.choice([0.0, 0.0, 0.15, 0.4], size=(PRODUCTS, WEEKS))
    taste = generator.gamma(0.5, 2.0, size=(HOUSEHOLDS, PRODUCTS))
    seeker = np.arange(HOUSEHOLDS) % 3 == 0
    slope = np.where(seeker, 4.0, 1.0)
    base = np.where(seeker, 0.01, 0.03)
    bought = np.zeros((HOUSEHOLDS, PRODUCTS, WEEKS), dtype=bool)
    for week in range(WEEKS):
        log_rate = np.log(base[:, None] * taste + 1e-12) + slope[:, None] * depth[:, week]
        for ahead, effect in enumerate(after, start=1):
            if week >= ahead:
                log_rate += effect * bought[:, :, week - ahead] * depth[:, week - ahead]
        bought[:, :, week] = generator.random((HOUSEHOLDS, PRODUCTS)) < 1.0 - np.exp(-np.exp(log_rate))
    household, product, when = np.nonzero(bought)
    nothing = np.zeros_like(when)
    lines = SaleLines(product, household, when, nothing, nothing + 12, np.ones(len(when)))
    panel = Panel(
        product_ids=tuple(range(PRODUCTS)),
        product_names=tuple(f"thing {p}" for p in range(PRODUCTS)),
        groups=("all",),
        group_of=np.zeros(PRODUCTS, dtype=np.intp),
        first_monday=date(2020, 1, 6),
        units=np.repeat(bought.sum(axis=0)[:, :, None], 7, axis=2) / 7.0,
        is_open=np.ones((WEEKS, 7), dtype=bool),
        depth=depth,
        display=np.zeros_like(depth),
        mailer=np.zeros_like(depth),
        list_price=np.ones(PRODUCTS),
        clumping=np.ones(PRODUCTS),
    )
    kind = np.where(seeker, 0, 1)
    segments = HouseholdSegments(np.arange(HOUSEHOLDS), np.stack([kind, kind], axis=1), 4, ("seekers", "others"))
    return lines, panel, segments


def estimated(after: tuple[float, ...], *, seed: int) -> PullForward:
    lines, panel, segments = made_shop(after, seed=seed)
    found = estimate_pull_forward(lines, panel, segments=segments, generator=np.random.default_rng(0))
    assert found is not None
    return found


def test_known_pull_forward_is_recovered_week_by_week() -> None:
    """Over three made shops: each week's mean within .07, and the total found each time."""
    found = [estimated(AFTER, seed=seed) for seed in range(3)]
    truth = np.expm1(DEEPER * np.array(AFTER))
    mean = np.mean([[interval.value for interval in one.after] for one in found], axis=0)
    assert mean == pytest.approx(truth, abs=0.07)
    assert all(one.total.high < 0.0 and not one.is_about_zero for one in found)
    assert all("pulled forward" in one.sentence() for one in found)


def test_no_pull_forward_is_told_as_about_zero() -> None:
    """Nine in ten intervals hold zero: of five shops at least three (P of fewer: 1 %); no bias beyond 4 errors."""
    found = [estimated((), seed=10 + seed) for seed in range(5)]
    assert sum(one.is_about_zero for one in found) >= 3
    weeks = np.array([[interval.value for interval in one.after] for one in found])
    assert abs(weeks.mean()) < 4.0 * weeks.std(ddof=1) / np.sqrt(weeks.size)
    assert "about zero" in next(one for one in found if one.is_about_zero).sentence()


def test_equal_seeds_agree_and_the_record_is_plain() -> None:
    first, again = estimated(AFTER, seed=3), estimated(AFTER, seed=3)
    assert first == again
    record = json.loads(json.dumps(first.as_json(), allow_nan=False))
    assert len(record["weeks_after"]) == len(AFTER)
    assert record["total"]["low"] < record["total"]["value"] < record["total"]["high"]


def test_without_rebuying_or_without_discounts_there_is_no_estimate() -> None:
    lines, panel, segments = made_shop((), seed=0)
    once = np.unique(lines.household, return_index=True)[1]
    few = SaleLines(
        lines.product[once],
        lines.household[once],
        lines.week[once],
        lines.day[once],
        lines.hour[once],
        lines.units[once],
    )
    generator = np.random.default_rng(0)
    assert estimate_pull_forward(few, panel, segments=segments, generator=generator) is None
    flat = Panel(**(vars(panel) | {"depth": np.zeros_like(panel.depth)}))
    assert estimate_pull_forward(lines, flat, segments=segments, generator=generator) is None
