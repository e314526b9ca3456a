"""Arguments that the views have in common, checked with one sentence each."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from gymnasium.vector import AutoresetMode

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import ConstraintConfig, RewardConfig
from flashsim.errors import InputError
from flashsim.settings import combined, typed

Config = TypeVar("Config", ActionConfig, RewardConfig, ConstraintConfig)


def config_of(kind: type[Config], given: "Config | Mapping[str, Any] | None", *, name: str) -> Config:
    """``given`` as the dataclass ``kind``: itself, a mapping of some of its fields, or None for its defaults."""
    if isinstance(given, kind):
        return given
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"{name}: expected {kind.__name__} or a mapping of its fields, got {given!r}")
    config: Config = combined(kind, typed(kind, given or {}, key=f"{name}."), base={}, key=f"{name}.")
    return config


def check_reward_scale(scale: float) -> float:
    """``scale`` itself; InputError unless it is a finite number above 0."""
    if not 0.0 < scale < float("inf"):
        raise InputError(f"reward_scale must be above 0, got {scale!r}")
    return scale


def check_options(options: Mapping[str, Any] | None, known: Sequence[str] = ()) -> None:
    """InputError when ``options`` of a reset hold another key than ``known``."""
    for key in options or {}:
        if key not in known:
            hint = (
                f"known: {', '.join(known)}" if known else "there are none; give what shall differ when making the env"
            )
            raise InputError(f"reset: unknown option {key!r}; {hint}")


def autoreset_mode_of(given: AutoresetMode | str) -> AutoresetMode:
    """The mode, given as such, by its name or by its value; InputError for others."""
    for mode in AutoresetMode:
        if given in (mode, mode.name, mode.value):
            return mode
    known = ", ".join(mode.name for mode in AutoresetMode)
    raise InputError(f"autoreset_mode: expected one of {known}, got {given!r}")
