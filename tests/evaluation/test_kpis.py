"""The list of KPIs: formulas on a sale counted by hand, empty sales, and the table made from the list."""

import numpy as np
import pytest

from flashsim.errors import InputError
from flashsim.evaluation.kpis import KPIS, LEDGER_NAMES, find_kpi, kpi_markdown, kpi_values, show
from tests.evaluation.made_rollouts import make_rollout


def value_of(name: str, totals: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]) -> float:
    values = kpi_values(totals)
    return float(values[0, [kpi.name for kpi in KPIS].index(name)])


def one_sale(**changes: float) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """A sale of which nothing is known but ``changes``."""
    return {name: np.array([changes.get(name, 0.0)]) for name in LEDGER_NAMES}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("profit", 53.0),
        ("units_sold", 10.0),
        ("sell_through", 0.5),
        ("average_depth", 0.2),
        ("visitors", 100.0),
        ("attracted_share", 0.2),
        ("participation", 0.85),
        ("conversion", 1.0 / 9.0),
        ("abandonment_share", 0.04),
        ("error_share", 0.04),
        ("cart_expiry_share", 1.0 / 6.0),
        ("infeasible_actions", 0.05),
        ("retries", 3.0),
        ("p50_latency_s", 0.4),
        ("p95_latency_s", 0.9),
        ("p99_latency_s", 1.7),
    ],
)
def test_formulas_on_a_sale_counted_by_hand(name: str, expected: float) -> None:
    totals = one_sale(
        exogenous_visitors=80.0,
        attracted_visitors=20.0,
        served=90.0,
        returning_visitors=5.0,
        abandoned=6.0,
        dismissed=2.0,
        errors=4.0,
        reserved=12.0,
        expired=2.0,
        paid=10.0,
        stock=20.0,
        leftover=10.0,
        revenue=120.0,
        discount_given=30.0,
        goods_cost=60.0,
        server_cost=10.0,
        penalty=2.0,
        salvage=5.0,
        profit=53.0,
        projected_actions=2.0,
        retries=3.0,
        latency_p50_s=0.4,
        latency_p95_s=0.9,
        latency_p99_s=1.7,
        ticks=40.0,
    )
    assert value_of(name, totals) == pytest.approx(expected)


def test_sale_in_which_nothing_happens_is_defined() -> None:
    values = kpi_values(one_sale())
    assert np.isfinite(values).all()
    assert value_of("sell_through", one_sale()) == 1.0
    assert value_of("conversion", one_sale()) == 0.0


def test_values_stay_within_their_stated_bounds() -> None:
    totals = make_rollout("any").totals
    values = kpi_values(totals)
    for column, kpi in enumerate(KPIS):
        least, most = kpi.bounds(totals)
        assert (values[:, column] >= least).all(), kpi.name
        assert (values[:, column] <= most).all(), kpi.name


def test_bounds_may_depend_on_the_sale() -> None:
    totals = one_sale(timeout_s=8.0, units_a_person=3.0, stock=40.0)
    ends = {"p99_latency_s": 8.0, "mean_latency_s": 8.0, "conversion": 3.0, "units_sold": 40.0, "participation": 1.0}
    assert {name: find_kpi(name).bounds(totals) for name in ends} == {name: (0.0, most) for name, most in ends.items()}


def test_every_sale_is_computed_alone() -> None:
    totals = make_rollout("any").totals
    alone = kpi_values({name: total[5:6] for name, total in totals.items()})
    assert np.array_equal(alone[0], kpi_values(totals)[5])


def test_ledger_names_are_exactly_what_the_list_reads() -> None:
    class Watched(dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]):
        def __init__(self) -> None:
            super().__init__(one_sale())
            self.read: set[str] = set()

        def __getitem__(self, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
            self.read.add(name)
            return super().__getitem__(name)

    watched = Watched()
    for kpi in KPIS:
        kpi.value(watched)
        kpi.bounds(watched)
    assert watched.read | {"goods_cost", "salvage"} == set(LEDGER_NAMES)


def test_names_are_unique_and_guardrails_have_a_direction_and_a_reason() -> None:
    assert len({kpi.name for kpi in KPIS}) == len(KPIS)
    for kpi in KPIS:
        if kpi.limit is not None:
            assert kpi.direction != "neutral"
            assert kpi.limit_reason


def test_markdown_table_has_a_row_for_every_kpi() -> None:
    lines = kpi_markdown().splitlines()
    assert len(lines) == len(KPIS) + 2
    assert {line.count("|") for line in lines} == {7}
    for kpi, line in zip(KPIS, lines[2:], strict=True):
        assert f"`{kpi.name}`" in line
        assert kpi.formula in line


def test_unknown_kpi_names_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown KPI 'profits'; did you mean 'profit'"):
        find_kpi("profits")


def test_missing_misshapen_broken_and_unbalanced_ledgers_are_refused() -> None:
    totals = one_sale()
    with pytest.raises(InputError, match="lack paid"):
        kpi_values({name: total for name, total in totals.items() if name != "paid"})
    with pytest.raises(InputError, match="expected one value a sale"):
        kpi_values(totals | {"paid": np.zeros(2)})
    with pytest.raises(InputError, match=r"totals\['paid'\] holds a value that is not finite"):
        kpi_values(totals | {"paid": np.array([np.nan])})
    with pytest.raises(InputError, match=r"profit.* is not revenue"):
        kpi_values(totals | {"profit": np.array([1.0])})


@pytest.mark.parametrize(
    ("value", "unit", "signed", "text"),
    [
        (12345.6, "currency", False, "USD 12,346"),
        (-12.345, "currency", True, "−USD 12.3"),
        (0.09999, "share", False, "10.0 %"),
        (0.1234, "share", False, "12.3 %"),
        (0.1234, "share", True, "+12.3 pp"),
        (-1e-9, "units", True, "0.00"),
        (160.0, "count", False, "160"),
        (0.4567, "s", False, "0.457 s"),
    ],
)
def test_values_are_shown_as_people_read_them(value: float, unit: str, signed: bool, text: str) -> None:
    assert show(value, unit, currency="USD", signed=signed) == text  # type: ignore[arg-type]
