"""The envs whose id names their sale: ``flashsim/Seckill-v0`` and its like."""

from typing import Any

from flashsim.envs.single import FlashSaleEnv
from flashsim.envs.vector import FlashSaleVectorEnv
from flashsim.errors import InputError


def single(sale: str, **arguments: Any) -> FlashSaleEnv:
    """The single env of the named sale."""
    _check(sale, arguments)
    return FlashSaleEnv(sale, **arguments)


def vector(sale: str, **arguments: Any) -> FlashSaleVectorEnv:
    """The vector env of the named sale."""
    _check(sale, arguments)
    return FlashSaleVectorEnv(sale, **arguments)


def _check(sale: str, arguments: dict[str, Any]) -> None:
    """InputError for a scenario: the registered time limit is that of the named sale."""
    if "scenario" in arguments:
        raise InputError(f"scenario: this id plays {sale!r}; make flashsim/FlashSale-v0 to play another sale")
