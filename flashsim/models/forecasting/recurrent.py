"""A recurrent network with a negative-binomial head, as a rival and as a member of ensembles; torch, cpu or cuda.

    h(p, w) = GRU or LSTM over the weeks of a product, fed with what was known on the Sunday before week w
    units(p, w, j) ~ NB(mean = offset(p, w, j)·exp(a_j(h)), dispersion softplus(b_j(h)))

The offset is the demand model with its level filter (:mod:`flashsim.models.forecasting.forecast_view`). The network
starts from it and learns only what it misses: the last layer begins at 0, and training is short. All products share the
network.

Left out: attention, several steps ahead, and covariates of the product beyond its own history.

Source: Salinas, Flunkert, Gasthaus & Januschowski (2020), International Journal of Forecasting 36, "DeepAR"; Cho et al.
(2014), arXiv:1406.1078 (GRU); Hochreiter & Schmidhuber (1997), Neural Computation 9 (LSTM).
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.models.forecasting.forecast_view import ForecastView, product_levels

CELLS: Final = ("gru", "lstm")
SMALLEST_OFFSET: Final = 1e-2
"""Units."""


@dataclass(frozen=True)
class RecurrentForecaster:
    """A forecaster; call it with a view. Equal seeds give equal forecasts on one machine and thread count."""

    cell: str = "gru"
    hidden: int = 16
    epochs: int = 6
    batch: int = 50
    """Products in a step."""
    learning_rate: float = 0.004
    weight_decay: float = 0.01
    dropout: float = 0.1
    device: str = "cpu"
    mixed_precision: bool = False
    """Run the network in bfloat16; the likelihood stays in float32."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Check values that would otherwise fail later, with a less clear message."""
        if self.cell not in CELLS:
            raise InputError(f"cell must be one of {', '.join(CELLS)}, got {self.cell!r}")
        if min(self.hidden, self.epochs, self.batch) < 1 or self.learning_rate <= 0.0:
            raise InputError("hidden, epochs and batch must be >= 1 and learning_rate above 0; correct them")
        if self.device != "cpu" and not _network().has_cuda():
            raise InputError(f"device {self.device!r} was asked for and torch sees no CUDA device; use cpu")

    def __call__(self, view: ForecastView) -> NDArray[np.float64]:
        """Mean units (product, week from the origin on, period)."""
        inputs, offset = _sequences(view)
        factor = _network().learned_factors(self, view, inputs=inputs, offset=offset)
        return np.where(view.expected > 0.0, offset * factor, 0.0)[:, view.origin :]


def _network() -> ModuleType:
    """The module that needs torch."""
    from flashsim.models.forecasting import recurrent_network  # noqa: PLC0415 (settings alone need no torch)

    return recurrent_network


def _sequences(view: ForecastView) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inputs (product, week, feature), known on the Sunday before each week, and offsets (product, week, period)."""
    level = product_levels(view)
    on_sale = view.expected.sum(axis=2) > 0.0
    offset = np.maximum(view.expected * level[:, :, None], SMALLEST_OFFSET)
    units, base = np.where(on_sale, view.units.sum(axis=2), 0.0), np.where(on_sale, offset.sum(axis=2), 0.0)
    in_group = np.eye(int(view.group_of.max()) + 1)[view.group_of]
    group = np.log((in_group.T @ units + 5.0) / (in_group.T @ base + 5.0))[view.group_of]
    everything = np.log((units.sum(axis=0) + 5.0) / (base.sum(axis=0) + 5.0))
    surprise = np.log((units + 1.0) / (base + 1.0))
    uplift = np.log(np.maximum(view.expected.sum(axis=2), SMALLEST_OFFSET))
    uplift = np.where(on_sale, uplift - uplift[:, : view.origin].mean(axis=1, keepdims=True), 0.0)
    columns = [
        _week_before(surprise),
        _week_before(group),
        np.broadcast_to(_week_before(everything[None]), units.shape),
        *np.moveaxis(view.offers, 2, 0),
        *(_week_before(offer) for offer in np.moveaxis(view.offers, 2, 0)),
        uplift,
        _week_before(uplift),
        np.log(level),
        np.log(base + 1.0) / 3.0 - 1.0,
    ]
    return np.stack(columns, axis=2), offset


def _week_before(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros_like(values[:, :1]), values[:, :-1]], axis=1)
