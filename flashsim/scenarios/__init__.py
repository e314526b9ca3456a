"""Planned sales on a World. Vary a named one, or read one from a YAML file.

world = shipped_world()  # or World.load("…/world")
sale = grocery_evening(world, stock_cover=1.5, servers={"lag": 5})
sale = read_scenario("mine.yaml", world)
env = gymnasium.make("flashsim/FlashSale-v0", scenario=sale)
"""

from flashsim.scenarios.files import read_scenario, write_scenario
from flashsim.scenarios.named import (
    SCENARIOS,
    check_scenario_name,
    clearance,
    flaky_platform,
    grocery_evening,
    scenario_named,
    seckill,
    shopping_festival,
)
from flashsim.scenarios.occasion import Calendar, Rush, learned_rush
from flashsim.scenarios.scenario import Scenario
from flashsim.sim.failures import Failures, Outage

__all__ = [
    "SCENARIOS",
    "Calendar",
    "Failures",
    "Outage",
    "Rush",
    "Scenario",
    "check_scenario_name",
    "clearance",
    "flaky_platform",
    "grocery_evening",
    "learned_rush",
    "read_scenario",
    "scenario_named",
    "seckill",
    "shopping_festival",
    "write_scenario",
]
