"""One member of the ensemble as a response surface: units a minute at any depth and minute of the day.

    rate(s, p, d, t) = units a day(p)·exp(slope(p)·d)·share(p, s, d)·profile(g(p), s, t) / 60

The segments add up to the demand model at every depth. Where a segment's share falls faster than demand rises, the
product of the two would fall with depth, which no buyer's demand does. There the segment keeps its value, and the
others gain less by that amount, so the sum remains that of the demand model. Profiles are known by the hour. Within an
hour they run smoothly and keep the sales of the hour (:mod:`flashsim.surface`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim.models.demand.ensemble import Member
from flashsim.surface import FINE_STEP, FLOOR, between, read_day

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MemberResponse:
    """Units a minute of some products; a ``flashsim.surface.ResponseModel``."""

    depths: Array  # fine; ascending from 0
    daily: Array  # segment, product, fine; units a day, rising with depth
    profile: Array  # segment, product, hour; shares of a day
    moved: float
    """Largest change that keeping a segment from falling makes, relative to max(rate, 5 % of its peak)."""

    def __call__(self, depths: Array, minutes: Array) -> Array:
        """Rates (segment, product, depth, minute)."""
        return self.daily_at(depths)[..., None] * read_day(self.profile, minutes)[:, :, None, :] / 60.0

    def daily_at(self, depths: Array) -> Array:
        """Units a day (segment, product, depth)."""
        return between(self.daily, self.depths, depths)

    def emptied(self) -> "MemberResponse":
        """What is told of it, without the arrays."""
        return MemberResponse(self.depths, np.empty(0), np.empty(0), self.moved)


def respond(
    member: Member, *, products: NDArray[np.intp], group_of: NDArray[np.intp], deepest: float
) -> MemberResponse:
    """The response of ``products`` (indices) from list price to the depth ``deepest``."""
    fine = np.linspace(0.0, deepest, round(deepest / FINE_STEP) + 1)
    whole = member.daily_units(fine)[products]
    parts = np.swapaxes(whole[:, None, :] * member.shares.at(fine)[products], 0, 1)
    rising = rising_parts(parts)
    moved = np.abs(rising - parts) / np.maximum(parts, FLOOR * parts.max(axis=-1, keepdims=True))
    profile = np.swapaxes(member.hour_profile[group_of[products]], 0, 1)
    return MemberResponse(fine, rising, profile, float(moved.max()))


def rising_parts(parts: Array) -> Array:
    """Change ``parts`` (part, ..., depth) so that none falls with depth, and keep their sum, which must not fall."""
    steps = np.diff(parts, axis=-1)
    gains = np.maximum(steps, 0.0)
    all_gains = gains.sum(axis=0)
    kept = np.divide(steps.sum(axis=0), all_gains, out=np.zeros_like(all_gains), where=all_gains > 0.0)
    return np.concatenate([parts[..., :1], parts[..., :1] + np.cumsum(gains * kept, axis=-1)], axis=-1)
