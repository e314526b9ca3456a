"""Why visits are lost: those that fail, give up waiting or wait too long, by what was amiss in the minute.

Each visit counts for the first of ``CAUSES`` that holds in its sale and tick:

    failure    a part of the servers fails
    collapse   the servers have collapsed and not yet recovered (flashsim/sim/servers.py)
    servers    there are more visits than the servers can answer, or visits wait from the tick before
    doors      people stand in the waiting room although the servers have room
    other      nothing of these: visits that came close together within the tick
"""

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.quantities import AmountsOfTick, Waits, answered_visits, gave_up_waiting
from flashsim.envs.vector import SaleBatch
from flashsim.evaluation.kpis import find_kpi
from flashsim.sim.failures import POOL_FAILS, fails_at

Array = NDArray[np.float64]
CAUSES = ("failure", "collapse", "servers", "doors", "other")
LOSSES = ("error_share", "abandonment_share", "p95_latency_s")
"""Guardrail -> the visits that break it: failed, given up, slower than the guardrail's own limit."""


class LostVisits:
    """Counts the lost visits of each tick by their cause, as means over all sales."""

    def __init__(self, batch: SaleBatch) -> None:
        ticks, servers = batch.sale.ticks, batch.sale.tables.servers
        self.visits = {name: np.zeros((ticks, len(CAUSES))) for name in LOSSES}
        limit = find_kpi("p95_latency_s").limit
        assert limit is not None
        self._most_wait_s = limit - servers.unloaded_latency_s

    def add(self, batch: SaleBatch, amounts: AmountsOfTick, *, tick: int, is_open: NDArray[np.bool_]) -> None:
        """Count ``tick`` of the sales that are open (sale,)."""
        slow = answered_visits(amounts) * Waits.of_tick(amounts.ledger, amounts.rows).share_beyond(self._most_wait_s)
        lost = dict(zip(LOSSES, (amounts["errors"], gave_up_waiting(amounts), slow), strict=True))
        cause = self._causes(batch, tick)[is_open]
        for name, visits in lost.items():
            counted = np.bincount(cause, weights=visits[is_open], minlength=len(CAUSES))
            self.visits[name][tick] = counted / is_open.size

    def _causes(self, batch: SaleBatch, tick: int) -> NDArray[np.int64]:
        """(sale,) place in ``CAUSES``."""
        rows, ledger = batch.batch.rows, batch.batch.ledger
        start = rows(batch.batch.state.failures.start)
        is_failing = fails_at(batch.sale.tables.failures, start, kind=POOL_FAILS, tick=tick)
        has_collapsed = rows(ledger.health) < 1.0 - 1e-9
        too_many = (rows(ledger.load) > 1.0) | (rows(ledger.backlog) > 0)
        found = np.select(
            [is_failing, has_collapsed, too_many, rows(ledger.room) > 0], range(len(CAUSES) - 1), len(CAUSES) - 1
        )
        return np.asarray(found, np.int64)
