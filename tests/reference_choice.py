"""What one person of the slow reference is expected to want, by the multinomial logit."""

import math
from collections.abc import Sequence

from flashsim.sim.choice import ChoiceParams


def seen_factor(params: ChoiceParams, better: float, share_left: float) -> float:
    """Factor on a weight, of a depth ``better`` than the reference and of the share of the units that is left."""
    factor = math.exp((params.reference_gain if better >= 0.0 else params.reference_loss) * better)
    if params.scarcity_threshold > 0.0:
        factor *= 1.0 + params.scarcity_cue * max(0.0, 1.0 - share_left / params.scarcity_threshold)
    return factor


def wanted(params: ChoiceParams, weights: Sequence[float], outside: float) -> list[float]:
    """Expected units of each product, where leaving weighs ``outside``; several units come one after another."""
    units = sum(params.another_unit**unit for unit in range(params.limit))
    total = outside + sum(weights)
    return [units * weight / total if total > 0.0 else 0.0 for weight in weights]


def add_missed(
    sums: list[float], params: ChoiceParams, full: Sequence[float], weights: Sequence[float], outside: float
) -> None:
    """Add to ``sums`` what a person would want by the weights ``full`` of all products, less what by ``weights``."""
    both = zip(wanted(params, full, outside), wanted(params, weights, outside), strict=True)
    for product, (on_sale, now) in enumerate(both):
        sums[product] += on_sale - now
