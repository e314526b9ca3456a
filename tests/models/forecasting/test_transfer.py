"""A moved model helps where platforms are alike and little is known, and not where they differ."""

from datetime import date

import numpy as np
import pytest

from flashsim.data.panel import Panel
from flashsim.errors import InputError
from flashsim.models.forecasting.transfer import WAYS, TransferRow, compare_transfer

PRODUCTS, WEEKS = 16, 32


def made_panel(seed: int, *, slope: float, level: float) -> Panel:
    """Poisson sales with one discount slope; products of both platforms have like levels."""
    generator = np.random.default_rng(seed)
    depth = generator.choice([0.0, 0.0, 0.2, 0.4], size=(PRODUCTS, WEEKS))
    base = level * np.exp(np.linspace(-0.5, 0.5, PRODUCTS))
    weekday = np.array([0.8, 0.8, 0.9, 0.9, 1.2, 1.3, 1.1])
    mean = base[:, None, None] * np.exp(slope * depth)[:, :, None] * weekday
    return Panel(
        product_ids=tuple(range(PRODUCTS)),
        product_names=tuple(f"thing {p}" for p in range(PRODUCTS)),
        groups=("a", "b"),
        group_of=np.arange(PRODUCTS, dtype=np.intp) % 2,
        first_monday=date(2020, 1, 6),
        units=generator.poisson(mean).astype(float),
        is_open=np.ones((WEEKS, 7), dtype=bool),
        depth=depth,
        display=np.zeros_like(depth),
        mailer=np.zeros_like(depth),
        list_price=np.ones(PRODUCTS),
        clumping=np.ones(PRODUCTS),
    )


def compared(source: Panel, target: Panel, *, seed: int = 0) -> dict[tuple[int, str], TransferRow]:
    rows = compare_transfer(
        source,
        target,
        weeks=(1, 8),
        origins=(24, 28),
        resamples=200,
        generator=np.random.default_rng(seed),
    )
    return {(row.weeks, row.way): row for row in rows}


@pytest.fixture(scope="module")
def alike() -> dict[tuple[int, str], TransferRow]:
    return compared(made_panel(0, slope=3.0, level=3.0), made_panel(1, slope=3.0, level=1.0))


def test_between_like_platforms_moving_beats_scratch_most_when_least_is_known(
    alike: dict[tuple[int, str], TransferRow],
) -> None:
    for way in ("moved", "trained on"):
        assert alike[1, way].pinball_reduction.low > 0.0
        assert alike[1, way].pinball_reduction.value > alike[8, way].pinball_reduction.value
    assert set(alike) == {(weeks, way) for weeks in (1, 8) for way in WAYS}


def test_scratch_is_compared_with_itself_and_the_weeks_alone_lose(alike: dict[tuple[int, str], TransferRow]) -> None:
    assert alike[1, "scratch"].wape_reduction == (0.0, 0.0, 0.0)
    assert alike[8, "last weeks"].pinball_reduction.high < 0.0


def test_a_model_of_a_platform_that_responds_otherwise_loses_to_scratch() -> None:
    rows = compared(made_panel(0, slope=0.3, level=3.0), made_panel(1, slope=4.0, level=3.0))
    assert rows[8, "moved"].pinball_reduction.high < 0.0


def test_equal_seeds_give_equal_tables(alike: dict[tuple[int, str], TransferRow]) -> None:
    assert compared(made_panel(0, slope=3.0, level=3.0), made_panel(1, slope=3.0, level=1.0)) == alike


def test_panels_that_do_not_match_and_origins_without_weeks_are_refused() -> None:
    panel = made_panel(0, slope=2.0, level=1.0)
    short = Panel(**(vars(panel) | {"product_ids": tuple(range(1, PRODUCTS + 1))}))
    with pytest.raises(InputError, match="expected the same products and weeks"):
        compared(panel, short)
    with pytest.raises(InputError, match="origins: expected 8 … 28, got 29"):
        compare_transfer(panel, panel, weeks=(8,), origins=(29,), generator=np.random.default_rng(0))
