"""Action heads: what an agent decides, one class in one file each.

To add a head: its class here in a file of its own, a line in ``HEADS``, the field of ``Decisions`` that it sets
(``flashsim/sim/state.py``), and the phase of the sale that reads this field.
"""

from dataclasses import dataclass
from typing import Final

from flashsim.envs.heads.admission import Admission
from flashsim.envs.heads.capacity import Capacity, CapacityConfig
from flashsim.envs.heads.discount import Discount, DiscountConfig
from flashsim.envs.heads.head import Head
from flashsim.envs.heads.timing import Timing, TimingConfig

HEADS: Final[dict[str, type[Head]]] = {head.name: head for head in (Discount, Timing, Capacity, Admission)}
"""All heads by name, in the order of their columns in an action; a head sees what those before it decide."""


@dataclass(frozen=True)
class HeadConfigs(CapacityConfig, TimingConfig, DiscountConfig):
    """The fields of all heads, those of the last base first."""


__all__ = ["HEADS", "Head", "HeadConfigs"]
