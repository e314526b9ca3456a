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
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flashsim.errors import InputError
from flashsim.models.forecasting.forecast_view import ForecastView, product_levels

CELLS: Final = {"gru": nn.GRU, "lstm": nn.LSTM}
FIRST_WEEK: Final = 4
"""Earlier weeks count only as history."""
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
        if self.device != "cpu" and not torch.cuda.is_available():
            raise InputError(f"device {self.device!r} was asked for and torch sees no CUDA device; use cpu")

    def __call__(self, view: ForecastView) -> NDArray[np.float64]:
        """Mean units (product, week from the origin on, period)."""
        inputs, offset = _sequences(view)
        device = torch.device(self.device)
        with torch.random.fork_rng(devices=[] if device.type == "cpu" else None):
            torch.manual_seed(self.seed)
            network = _Network(inputs.shape[2], view.units.shape[2], self).to(device)
            self._train(network, view, inputs=inputs, offset=offset)
        network.eval()
        with torch.no_grad():
            log_factor, _ = network(_tensor(inputs, device))
        factor: NDArray[np.float64] = np.exp(log_factor.cpu().numpy().astype(np.float64))
        return np.where(view.expected > 0.0, offset * factor, 0.0)[:, view.origin :]

    def _train(
        self, network: "_Network", view: ForecastView, *, inputs: NDArray[np.float64], offset: NDArray[np.float64]
    ) -> None:
        device = torch.device(self.device)
        known = view.origin
        features, log_offset = _tensor(inputs[:, :known], device), _tensor(np.log(offset[:, :known]), device)
        units = _tensor(view.units[:, :known], device)
        counted = view.expected[:, :known] > 0.0
        counted[:, :FIRST_WEEK] = False
        weight = _tensor(counted, device)
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        batches = max(1, -(-len(inputs) // self.batch))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs * batches)
        shuffle = torch.Generator().manual_seed(self.seed)
        for _ in range(self.epochs):
            for rows in torch.randperm(len(inputs), generator=shuffle).to(device).chunk(batches):
                log_factor, dispersion = network(features[rows])
                loss = _negative_log_likelihood(units[rows], (log_offset[rows] + log_factor).exp(), dispersion)
                mean_loss = (loss * weight[rows]).sum() / weight[rows].sum().clamp(min=1.0)
                optimizer.zero_grad()
                mean_loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                schedule.step()


class _Network(nn.Module):
    """Sequences (product, week, feature) to log factors and dispersions (product, week, period)."""

    def __init__(self, features: int, periods: int, settings: RecurrentForecaster) -> None:
        super().__init__()
        self.periods = periods
        self.mixed_precision = settings.mixed_precision
        self.cell = CELLS[settings.cell](features, settings.hidden, batch_first=True)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(settings.hidden, 2 * periods)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([0.0] * periods + [-2.0] * periods))

    def forward(self, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """Log factor on the offset, and dispersion."""
        with torch.autocast(sequences.device.type, dtype=torch.bfloat16, enabled=self.mixed_precision):
            hidden, _ = self.cell(sequences)
            out = self.head(self.dropout(hidden))
        log_factor, dispersion = out.float().split(self.periods, dim=2)
        return log_factor, nn.functional.softplus(dispersion) + 1e-3


def _negative_log_likelihood(units: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """Negative log-likelihood of a negative binomial with variance mean + dispersion·mean², without the term of units
    alone."""
    size = 1.0 / dispersion
    total = torch.log(size + mean)
    likelihood = torch.lgamma(units + size) - torch.lgamma(size)
    return -(likelihood + size * (torch.log(size) - total) + units * (torch.log(mean) - total))


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


def _tensor(values: NDArray[np.float64] | NDArray[np.bool_], device: torch.device) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32, device=device)
