"""The network of :mod:`flashsim.models.forecasting.recurrent` and its training, in torch."""

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from flashsim.models.forecasting.forecast_view import ForecastView

if TYPE_CHECKING:
    from flashsim.models.forecasting.recurrent import RecurrentForecaster

CELLS: Final = {"gru": nn.GRU, "lstm": nn.LSTM}
FIRST_WEEK: Final = 4
"""Earlier weeks count only as history."""


def has_cuda() -> bool:
    """Whether torch sees a CUDA device."""
    return torch.cuda.is_available()


def learned_factors(
    settings: "RecurrentForecaster",
    view: ForecastView,
    *,
    inputs: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Factors on ``offset`` (product, week, period) of a network that is trained on the weeks before the origin."""
    device = torch.device(settings.device)
    with torch.random.fork_rng(devices=[] if device.type == "cpu" else None):
        torch.manual_seed(settings.seed)
        network = _Network(inputs.shape[2], view.units.shape[2], settings).to(device)
        _train(network, view, settings, inputs=inputs, offset=offset)
    network.eval()
    with torch.no_grad():
        log_factor, _ = network(_tensor(inputs, device))
    return np.exp(log_factor.cpu().numpy().astype(np.float64))


class _Network(nn.Module):
    """Sequences (product, week, feature) to log factors and dispersions (product, week, period)."""

    def __init__(self, features: int, periods: int, settings: "RecurrentForecaster") -> None:
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


def _train(
    network: _Network,
    view: ForecastView,
    settings: "RecurrentForecaster",
    *,
    inputs: NDArray[np.float64],
    offset: NDArray[np.float64],
) -> None:
    device = torch.device(settings.device)
    known = view.origin
    features, log_offset = _tensor(inputs[:, :known], device), _tensor(np.log(offset[:, :known]), device)
    units = _tensor(view.units[:, :known], device)
    counted = view.expected[:, :known] > 0.0
    counted[:, :FIRST_WEEK] = False
    weight = _tensor(counted, device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    batches = max(1, -(-len(inputs) // settings.batch))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * batches)
    shuffle = torch.Generator().manual_seed(settings.seed)
    for _ in range(settings.epochs):
        for rows in torch.randperm(len(inputs), generator=shuffle).to(device).chunk(batches):
            log_factor, dispersion = network(features[rows])
            loss = _negative_log_likelihood(units[rows], (log_offset[rows] + log_factor).exp(), dispersion)
            mean_loss = (loss * weight[rows]).sum() / weight[rows].sum().clamp(min=1.0)
            optimizer.zero_grad()
            mean_loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()


def _tensor(values: NDArray[np.float64] | NDArray[np.bool_], device: torch.device) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32, device=device)
