"""A policy of your own, played through the same sales as two rules and compared with them.

    python examples/own_policy.py

A policy needs a name, the actions it takes, and ``act``. It sees observations only: what an operator could know.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

import flashsim
from flashsim.rules import human_team, run_out_price

SALES = 200


class LastHour:
    """List price at first; in the second half 10 % off, and 30 % for a product of which most is still there.

    It decides on discounts alone. Servers follow the visits and aim at a utilization of 70 %.
    """

    name = "last hour"
    action: Mapping[str, Any] = asdict(flashsim.ActionConfig(heads=("discount",), scaler_targets=(0.7,)))

    def __init__(self, sale: flashsim.CompiledSale) -> None:
        columns = [feature.name for feature in flashsim.observation_table(sale)]
        self.time_left = columns.index("time_left")
        self.stock = [columns.index(f"product_{product}_stock") for product in range(sale.products)]

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Price indices (sale, product): 0 is the list price, 1 is 10 % off, 3 is 30 % off."""
        is_late = observation[:, [self.time_left]] < 0.5
        is_plenty = observation[:, self.stock] > 0.6
        return np.where(is_late, np.where(is_plenty, 3, 1), 0)


def main() -> None:
    """Play and compare."""
    sale = flashsim.scenario_named("grocery_evening", flashsim.shipped_world()).compile()
    heldout = sale.with_members(sale.heldout_members)
    policies: list[flashsim.Policy] = [LastHour(sale), run_out_price(sale), human_team(sale)]
    rollouts = [flashsim.play(heldout, policy, sales=SALES, seed=0) for policy in policies]
    result = flashsim.compare(rollouts, learners=["last hour"], baselines=["run-out price", "human team"])
    for rollout in rollouts:
        print(f"{rollout.policy}: {rollout.totals['profit'].mean():.0f} {sale.currency} a sale")
    print(result)


if __name__ == "__main__":
    main()
