"""Exact numbers of M/M/c + M in balance: queue, probability of waiting, and waits of those who are served.

A visit that finds k before it in the queue is served with probability cμ/(cμ + (k + 1)θ), and then has waited for the
sum of k + 1 exponential times of rates cμ + θ, cμ + 2θ, …: e^(-θW) is Beta(cμ/θ + 1, k + 1).

Source: Palm (1957), Erlang A; Garnett, Mandelbaum & Reiman (2002), M&SOM 4(3).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, gammaincc


class Balance(NamedTuple):
    """M/M/c + M in balance; times in service times."""

    queue: float
    """Mean number waiting."""
    busy: float
    """Probability that all servers are busy: that a visit has to wait."""
    abandoned: float
    """Share of visits that give up."""
    wait: float
    """Mean wait of those served."""
    wait_95: float
    """95th percentile of the wait of those served."""
    chances: NDArray[np.float64]
    """Of 0, 1, 2, … waiting."""


def balance(servers: int, utilization: float, patience: float = np.inf) -> Balance:
    """``utilization`` is arrivals over what all servers can do; ``patience`` the mean patience, in service times."""
    rate, leaving = utilization * servers, 1.0 / patience
    if leaving > 0.0:
        longest = int(max(0.0, (rate - servers) * patience) + 12.0 * np.sqrt(rate * patience)) + 60
    else:
        longest = int(40.0 / (1.0 - utilization)) + 60
    present = np.arange(1, servers + longest + 1)
    departures = np.minimum(present, servers) + np.maximum(0, present - servers) * leaving
    logs = np.concatenate([[0.0], np.cumsum(np.log(rate / departures))])
    chances = np.exp(logs - logs.max())
    chances /= chances.sum()
    ahead, waiting = np.arange(longest + 1), chances[servers:]
    served = servers / (servers + (ahead + 1) * leaving)
    means = np.cumsum(1.0 / (servers + (ahead + 1) * leaving))
    total = chances[:servers].sum() + (waiting * served).sum()

    def beyond(wait: float) -> float:
        if leaving > 0.0:
            late = betainc(servers * patience + 1.0, ahead + 1, np.exp(-wait * leaving))
        else:
            late = gammaincc(ahead + 1, servers * wait)
        return float((waiting * served * late).sum() / total)

    queue = float((waiting * ahead).sum())
    return Balance(
        queue,
        float(waiting.sum()),
        leaving * queue / rate,
        float((waiting * served * means).sum() / total),
        float(brentq(lambda wait: beyond(wait) - 0.05, 0.0, 1e5)) if beyond(0.0) > 0.05 else 0.0,
        np.concatenate([[chances[:servers].sum() + waiting[0]], waiting[1:]]),
    )
