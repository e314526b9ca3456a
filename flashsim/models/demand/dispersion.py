"""How much more counts vary than their mean explains: the part that all products share on a day, and each product's
own.

    y(p, t) = count with mean mean(p, t)·C(t)·F(p, t),   E C = E F = 1, var C = common, var F = product(p)
    Cov(y_p, y_q) = common·mean_p·mean_q                 for p != q on one day
    Var(y_p)      = clumping_p·mean_p + alpha_p·mean_p²,  1 + alpha_p = (1 + common)(1 + product_p)

``clumping`` = E[q²]/E[q] of the units q of a purchase measures how buying several units at once adds variance. This
part of the variance fades against mean² as the shop grows, so it stays outside the factors, which do not fade.

Source: moments of the mixed Poisson distribution; Breslow (1984), Applied Statistics 33, "Extra-Poisson variation in
log-linear models" (moment estimation).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Dispersion(NamedTuple):
    """Variance of factors with mean 1: one factor that all products share on a day, and one factor of each product."""

    common: float
    product: NDArray[np.float64]  # product

    @property
    def alpha(self) -> NDArray[np.float64]:
        """Dispersion of one product's count: (1 + common)(1 + product) - 1."""
        return (1.0 + self.common) * (1.0 + self.product) - 1.0


def estimate_dispersion(
    units: NDArray[np.float64],
    mean: NDArray[np.float64],
    *,
    clumping: NDArray[np.float64],
    day_weight: NDArray[np.float64] | None = None,
    prior_days: float = 20.0,
) -> Dispersion:
    """Split the dispersion of counts (product, day) around ``mean`` by moments; days with mean 0 do not count.

    With y = mean·C·F_p·noise, E C = E F = 1:  Cov(y_p, y_q) = var(C)·mean_p·mean_q  for p != q, and Var(y_p) =
    clumping·mean + alpha·mean². ``day_weight`` repeats days (bootstrap). A product's alpha is shrunk towards the pooled
    alpha with the weight of ``prior_days`` typical days.
    """
    weight = np.ones(units.shape[1]) if day_weight is None else day_weight
    residual = np.where(mean > 0.0, units - mean, 0.0)
    product_moment = (residual**2 - clumping[:, None] * mean) @ weight
    product_square = mean**2 @ weight
    pair_moment = (residual.sum(axis=0) ** 2 - (residual**2).sum(axis=0)) @ weight
    pair_square = (mean.sum(axis=0) ** 2 - (mean**2).sum(axis=0)) @ weight
    common = max(0.0, float(pair_moment / pair_square)) if pair_square > 0.0 else 0.0
    pooled = float(product_moment.sum() / product_square.sum())
    prior = prior_days * product_square / np.maximum((mean > 0.0) @ weight, 1.0)
    alpha = np.maximum((product_moment + prior * pooled) / np.maximum(product_square + prior, 1e-300), 0.0)
    return Dispersion(common, np.maximum((1.0 + alpha) / (1.0 + common) - 1.0, 0.0))
