"""How fast the servers are and where they saturate: fitted from visits and response times of consecutive ticks.

    from flashsim.models.traffic.latency import fit_latency
    from flashsim.models.traffic.loopback import Load, measure_loopback
    table = measure_loopback(Load(servers=4, mean_service_s=0.04))     # or your own traffic_data
    fit = fit_latency(table["visits"], response_time_s=table["response_time_s"], servers=4, tick_s=1.0)
    print(fit.sentences())
    fit.model.response_times([100.0, 300.0, 500.0], tick_s=1.0)        # foresee other loads

Response time = unloaded latency w0 (network and everything that occupies no server) + service 1/mu + wait. With c
servers of rate mu, arrivals lambda(t) and utilization rho, the stationary M/M/c queue has

    wait(rho) = C(c, rho) / (c mu (1 - rho)),        L(rho) = c rho + rho C(c, rho) / (1 - rho)      (C: Erlang C)

and between stationary states the mean number in the system L moves as

    dL/dt = lambda(t) - c mu u,     u the utilization with L(u) = L,     wait at t = wait(u)

This is the pointwise stationary fluid flow approximation. It tends to Erlang C when the load is steady, passes smoothly
through rho = 1, grows by lambda - c mu in overload, and carries the backlog from tick to tick. Within a tick arrivals
are spread evenly. The steps are implicit (Euler), so they are stable even if a service is very short against a tick.

Conventions: a tick's response time is the mean over the visits that *arrive* in it. The visits are of consecutive
ticks, and the queue is empty before the first. Weighted least squares: the spread of each tick follows from its
services and waits (its scale from the residuals, in a few passes), the loss is soft (a tick that a deployment spoiled
counts little), and standard errors allow for residuals that correlate over ticks. They leave out the error of the
approximation itself, 1 to 2 % of the service rate. Only the waits separate w0 from 1/mu. Where w0 is small against a
service, trust their sum (``unloaded_response_s``) more than w0.

Source: Wang, Tipper & Banerjee (1996), IEEE Infocom, 865-872 (the fluid flow approximation); Jagerman (1974), Bell
System Technical Journal 53, 525-551 (Erlang's recursion); Newey & West (1987), Econometrica 55, 703-708 (errors). Left
out: people who give up, retries, time-outs, a service rate that falls under load, services that are not exponential.
Left out: people who give up, retries, time-outs, a service rate that falls under load, and services that are not
exponential.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from flashsim.errors import InputError

Array = NDArray[np.float64]
STEPS_A_TICK: Final = 10
"""Implicit steps within a tick."""
LEAST_TICKS: Final = 10
"""A fit needs this many ticks with visits and a response time."""
LEAST_UTILIZATION: Final = 0.5
"""If every tick is below this, waits are too short to separate service time from unloaded latency."""
LARGEST_RELATIVE_ERROR: Final = 0.25
"""If the standard error of the service rate is a larger share of it than this, the rate is not identified."""
CORRELATED_TICKS: Final = 10
"""Residuals up to this far apart may correlate (backlogs last for some ticks)."""
FIRST_SPREAD: Final = 0.3
"""Standard deviation of log response time that the first pass assumes for every tick."""
LEAST_SPREAD: Final = 0.02
"""Smallest standard deviation of any tick: the error of the approximation itself."""
REWEIGHTINGS: Final = 4
"""Number of passes with spreads from the residuals."""
SPREADS_BEFORE_SOFT: Final = 2.0
"""Residuals beyond this many spreads count linearly, not squared."""

Prediction = Callable[[Array], tuple[Array, Array]]


class StationaryQueue(NamedTuple):
    """M/M/c at mu = 1 on a grid of utilizations; time in mean services."""

    utilization: Array  # grid; 0 to nearly 1
    number: Array  # grid; mean number in the system
    wait: Array  # grid; mean wait of an arrival


@lru_cache(maxsize=32)
def stationary_queue(servers: int) -> StationaryQueue:
    """Erlang C for ``servers`` over utilizations, dense towards 1 (mean numbers to about 10^8)."""
    rho = np.concatenate([np.linspace(0.0, 0.9, 181), 1.0 - np.geomspace(0.1, 1e-8, 320)[1:]])
    blocking = np.ones_like(rho)
    for k in range(1, servers + 1):
        blocking = servers * rho * blocking / (k + servers * rho * blocking)
    waits = blocking / (1.0 - rho * (1.0 - blocking))
    wait = waits / (servers * (1.0 - rho))
    return StationaryQueue(rho, servers * rho * (1.0 + wait), wait)


@dataclass(frozen=True)
class LatencyModel:
    """Parallel servers with one queue in front of them."""

    service_rate: float
    """Visits that one busy server finishes; 1/s."""
    unloaded_latency_s: float
    """Time of a visit beyond wait and service; seconds."""
    servers: int
    """Servers in parallel."""

    def __post_init__(self) -> None:
        _check_servers(self.servers)
        if not (np.isfinite(self.service_rate) and self.service_rate > 0.0):
            raise InputError(f"service_rate must be > 0 visits/s, got {self.service_rate}; correct it")
        if not (np.isfinite(self.unloaded_latency_s) and self.unloaded_latency_s >= 0.0):
            raise InputError(f"unloaded_latency_s must be >= 0 seconds, got {self.unloaded_latency_s}; correct it")

    @property
    def capacity(self) -> float:
        """Visits a second that all servers finish together."""
        return self.servers * self.service_rate

    @property
    def unloaded_response_s(self) -> float:
        """Response time without any wait; seconds."""
        return self.unloaded_latency_s + 1.0 / self.service_rate

    def response_times(self, visits: ArrayLike, *, tick_s: float) -> Array:
        """(tick,) mean response time, in seconds, of the visits (tick,) of consecutive ticks of ``tick_s`` seconds."""
        counts = _checked_visits(visits, tick_s=tick_s)
        wait = _mean_waits(counts, rate=self.service_rate, servers=self.servers, tick_s=tick_s)
        return self.unloaded_response_s + wait


@dataclass(frozen=True)
class LatencyFit:
    """The estimates, their standard errors, and the residuals."""

    model: LatencyModel
    """The estimates."""
    service_rate_error: float
    """Standard error; 1/s."""
    unloaded_latency_error_s: float
    """Standard error; seconds."""
    utilization: Array
    """(tick,) arrivals over capacity, above 1 in overload."""
    fitted_s: Array
    """(tick,) response times of the model; seconds."""
    residual: Array
    """(tick,) measured over fitted, minus 1; NaN where nothing was measured."""

    def residuals_by_load(self, edges: ArrayLike = (0.0, 0.5, 0.8, 1.0, np.inf)) -> list[tuple[float, float, int]]:
        """(mean, root mean square, ticks) of the residuals between utilizations ``edges``; NaN for a range without
        ticks."""
        limits, out = np.asarray(edges, dtype=np.float64), []
        for low, high in pairwise(limits.tolist()):
            part = self.residual[(self.utilization >= low) & (self.utilization < high) & np.isfinite(self.residual)]
            root = float(np.sqrt(np.mean(part**2))) if part.size else float("nan")
            out.append((float(part.mean()) if part.size else float("nan"), root, part.size))
        return out

    def sentences(self) -> tuple[str, ...]:
        """The fit in words."""
        model = self.model
        loads = [
            f"{label} {mean:+.1%} (rms {root:.1%}, {ticks} ticks)"
            for label, (mean, root, ticks) in zip(
                ("below .5", ".5 to .8", ".8 to 1", "above 1"), self.residuals_by_load(), strict=True
            )
            if ticks
        ]
        return (
            f"a server finishes {model.service_rate:.4g} ± {self.service_rate_error:.2g} visits/s; "
            f"{model.servers} of them {model.capacity:.4g}",
            f"unloaded latency {model.unloaded_latency_s:.4g} ± {self.unloaded_latency_error_s:.2g} s",
            "measured over fitted response time, less 1, by utilization: " + "; ".join(loads),
        )


def fit_latency(visits: ArrayLike, *, response_time_s: ArrayLike, servers: int, tick_s: float = 60.0) -> LatencyFit:
    """Fit service rate and unloaded latency to visits (tick,) and mean response times (tick,; NaN: not measured).

    InputError on bad values, on too few ticks, or when the load never rose enough to separate the two parameters.
    """
    _check_servers(servers)
    counts = _checked_visits(visits, tick_s=tick_s)
    measured = np.asarray(response_time_s, dtype=np.float64)
    used = _usable(counts, measured)
    seen = measured[used]

    quickest, most = float(seen.min()), float(counts.max())

    def predict(parameters: Array) -> tuple[Array, Array]:
        rate, latency = np.exp(parameters)
        wait = _mean_waits(counts, rate=rate, servers=servers, tick_s=tick_s)[used]
        return latency + 1.0 / rate + wait, wait

    rates = most / (servers * tick_s) / np.array([0.55, 0.8, 1.0, 1.2, 1.6])
    starts = [np.log([max(rate, 1.01 / quickest), max(quickest - 1.0 / rate, 0.05 * quickest)]) for rate in rates]
    starts.sort(key=lambda start: float(np.abs(np.log(seen / predict(start)[0])).sum()))
    found = min((_descend_logs(predict, seen, start=start) for start in starts[:2]), key=lambda found: found.cost)
    for _ in range(REWEIGHTINGS):
        found = _descend(predict, seen, _spread(predict, seen, found.x, visits=counts[used]), start=found.x)
    rate, latency = map(float, np.exp(found.x))
    model = LatencyModel(rate, latency, servers)
    errors = _standard_errors(found.jac, found.fun)
    utilization = counts / (model.capacity * tick_s)
    if utilization.max() < LEAST_UTILIZATION or errors[0] > LARGEST_RELATIVE_ERROR:
        raise InputError(
            f"response times do not tell service time from unloaded latency: the busiest tick used about "
            f"{utilization.max():.0%} of the servers and the service rate is uncertain by {errors[0]:.0%}; "
            "bring ticks with waiting, as close to saturation as you dare"
        )
    residual = np.full(counts.size, np.nan)
    fitted = model.response_times(counts, tick_s=tick_s)
    residual[used] = seen / fitted[used] - 1.0
    return LatencyFit(model, rate * errors[0], latency * errors[1], utilization, fitted, residual)


def _mean_waits(visits: Array, *, rate: float, servers: int, tick_s: float) -> Array:
    """(tick,) mean wait in seconds of the arrivals of each tick; the queue is empty before the first tick."""
    queue = stationary_queue(servers)
    step = rate * tick_s / STEPS_A_TICK  # in mean services
    # L(u) + what leaves in a step at u rises with u; u is where it equals the visits offered.
    implicit = (queue.number + step * servers * queue.utilization).tolist()
    numbers, waits_at, last = queue.number.tolist(), queue.wait.tolist(), len(implicit) - 2
    number = wait = 0.0
    out = np.empty(visits.size)
    for tick, arrivals in enumerate((visits / STEPS_A_TICK).tolist()):
        total = 0.0
        for _ in range(STEPS_A_TICK):
            offered = number + arrivals
            place = min(bisect_right(implicit, offered) - 1, last)
            part = (offered - implicit[place]) / (implicit[place + 1] - implicit[place])
            number = numbers[place] + part * (numbers[place + 1] - numbers[place])
            before, wait = wait, waits_at[place] + part * (waits_at[place + 1] - waits_at[place])
            total += (before + wait) / 2.0
        out[tick] = total / STEPS_A_TICK
    waits: Array = out / rate
    return waits


def _descend_logs(predict: Prediction, seen: Array, *, start: Array) -> optimize.OptimizeResult:
    """Parameters with the least soft loss of log(measured / fitted): a start that no outlier spoils."""
    logs = np.log(seen)
    return _least(lambda parameters: (logs - np.log(predict(parameters)[0])) / FIRST_SPREAD, seen, start=start)


def _descend(predict: Prediction, seen: Array, spread: Array, *, start: Array) -> optimize.OptimizeResult:
    """Parameters with the least soft loss of (measured - fitted) / spread: it fits means, not means of logarithms."""
    return _least(lambda parameters: (seen - predict(parameters)[0]) / spread, seen, start=start)


def _least(residuals: Callable[[Array], Array], seen: Array, *, start: Array) -> optimize.OptimizeResult:
    quickest = float(seen.min())
    limits = (np.log([1e-3 / quickest, 1e-6 * quickest]), np.log([1e4 / quickest, 2.0 * quickest]))
    inside = np.clip(start, limits[0] + 1e-6, limits[1] - 1e-6)
    return optimize.least_squares(
        residuals, inside, bounds=limits, loss="soft_l1", f_scale=SPREADS_BEFORE_SOFT, diff_step=1e-4, xtol=1e-6
    )


def _spread(predict: Prediction, seen: Array, parameters: Array, *, visits: Array) -> Array:
    """(tick,) standard deviation of response times: services vary, waits vary more, and the model has a small error.

    variance = (LEAST_SPREAD · response)² + service² / visits + (kappa · wait)², with kappa from the residuals.
    """
    fitted, wait = predict(parameters)
    known = (LEAST_SPREAD * fitted) ** 2 + np.exp(-2.0 * parameters[0]) / visits
    share = wait / fitted
    squared = np.minimum((seen / fitted - 1.0) ** 2, 1.0) - known / fitted**2
    kappa_squared = float(np.clip((squared * share**2).sum() / max(float((share**4).sum()), 1e-12), 1e-4, 1.0))
    spread: Array = np.sqrt(known + kappa_squared * wait**2)
    return spread


def _standard_errors(jacobian: Array, residual: Array) -> Array:
    """Standard errors of the log parameters with residuals correlated over neighboring ticks (Newey & West)."""
    scores = jacobian * residual[:, None]
    meat = scores.T @ scores
    for lag in range(1, min(CORRELATED_TICKS, residual.size - 1) + 1):
        product = scores[lag:].T @ scores[:-lag]
        meat += (1.0 - lag / (CORRELATED_TICKS + 1.0)) * (product + product.T)
    bread = np.linalg.pinv(jacobian.T @ jacobian)
    errors: Array = np.sqrt(np.maximum(np.diag(bread @ meat @ bread), 0.0))
    return errors


def _check_servers(servers: int) -> None:
    if isinstance(servers, bool) or not isinstance(servers, int | np.integer) or not 1 <= servers <= 100_000:
        raise InputError(f"servers must be a whole number from 1 to 100000, got {servers!r}; correct it")


def _checked_visits(visits: ArrayLike, *, tick_s: float) -> Array:
    counts = np.asarray(visits, dtype=np.float64)
    if counts.ndim != 1 or counts.size == 0:
        raise InputError(f"visits: expected one value a tick, got shape {counts.shape}; give consecutive ticks")
    bad = ~(np.isfinite(counts) & (counts >= 0.0))
    if bad.any():
        tick = int(bad.argmax())
        raise InputError(
            f"visits must be finite and >= 0, got {counts[tick]} in tick {tick}; the backlog is carried from tick to "
            "tick, so fill the hole or fit a stretch without one"
        )
    if not (np.isfinite(tick_s) and tick_s > 0.0):
        raise InputError(f"tick_s must be > 0 seconds, got {tick_s}; give the length of a tick")
    return counts


def _usable(counts: Array, measured: Array) -> NDArray[np.bool_]:
    """Ticks with visits and a response time."""
    if measured.shape != counts.shape:
        raise InputError(
            f"response_time_s: expected {counts.shape[0]} ticks, got shape {measured.shape}; align the two"
        )
    bad = np.isinf(measured) | (measured <= 0.0)
    if bad.any():
        tick = int(bad.argmax())
        raise InputError(f"response times must be > 0 seconds, got {measured[tick]:g} in tick {tick}; correct them")
    used = np.isfinite(measured) & (counts > 0.0)
    if used.sum() < LEAST_TICKS:
        raise InputError(
            f"{used.sum()} ticks have visits and a response time, at least {LEAST_TICKS} are needed; bring more"
        )
    return used
