"""How many people are let in from the waiting room: one of the sale's admission caps."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.dashboard import Dashboard
from flashsim.envs.heads.head import Head, HeadConfig, nearest
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.state import Decisions

NO_CAP: Final = "open"  # an infinite cap, in JSON


class Admission(Head):
    """A cap on the visits let in, as a multiple of what the servers can do; the first of the sale's without it."""

    name, decision = "admission", "cap"

    def __init__(self, sale: CompiledSale, config: HeadConfig, dashboard: Dashboard) -> None:
        super().__init__(sale, config, dashboard)
        self._caps = np.array(sale.admission_caps)
        self.sizes = (self._caps.size,)

    @staticmethod
    def check(config: HeadConfig, *, every: int) -> None:
        """It has no fields."""

    def meaning(self) -> Any:
        """The caps."""
        return [NO_CAP if np.isinf(cap) else float(cap) for cap in self._caps]

    def default(self, sales: int) -> NDArray[np.float64]:
        return self._caps[:1].repeat(sales)

    def decode(
        self,
        chosen: NDArray[np.int64] | None,
        observation: NDArray[np.float32],
        decided: Mapping[str, NDArray[Any]],
        *,
        is_first: bool,
    ) -> NDArray[np.float64]:
        return self.default(len(observation)) if chosen is None else self._caps[chosen[:, 0]]

    def encode(self, decisions: Decisions) -> NDArray[np.int64]:
        return nearest(1.0 / self._caps, 1.0 / decisions.cap)[:, None]
