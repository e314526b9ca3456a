"""Watches what crosses between host and device: values read from tensors, and copies from one device to another."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

READS = (
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.equal.default,
    torch.ops.aten.is_nonzero.default,
)
COPIES = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)


class TrafficError(RuntimeError):
    """Something crossed."""


class RefusedTraffic(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises :class:`TrafficError` at a read or at a copy between devices."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, _types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation, unless it crosses."""
        result = func(*args, **(kwargs or {}))
        if func in READS:
            raise TrafficError(f"{func} reads a value from {args[0].device}")
        if func in COPIES and crosses(func, args, result):
            raise TrafficError(f"{func} copies from one device to another")
        return result


class CountedCopies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the copies for which ``is_counted(target, source)``."""

    def __init__(self, is_counted: Callable[[torch.Tensor, torch.Tensor], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.is_counted, self.count = is_counted, 0

    def __torch_dispatch__(
        self, func: Any, _types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and count it."""
        result = func(*args, **(kwargs or {}))
        if func in COPIES:
            target, source = (args[0], args[1]) if func is COPIES[0] else (result, args[0])
            self.count += self.is_counted(target, source)
        return result


def crosses(func: Any, args: tuple[Any, ...], result: Any) -> bool:
    """Whether a copy has its two ends on different devices."""
    source = args[1] if func is COPIES[0] else args[0]
    return bool(source.device != result.device)
