"""The card passes for the truth, and each of its lines fails for the World that is wrong in what it asks."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from flashsim.errors import InputError
from flashsim.fidelity import FidelityCard, HeldOut, fidelity_card, measures
from flashsim.fidelity.replay import replay_days, replay_weeks
from flashsim.world import World
from tests.fidelity.made_weeks import PRODUCTS, SLOPE, true_weeks, true_world
from tests.worlds import without_frailty

DRAWS = 60


@pytest.fixture(scope="module")
def truth() -> World:
    return true_world()


@pytest.fixture(scope="module")
def weeks(truth: World) -> HeldOut:
    return true_weeks(truth)


@pytest.fixture(scope="module")
def card(truth: World, weeks: HeldOut) -> FidelityCard:
    return fidelity_card(truth, weeks, seed=1, draws=DRAWS)


def failures(world: World, weeks: HeldOut) -> set[str]:
    return {line.name for line in fidelity_card(world, weeks, seed=1, draws=DRAWS).lines if not line.passed}


def test_the_truth_passes_every_line(card: FidelityCard) -> None:
    assert card.passed, [line for line in card.lines if not line.passed]
    assert len({line.name for line in card.lines}) == len(card.lines) == 13


@pytest.mark.parametrize("seed", [11, 12])
def test_the_truth_passes_on_other_weeks_too(truth: World, seed: int) -> None:
    assert failures(truth, true_weeks(truth, seed=seed)) == set()


def test_without_frailties_dispersion_coverage_and_correlation_fail(truth: World, weeks: HeldOut) -> None:
    failed = failures(without_frailty(truth), weeks)
    assert failed >= {"dispersion", "dispersion, busiest third", "coverage", "coverage, busiest third", "correlation"}
    assert not failed & {"level", "response", "sign of the response", "hours", "burstiness", "repeats"}


def test_too_wide_a_spread_fails_as_too_narrow_a_one_does(weeks: HeldOut) -> None:
    failed = failures(true_world(common=0.4, own=0.4), weeks)
    assert failed >= {"dispersion", "dispersion, busiest third", "coverage, busiest third", "PIT"}


def test_a_spread_that_products_do_not_share_fails_in_their_correlation_alone(weeks: HeldOut) -> None:
    alike = true_world(common=0.0, own=1.15 * 1.1 - 1.0)
    assert failures(alike, weeks) == {"correlation"}


def test_a_response_too_steep_fails_in_its_size(weeks: HeldOut) -> None:
    failed = failures(true_world(slope=1.6 * SLOPE), weeks)
    assert "response" in failed
    assert "sign of the response" not in failed


def test_customers_whom_discounts_drive_away_fail_in_sign() -> None:
    """No World may fall with depth; so the weeks are made with the depths of their offers swapped."""
    steep = true_world()
    weeks = true_weeks(steep)
    swapped = weeks.offers._replace(depth=weeks.offers.depth.max() - weeks.offers.depth)
    assert failures(steep, replace(weeks, offers=swapped)) >= {"response", "sign of the response"}


def test_people_who_come_at_other_hours_fail_in_hours_alone(weeks: HeldOut) -> None:
    assert failures(true_world(peak=14), weeks) == {"hours"}


def test_a_third_more_units_fail_in_level_and_in_their_distribution(weeks: HeldOut) -> None:
    assert failures(true_world(units_a_day=60.0), weeks) >= {"level", "distribution", "PIT"}


def test_hours_that_bunch_fail_in_burstiness_alone(truth: World, weeks: HeldOut) -> None:
    """A sixth of the units of each day moves from hour to hour in turns: the day and the mean profile stay."""
    units = weeks.units.copy()
    even = np.arange(units.shape[1]) % 2 == 0
    moved = units[:, :, 16] // 2
    units[:, :, 16] += np.where(even, moved, -moved)
    units[:, :, 17] -= np.where(even, moved, -moved)
    bunched = replace(weeks, units=np.maximum(units, 0))
    assert failures(truth, bunched) == {"burstiness"}


def test_customers_who_stay_away_fail_in_repeats_alone(truth: World) -> None:
    assert failures(truth, true_weeks(truth, repeats=0.7)) == {"repeats"}


def test_equal_seeds_give_equal_cards(truth: World, weeks: HeldOut, card: FidelityCard) -> None:
    assert fidelity_card(truth, weeks, seed=1, draws=DRAWS) == card
    assert fidelity_card(truth, weeks, seed=2, draws=DRAWS) != card


def test_the_json_of_a_card_is_plain_and_says_what_is_not_known(card: FidelityCard) -> None:
    facts = json.loads(json.dumps(card.as_json(), allow_nan=False))
    assert facts["passed"] is True
    assert [line["passed"] for line in facts["lines"]] == [True] * len(card.lines)
    assert any("visits" in item for item in facts["not_identified"])
    assert len(facts["products"]) == PRODUCTS
    assert {"product_id", "name", "level", "coverage", "dispersion", "response"} == set(facts["products"][0])


def test_intervals_hold_their_values(card: FidelityCard) -> None:
    for name in ("level", "coverage", "dispersion", "response", "correlation", "burstiness"):
        line = card.line(name)
        assert line.low < line.value < line.high
    with pytest.raises(InputError, match="the card has no line 'depth'"):
        card.line("depth")


def test_what_the_weeks_do_not_tell_is_listed_in_place_of_a_line(truth: World, weeks: HeldOut) -> None:
    flat = replace(weeks, offers=weeks.offers._replace(depth=np.full_like(weeks.offers.depth, 0.1)), repeats=None)
    card = fidelity_card(truth, flat, seed=1, together=["p3"], draws=20)
    names = {line.name for line in card.lines}
    assert not names & {"response", "sign of the response", "repeats", "correlation"}
    listed = " ".join(card.not_identified)
    assert "no depth varied" in listed
    assert "repeat purchase" in listed
    assert "one is sold alone" in listed
    assert [row["product_id"] for row in card.products] == ["p3"]


def test_distances_are_those_of_scipy(truth: World, weeks: HeldOut) -> None:
    days = replay_days(truth, weeks, draws=DRAWS, seed=1)
    cells = measures.lay_out(truth, weeks, days, generator=np.random.default_rng(0))
    every = np.arange(weeks.n_weeks)
    counted = weeks.counted[0]
    happened = weeks.units.sum(axis=2)
    expected = [
        stats.ks_2samp(happened[p][counted], days[:, p][:, counted].ravel(), method="asymp").statistic
        for p in range(PRODUCTS)
    ]
    assert measures.distribution(cells, every) == pytest.approx(np.mean(expected), abs=1e-12)
    pit = cells.pit[cells.counted > 0.0]
    assert measures.pit_uniformity(cells, every) == pytest.approx(stats.kstest(pit, "uniform").statistic, abs=1e-12)


def test_hours_add_up_to_days_in_law(truth: World, weeks: HeldOut) -> None:
    """Simulated by the day or by the hour: means within 4 standard errors, variances within a tenth."""
    by_day = replay_days(truth, weeks, draws=DRAWS, seed=1).astype(np.float64)
    by_hour = replay_weeks(truth, weeks, draws=DRAWS, seed=1).sum(axis=3).astype(np.float64)
    error = np.sqrt(by_day.var(axis=0).sum() * 2.0 / DRAWS)
    assert abs(by_day.mean(axis=0).sum() - by_hour.mean(axis=0).sum()) < 4.0 * error
    assert by_hour.var(axis=0).mean() == pytest.approx(by_day.var(axis=0).mean(), rel=0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"level": np.ones((PRODUCTS, 3))}, r"level: expected \(6, 32\), got \(6, 3\)"),
        ({"clumping": np.full(PRODUCTS, 0.5)}, "clumping: expected values >= 1, got 0.5"),
        ({"counted": np.zeros((PRODUCTS, 224), dtype=bool)}, "none of the 6 products was on sale"),
    ],
)
def test_misshapen_weeks_are_refused_in_words(weeks: HeldOut, changes: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(weeks, **changes)  # type: ignore[arg-type]
