"""flashsim: plan a timed sale before it happens.

The import registers the env and loads nothing else. Each name below is loaded when it is first used:

    a sale      shipped_world, World, scenario_named, SCENARIOS, Scenario, CompiledSale
    an agent    ActionConfig, RewardConfig, observation_table, make_sb3, Policy, load_policy
    a result    play, compare, DecisionRule, KPIS, write_report
    your data   calibrate, learn_world, refresh_world

Only ``make_sb3`` needs Stable-Baselines3 and torch. The rules of a good team are in ``flashsim.rules``, sales with an
exact solution in ``flashsim.reference``. For example:

import gymnasium
import flashsim

env = gymnasium.make("flashsim/FlashSale-v0")  # an evening's sale on the World that comes with the package
"""

import importlib
from typing import TYPE_CHECKING, Any

import gymnasium

from flashsim.errors import InputError as InputError

if TYPE_CHECKING:  # what type checkers and editors read; at run time the table below says the same
    from flashsim.calibration.complete_journey import calibrate as calibrate
    from flashsim.calibration.refresh import refresh_world as refresh_world
    from flashsim.calibration.shop_tables import learn_world as learn_world
    from flashsim.envs.actions import ActionConfig as ActionConfig
    from flashsim.envs.features import observation_table as observation_table
    from flashsim.envs.reward import RewardConfig as RewardConfig
    from flashsim.envs.sb3 import make_sb3 as make_sb3
    from flashsim.evaluation.comparison import compare as compare
    from flashsim.evaluation.decision import DecisionRule as DecisionRule
    from flashsim.evaluation.kpis import KPIS as KPIS
    from flashsim.evaluation.rollout import play as play
    from flashsim.policies.bundle import Policy as Policy
    from flashsim.policies.bundle import load_policy as load_policy
    from flashsim.report.page import write_report as write_report
    from flashsim.scenarios.compiled import CompiledSale as CompiledSale
    from flashsim.scenarios.named import SCENARIOS as SCENARIOS
    from flashsim.scenarios.named import scenario_named as scenario_named
    from flashsim.scenarios.scenario import Scenario as Scenario
    from flashsim.world import World as World
    from flashsim.world import shipped_world as shipped_world

_MODULE_OF = {
    "ActionConfig": "flashsim.envs.actions",
    "CompiledSale": "flashsim.scenarios.compiled",
    "DecisionRule": "flashsim.evaluation.decision",
    "KPIS": "flashsim.evaluation.kpis",
    "Policy": "flashsim.policies.bundle",
    "RewardConfig": "flashsim.envs.reward",
    "SCENARIOS": "flashsim.scenarios.named",
    "Scenario": "flashsim.scenarios.scenario",
    "World": "flashsim.world",
    "calibrate": "flashsim.calibration.complete_journey",
    "compare": "flashsim.evaluation.comparison",
    "learn_world": "flashsim.calibration.shop_tables",
    "load_policy": "flashsim.policies.bundle",
    "make_sb3": "flashsim.envs.sb3",
    "observation_table": "flashsim.envs.features",
    "play": "flashsim.evaluation.rollout",
    "refresh_world": "flashsim.calibration.refresh",
    "scenario_named": "flashsim.scenarios.named",
    "shipped_world": "flashsim.world",
    "write_report": "flashsim.report.page",
}
"""The module of each name that is loaded when it is first used."""

if not TYPE_CHECKING:  # a type checker that saw it would accept every name

    def __getattr__(name: str) -> Any:
        """Load ``name`` from its module; AttributeError with the nearest name where there is no such name."""
        if name in _MODULE_OF:
            value = getattr(importlib.import_module(_MODULE_OF[name]), name)
            globals()[name] = value  # found without this function from now on
            return value
        near = importlib.import_module("flashsim.settings").nearest(name, __dir__())
        hint = f"; did you mean {near!r}?" if near else ""
        # Without obj, so that Python adds no suggestion of its own.
        raise AttributeError(f"module 'flashsim' has no attribute {name!r}{hint}", name=name)


def __dir__() -> list[str]:
    """What is loaded already, and what can be."""
    return sorted({*globals(), *_MODULE_OF})


_TICKS = {
    "grocery_evening": 140,
    "seckill": 150,
    "shopping_festival": 260,
    "clearance": 200,
    "flaky_platform": 140,
    "g0": 2,
    "g1": 24,
    "g3": 30,
    "j1": 8,
    "j1_lag1": 8,
    "j1_lag2": 8,
}
"""Ticks of each named sale, those before its opening included, written here because an import loads no scenario."""


def _register() -> None:
    """Register the env that plays any sale, and one for each named sale: ``flashsim/Seckill-v0`` plays "seckill".

    Their ``max_episode_steps`` is one step more than the sale has: Gymnasium's time limit calls the step that reaches
    it truncated, and the last tick of a sale is an end that the agent can see, not a cut.
    """
    gymnasium.register(
        id="flashsim/FlashSale-v0",
        entry_point="flashsim.envs.single:FlashSaleEnv",
        vector_entry_point="flashsim.envs.vector:FlashSaleVectorEnv",
    )
    for name, ticks in _TICKS.items():
        gymnasium.register(
            id=f"flashsim/{name.title().replace('_', '')}-v0",
            entry_point="flashsim.envs.single:env_of",
            vector_entry_point="flashsim.envs.vector:vector_env_of",
            max_episode_steps=ticks + 1,
            kwargs={"sale": name},
        )


_register()
