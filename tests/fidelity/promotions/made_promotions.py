"""Shops and episodes whose truth is known, for the back-test of past promotions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from flashsim.fidelity.promotions import Outcome, Prediction
from flashsim.fidelity.promotions.episodes import DRAWS

WEEKDAY = np.array([0.85, 0.85, 0.9, 1.0, 1.15, 1.25, 1.0])


def made_sales(*, products: int = 16, days: int = 300, seed: int = 1) -> tuple[pd.DataFrame, Mapping[str, str]]:
    """A checked table of daily sales and the category of each product; promotions of 3 to 8 days, elasticities by
    category between -4.4 and -0.8."""
    generator = np.random.default_rng(seed)
    tables, groups = [], {}
    for number in range(products):
        name, ratio, day = f"p{number:02}", np.ones(days), int(generator.integers(45, 60))
        elasticity = -2.6 + 1.2 * (number % 4 - 1.5) + generator.normal(0.0, 0.4)
        while day < days:
            length = int(generator.integers(3, 9))
            ratio[day : day + length] = 1.0 - generator.choice([0.15, 0.2, 0.3, 0.4])
            day += int(generator.integers(25, 50))
        level = np.exp(generator.normal(3.0, 0.5) + np.cumsum(generator.normal(0.0, 0.02, days)))
        mean = level * WEEKDAY[np.arange(days) % 7] * ratio**elasticity
        units = generator.poisson(mean * generator.gamma(20.0, 0.05, days)).astype(np.float64)
        table = {"product_id": name, "sales": units, "price": np.round(10.0 * ratio, 2), "sold_out": False}
        tables.append(pd.DataFrame({"date": pd.date_range("2025-01-06", periods=days)} | table))
        groups[name] = f"group {number % 4}"
    return pd.concat(tables, ignore_index=True), groups


def made_outcomes(
    *, weeks: int = 50, seed: int = 0, width: float = 1.0, knows: float = 1.0, bias: float = 0.0
) -> list[Outcome]:
    """Six episodes a week, whose truth is y ~ N(slope of the product · depth, .3²); the model knows the slope where
    ``knows`` is 1 and that of its category where it is 0, and believes in a spread of .3 · ``width``."""
    generator = np.random.default_rng(seed)
    slope = generator.normal(2.5, 1.0, 18)
    outcomes = []
    for week in range(weeks):
        for product in generator.choice(18, size=6, replace=False):
            depth, expected = float(generator.choice([0.15, 0.25, 0.4])), float(generator.uniform(200.0, 2000.0))
            center = depth * slope[product]
            believed = bias + depth * (knows * slope[product] + (1.0 - knows) * slope[product % 3 :: 3].mean())
            told = Prediction(
                product_id=str(product),
                category=f"category {product % 3}",
                start=7 * week,
                stop=7 * week + 7,
                depth=depth,
                expected=expected,
                draws=believed + 0.3 * width * generator.standard_normal(DRAWS),
            )
            outcomes.append(Outcome(told, expected * float(np.exp(center + 0.3 * generator.standard_normal()))))
    return outcomes
