"""Gradient-boosted trees as a rival: LightGBM with its own count loss on scaled, promotion-deflated lags.

    units(p, w, j) ~ Poisson(expected(p, w, j)·scale(p, w)·exp(trees(features)))

``expected`` is what the offer and the weekday bring (:mod:`flashsim.models.forecasting.forecast_view`). Lags are units
over expected units, so a week of a deep discount does not make a product look popular. They are divided by the
product's scale, its mean ratio of the last 13 weeks, so all products share the trees. ``deflates=False`` uses no
expectation of the offer; it is scored beside the default, to show the worth of that expectation.

Trees, leaves and penalties were chosen on weeks 20 to 35 of Complete Journey. None of these weeks is scored.

Source: Ke et al. (2017), NeurIPS 30, "LightGBM"; Makridakis, Spiliotis & Assimakopoulos (2022), International Journal
of Forecasting 38, "M5 accuracy competition" (boosted trees with a count loss won).
"""

from dataclasses import dataclass
from typing import Any, Final

import lightgbm
import numpy as np
from numpy.typing import NDArray

from flashsim.models.forecasting.forecast_view import ForecastView

SCALE_WEEKS: Final = 13
FIRST_WEEK: Final = 6
"""Earlier weeks have too few lags to learn from."""
LAGS: Final = (1, 2, 3, 4, 5, 6)
SPANS: Final = (2, 4, 8)
PRIOR_UNITS: Final = 1.0
"""This many expected units pull ratios towards 1."""


@dataclass(frozen=True)
class BoostedTrees:
    """A forecaster; call it with a view."""

    trees: int = 200
    learning_rate: float = 0.03
    leaves: int = 15
    rows_a_leaf: int = 40
    penalty: float = 50.0
    """L2 penalty of leaf values."""
    bags: int = 3
    """Number of fits with different seeds whose mean is the forecast."""
    deflates: bool = True
    """Whether lags are deflated and the offset holds the offer's expectation; otherwise lags are raw and the offset is
    the scale."""
    seed: int = 0

    def __call__(self, view: ForecastView) -> NDArray[np.float64]:
        """Mean units (product, week from the origin on, period)."""
        features, names, categorical = _features(view, deflates=self.deflates)
        offset = _offset(view, deflates=self.deflates)
        on_sale = view.expected > 0.0
        week = np.arange(view.stop)[:, None]
        known = on_sale & (week >= FIRST_WEEK) & (week < view.origin)
        future = np.broadcast_to(week >= view.origin, on_sale.shape)
        data = lightgbm.Dataset(
            features[known],
            label=view.units[known],
            init_score=np.log(offset[known]),
            feature_name=names,
            categorical_feature=categorical,
            params={"verbose": -1},
        )
        factor = np.zeros(int(future.sum()))
        for bag in range(self.bags):
            booster = lightgbm.train(self._settings(bag), data, num_boost_round=self.trees)
            factor += np.exp(np.asarray(booster.predict(features[future], raw_score=True))) / self.bags
        mean = np.zeros(on_sale.shape)
        mean[future] = factor * offset[future]
        return np.where(on_sale, mean, 0.0)[:, view.origin :]

    def _settings(self, bag: int) -> dict[str, Any]:
        return {
            "objective": "poisson",
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.rows_a_leaf,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "lambda_l2": self.penalty,
            "cat_smooth": 50,
            "seed": self.seed * self.bags + bag,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbose": -1,
        }


def _weeks_before(values: NDArray[np.float64], weeks: int) -> NDArray[np.float64]:
    """Sum over the ``weeks`` weeks before each week; (product, week)."""
    total = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    now = np.arange(values.shape[1])
    return total[:, now] - total[:, np.maximum(now - weeks, 0)]


def _lag(values: NDArray[np.float64], weeks: int) -> NDArray[np.float64]:
    out = np.full(values.shape, np.nan)
    out[:, weeks:] = values[:, :-weeks]
    return out


def _basis(view: ForecastView, *, deflates: bool) -> NDArray[np.float64]:
    """What units are compared with, by period: expected units, or without deflation their mean over all weeks."""
    if deflates:
        return view.expected
    on_sale = view.expected > 0.0
    known = on_sale[:, : view.origin]
    count = np.maximum(known.sum(axis=(1, 2)), 1)
    mean = np.where(known, view.expected[:, : view.origin], 0.0).sum(axis=(1, 2)) / count
    return np.where(on_sale, mean[:, None, None], 0.0)


def _scale(view: ForecastView, *, deflates: bool) -> NDArray[np.float64]:
    """Units over the basis in the last weeks; (product, week)."""
    basis = _basis(view, deflates=deflates)
    units = np.where(basis > 0.0, view.units, 0.0).sum(axis=2)
    return (_weeks_before(units, SCALE_WEEKS) + PRIOR_UNITS) / (
        _weeks_before(basis.sum(axis=2), SCALE_WEEKS) + PRIOR_UNITS
    )


def _offset(view: ForecastView, *, deflates: bool) -> NDArray[np.float64]:
    basis = _basis(view, deflates=deflates)
    return np.maximum(basis * _scale(view, deflates=deflates)[:, :, None], 1e-3)


def _features(view: ForecastView, *, deflates: bool) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Features (product, week, period, feature), their names, and which are categories."""
    basis = _basis(view, deflates=deflates)
    units, base = np.where(basis > 0.0, view.units, 0.0).sum(axis=2), basis.sum(axis=2)
    scale = _scale(view, deflates=deflates)
    columns: dict[str, NDArray[np.float64]] = {}

    def ratio(sold: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log((sold + PRIOR_UNITS) / (expected * scale + PRIOR_UNITS))

    for weeks in LAGS:
        columns[f"lag_{weeks}"] = ratio(_lag(units, weeks), _lag(base, weeks))
    for weeks in SPANS:
        columns[f"mean_{weeks}"] = ratio(_weeks_before(units, weeks), _weeks_before(base, weeks))
    groups = int(view.group_of.max()) + 1
    in_group = np.eye(groups)[view.group_of]
    group_index = np.log((in_group.T @ units + PRIOR_UNITS) / (in_group.T @ (base * scale) + PRIOR_UNITS))
    for weeks in LAGS[:2]:
        columns[f"group_{weeks}"] = _lag(group_index, weeks)[view.group_of]
    total = np.log((units.sum(axis=0) + 1.0) / ((base * scale).sum(axis=0) + 1.0))[None]
    columns["all_1"] = np.broadcast_to(_lag(total, 1), units.shape)
    for i, name in enumerate(("depth", "display", "mailer")):
        offer = view.offers[:, :, i]
        columns[name], columns[f"{name}_1"] = offer, _lag(offer, 1)
        columns[f"{name}_8"] = _weeks_before(offer, 8)
    columns["log_scale"] = np.log(_weeks_before(units, SCALE_WEEKS) + 1.0)
    columns["group"] = np.broadcast_to(view.group_of[:, None].astype(np.float64), units.shape)
    by_week = np.stack(list(columns.values()), axis=2)
    names, categorical = list(columns), ["group"]
    periods = view.units.shape[2]
    features = np.repeat(by_week[:, :, None, :], periods, axis=2)
    if periods > 1:
        same_day = np.stack(
            [ratio(_weeks_before(view.units[:, :, j], 8), _weeks_before(basis[:, :, j], 8)) for j in range(periods)],
            axis=2,
        )
        period = np.broadcast_to(np.arange(periods, dtype=np.float64), same_day.shape)
        features = np.concatenate([features, same_day[..., None], period[..., None]], axis=3)
        names, categorical = [*names, "same_day_8", "weekday"], [*categorical, "weekday"]
    return features, names, categorical
