"""Closed forms in continuous time, and menu sales that tend to them."""

import numpy as np
import pytest

from flashsim.errors import InputError
from flashsim.reference import best_fixed_price, fluid_bound, menu_sale, optimal_price, optimal_value, solve

# stock, scale a, J*, p*, best fixed price earns, at price, fluid bound; horizon 1
TABLE = [
    (1, np.e, 0.693147, 1.693147, 0.683904, 1.4161, 1.000000),
    (1, 20.0, 2.123170, 3.123170, 2.015932, 2.5101, 2.995732),
    (2, 20.0, 3.567408, 2.444238, 3.394396, 2.1325, 4.605170),
    (5, 20.0, 6.000400, 1.589149, 5.794273, 1.5370, 6.931472),
    (10, 20.0, 7.223107, 1.098123, 7.161071, 1.1197, 7.357589),
    (10, 40.0, 12.697616, 1.512868, 12.274681, 1.5102, 13.862944),
    (20, 100.0, 30.495662, 1.659585, 29.408319, 1.6611, 32.188758),
    (50, 100.0, 36.772615, 1.006816, 36.748972, 1.0163, 36.787944),
]


@pytest.mark.parametrize(("stock", "scale", "value", "price", "fixed", "fixed_price", "bound"), TABLE)
def test_the_closed_forms_give_the_known_numbers(
    stock: int, scale: float, value: float, price: float, fixed: float, fixed_price: float, bound: float
) -> None:
    for horizon in (1.0, 4.0):  # scale and horizon matter by their product alone
        sale = {"horizon": horizon, "scale": scale / horizon}
        assert optimal_value(stock, **sale) == pytest.approx(value, abs=5.1e-7)
        assert optimal_price(stock, **sale) == pytest.approx(price, abs=5.1e-7)
        assert fluid_bound(stock, **sale) == pytest.approx(bound, abs=5.1e-7)
        best = best_fixed_price(stock, **sale)
        assert best.value == pytest.approx(fixed, abs=5.1e-7)
        assert best.price == pytest.approx(fixed_price, abs=5.1e-5)


def test_a_menu_sale_tends_to_the_continuous_optimum_from_below() -> None:
    """Halving the tick halves the gap, for a fine menu."""
    prices = np.linspace(0.6, 5.0, 80)
    gaps = []
    for ticks in (40, 80, 160):
        rates = np.tile(20.0 / ticks * np.exp(-prices), (ticks, 1))
        gaps.append(
            optimal_value(5, horizon=1.0, scale=20.0) - solve(menu_sale(rates=rates, prices=prices, stock=5)).value
        )
    assert gaps[0] > gaps[1] > gaps[2] > 0.0
    assert gaps[2] / gaps[1] == pytest.approx(0.5, abs=0.1)


def test_numbers_out_of_range_are_refused() -> None:
    for stock in (-1, 1.5, True):
        with pytest.raises(InputError, match=f"stock must be a whole number of units, at least 0, got {stock}"):
            optimal_value(stock, horizon=1.0, scale=1.0)  # type: ignore[arg-type]
    for name in ("horizon", "scale"):
        for value in (0.0, -1.0, float("nan"), float("inf")):
            with pytest.raises(InputError, match=f"{name} must be a finite number above 0, got {value}"):
                fluid_bound(1, **({"horizon": 1.0, "scale": 1.0} | {name: value}))
    with pytest.raises(InputError, match="at least 1"):
        optimal_price(0, horizon=1.0, scale=1.0)
