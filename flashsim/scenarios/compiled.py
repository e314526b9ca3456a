"""One planned sale, compiled to the numbers that the simulator, the env and the policies need.

Scenarios (on a World) and reference sales compile to the same thing, so everything above has one kind of sale to know.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.sim.state import SaleTables


class Forecast(NamedTuple):
    """What the operator expects before the sale: means over the *training* members, never the member that is drawn.

    Row ``ticks`` (one past the last) is zero.
    """

    units: NDArray[np.float64]  # tick, product, price; expected units a tick
    future_units: NDArray[np.float64]  # tick, product, price; expected units from this tick to the end
    visitors: NDArray[np.float64]  # tick, price; expected visitors a tick when all products stand at one price index
    traffic_share: float  # share of the uplift that comes as visitors
    common_variance: float  # of the frailty that all products share
    product_variance: NDArray[np.float64]  # product


@dataclass(frozen=True)
class CompiledSale:
    """One planned sale, compiled. Arrays are shared and never written to."""

    name: str
    story: str
    tables: SaleTables
    forecast: Forecast
    depths: NDArray[np.float64]  # product, price; discount on the list price, share
    product_names: tuple[str, ...]
    currency: str
    training_members: tuple[int, ...]
    heldout_members: tuple[int, ...]
    server_changes: tuple[int, ...]
    """What the capacity head can order in a tick, servers."""
    admission_caps: tuple[float, ...]
    """What the admission head can set; the first is the rule."""
    lookahead: tuple[int, ...]
    """Ticks ahead for which observations hold forecasts."""
    is_reference: bool = False
    """True: exactly solvable; observations hold what the state is, and nothing of the past."""
    is_extrapolated: bool = False
    """True: the menu holds depths that the data do not support."""
    menu_notes: tuple[str, ...] = ()
    """Sentences that everyone who reads a result must know of the menu."""

    @property
    def ticks(self) -> int:
        """Length of the sale, from the opening to the close."""
        return int(self.tables.rate.shape[0])

    @property
    def pre_opening(self) -> int:
        """Ticks before the doors open, in which servers are ordered."""
        return self.tables.pre_opening

    @property
    def all_ticks(self) -> int:
        """Ticks in which something can be decided: those before the opening, and the length of the sale."""
        return self.pre_opening + self.ticks

    @property
    def longest_decision(self) -> int:
        """Most ticks for which decisions can stand: they divide the time before the opening, and the sale."""
        return math.gcd(self.ticks, self.pre_opening)

    @property
    def minutes(self) -> float:
        """Length of the sale, minutes."""
        return self.ticks * float(self.tables.servers.seconds_per_tick) / 60.0

    @property
    def products(self) -> int:
        """Number of products."""
        return int(self.tables.rate.shape[2])

    @property
    def price_levels(self) -> int:
        """Number of prices a product can have."""
        return int(self.tables.rate.shape[3])

    @property
    def stock(self) -> NDArray[np.int64]:
        """Units planned, by product."""
        return self.tables.planned

    def with_members(self, members: tuple[int, ...]) -> "CompiledSale":
        """The same sale, which draws one of ``members`` each time it is played."""
        if not members:
            raise InputError("members: expected at least one world member, got none")
        known = self.tables.conversion.shape[0]
        for member in members:
            if isinstance(member, bool) or not isinstance(member, int | np.integer) or not 0 <= member < known:
                raise InputError(f"members: expected numbers from 0 to {known - 1}, got {member}")
        return replace(self, tables=self.tables._replace(members=np.array(members, np.int64)))


class Compilable(Protocol):
    """Anything that can be planned: a scenario on a World or a reference sale."""

    def compile(self) -> CompiledSale:
        """Compile the sale."""
        ...


def make_forecast(
    units: NDArray[np.float64],
    visitors: NDArray[np.float64],
    *,
    traffic_share: float,
    common_variance: float,
    product_variance: NDArray[np.float64],
) -> Forecast:
    """Forecast from expected units (tick, product, price) and visitors (tick, price) of each tick."""
    ahead = np.concatenate([units, np.zeros_like(units[:1])])
    future = np.flip(np.cumsum(np.flip(ahead, 0), 0), 0)
    people = np.concatenate([visitors, np.zeros_like(visitors[:1])])
    return Forecast(
        np.ascontiguousarray(ahead),
        np.ascontiguousarray(future),
        np.ascontiguousarray(people),
        float(traffic_share),
        float(common_variance),
        np.ascontiguousarray(product_variance, np.float64),
    )
