"""The start of a run: while one core compiles the simulator, the processes that will learn start on the others.

Compilation keeps one core busy for some seconds and holds Python's lock all that time. What a process needs to learn
takes seconds to import, and a part of the simulator can be compiled by another process: both are done meanwhile.
"""

import importlib
import io
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr

from agents.settings import AgentConfig
from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import TRAINING_DOMAIN


def compile_simulator(sale: CompiledSale, pool: ProcessPoolExecutor, learners: Sequence[AgentConfig]) -> None:
    """Compile what a sale needs, unless that is kept: a tick here, how it opens in a process of ``pool``.

    The processes of the pool make ready for training ``learners``. Nobody waits for them.
    """
    for number, settings in enumerate(learners):
        pool.submit(_get_ready, settings, sale if number == 0 else None)
    _one_sale(sale).make_ready()


def _one_sale(sale: CompiledSale) -> SaleBatch:
    action = ActionConfig(heads=("discount",), per_product=False)
    return SaleBatch(sale, 1, action=action, reward=RewardConfig(), domain=TRAINING_DOMAIN)


def _get_ready(settings: AgentConfig, sale: CompiledSale | None) -> None:
    """In a process of the pool: compile how ``sale`` opens, if there is one, and import what learning needs.

    What can be told of the compilation is told by the process that waits for it.
    """
    if sale is not None:
        with redirect_stderr(io.StringIO()):
            batch = _one_sale(sale)
            batch.seed(consecutive_seeds(0, 1))
            batch.observe()
    importlib.import_module("agents.training").check_training(settings, seed=0)
