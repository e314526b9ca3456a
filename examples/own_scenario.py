"""A scenario of your own: a named one with other values, played by the same rule.

    python examples/own_scenario.py

A ``Scenario`` and its parts are frozen dataclasses, so ``dataclasses.replace`` makes another one. Values are checked
when it is made. The same can stand in a YAML file, beside this one: programs take it as ``scenario=FILE.yaml``.
"""

from dataclasses import replace
from pathlib import Path

import flashsim
from flashsim.rules import run_out_price
from flashsim.scenarios import read_scenario

SALES = 200


def main() -> None:
    """Play the default sale and variants of it on the same seeds."""
    evening = flashsim.scenario_named("grocery_evening", flashsim.shipped_world())
    scenarios = [
        evening,
        replace(evening, name="quick servers", servers=replace(evening.servers, lag=1, start_servers=24)),
        read_scenario(Path(__file__).with_name("late_evening.yaml"), evening.world),
        replace(evening, name="one hour, all stock at the opening", ticks=60, waves=((0, 1.0),)),
    ]
    for scenario in scenarios:
        sale = scenario.compile()
        played = flashsim.play(sale.with_members(sale.heldout_members), run_out_price(sale), sales=SALES, seed=0)
        profit, errors = played.totals["profit"].mean(), played.totals["errors"].mean()
        print(f"{scenario.name}: {profit:.0f} {sale.currency} a sale, {errors:.0f} visits that ended in an error")
    try:
        replace(evening, servers=replace(evening.servers, lag=-1))
    except flashsim.InputError as error:
        print(f"refused: {error}")


if __name__ == "__main__":
    main()
