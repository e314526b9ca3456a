"""The single env, the vector env and SB3's are one env seen three ways, and meet what each library expects."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.env_checker import check_env as check_sb3_env

from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.sb3 import make_sb3
from flashsim.envs.single import FlashSaleEnv
from flashsim.envs.vector import FlashSaleVectorEnv, consecutive_seeds
from flashsim.errors import InputError
from flashsim.reference import g0, g1
from flashsim.scenarios import scenario_named
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.streams import EVALUATION_DOMAIN
from flashsim.world import shipped_world
from tests.envs.played import EVERY_ORDER, orders, small_sale
from tests.worlds import make_scenario

SALES: dict[str, Callable[[], CompiledSale]] = {
    "small": cache(small_sale),
    "g0": cache(lambda: g0().compile()),
    "g1": cache(lambda: g1().compile()),
    "default": cache(lambda: make_scenario().compile()),
}
ACTIONS = {
    "multi": ActionConfig(),
    "one for all": ActionConfig(per_product=False),
    "flat": ActionConfig(per_product=False, flat=True),
}


def still(sale: CompiledSale) -> NDArray[np.int64]:
    """An action of the default heads: list prices, hold, fewer servers."""
    return np.zeros(ActionCodec(sale, ActionConfig()).sizes.size, np.int64)


@pytest.mark.parametrize("action", list(ACTIONS))
@pytest.mark.parametrize("sale", list(SALES))
def test_gymnasium_accepts_the_env(sale: str, action: str) -> None:
    env = gymnasium.make("flashsim/FlashSale-v0", scenario=SALES[sale](), action=ACTIONS[action])
    check_env(env.unwrapped, skip_render_check=True)


@pytest.mark.parametrize("action", list(ACTIONS))
@pytest.mark.parametrize("sale", ["small", "g1"])
def test_sb3_accepts_the_env(sale: str, action: str) -> None:
    check_sb3_env(FlashSaleEnv(SALES[sale](), action=ACTIONS[action]), warn=True)


def test_make_vec_makes_the_native_vector_env() -> None:
    envs: Any = gymnasium.make_vec(
        "flashsim/FlashSale-v0", num_envs=3, vectorization_mode="vector_entry_point", scenario=SALES["small"]()
    )
    assert isinstance(envs.unwrapped, FlashSaleVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    envs.action_space.seed(1)
    observation, info = envs.reset(seed=1)
    assert observation in envs.observation_space
    assert info["action_mask"].shape[0] == 3
    for _ in range(12):
        observation, reward, terminated, truncated, info = envs.step(envs.action_space.sample())
        assert observation in envs.observation_space
        assert (reward.dtype, terminated.dtype, truncated.dtype) == (np.float64, np.bool_, np.bool_)
        assert not truncated.any()


def test_the_three_views_agree_bit_for_bit_through_restarts() -> None:
    sale, seeds, ticks = SALES["small"](), [7, 8, 9], 20
    actions = orders(sale, seeds, ticks)
    vector = FlashSaleVectorEnv(sale, num_envs=3, action=EVERY_ORDER)
    sb3 = make_sb3(sale, num_envs=3, seed=7, action=EVERY_ORDER)
    singles = [FlashSaleEnv(sale, action=EVERY_ORDER) for _ in seeds]
    first, info = vector.reset(seed=7)
    starts = [env.reset(seed=seed) for env, seed in zip(singles, seeds, strict=True)]
    np.testing.assert_array_equal(first, sb3.reset())
    np.testing.assert_array_equal(first, [start for start, _ in starts])
    np.testing.assert_array_equal(info["action_mask"], [start["action_mask"] for _, start in starts])
    ends = 0
    for tick in range(ticks):
        observation, reward, terminated, _, info = vector.step(actions[tick])
        seen, scaled, done, infos = sb3.step(actions[tick])
        np.testing.assert_array_equal(observation, seen)
        np.testing.assert_array_equal(reward.astype(np.float32), scaled)
        np.testing.assert_array_equal(terminated, done)
        np.testing.assert_array_equal(info["action_mask"], sb3.action_masks())
        assert ("final_obs" in info) == bool(terminated.any())
        for row, env in enumerate(singles):
            own, gain, ended, truncated, own_info = env.step(actions[tick, row])
            assert (gain, ended, truncated) == (reward[row], terminated[row], False)
            assert own_info["cost"] == {name: cost[row] for name, cost in info["cost"].items()}
            if ended:
                ends += 1
                np.testing.assert_array_equal(own, info["final_obs"][row])
                np.testing.assert_array_equal(own, infos[row]["terminal_observation"])
                assert info["_final_obs"][row]
                assert infos[row]["TimeLimit.truncated"] is False
                own, own_info = env.reset()
            np.testing.assert_array_equal(own, observation[row])
            np.testing.assert_array_equal(own_info["action_mask"], info["action_mask"][row])
    assert ends >= 6


def test_the_path_of_a_sale_does_not_depend_on_how_many_are_simulated() -> None:
    sale = SALES["small"]()
    actions = orders(sale, range(5, 75), 8)
    many, few = (FlashSaleVectorEnv(sale, num_envs=count, action=EVERY_ORDER) for count in (70, 3))
    np.testing.assert_array_equal(many.reset(seed=5)[0][:3], few.reset(seed=5)[0])
    for tick in range(8):
        np.testing.assert_array_equal(many.step(actions[tick])[0][:3], few.step(actions[tick, :3])[0])


def test_sb3_is_told_return_and_length_of_each_sale_unscaled() -> None:
    env = make_sb3(SALES["default"](), num_envs=2, seed=3, reward_scale=50.0)
    twin = FlashSaleVectorEnv(SALES["default"](), num_envs=2)
    env.reset()
    twin.reset(seed=3)
    total = np.zeros(2)
    action = np.array([still(SALES["default"]())] * 2)
    for _ in range(20):
        _, scaled, _, infos = env.step(action)
        reward = twin.step(action)[1]
        total += reward
        np.testing.assert_allclose(scaled, reward / 50.0, rtol=1e-6)
    assert [info["episode"]["l"] for info in infos] == [20, 20]
    np.testing.assert_allclose([info["episode"]["r"] for info in infos], total, rtol=1e-12)


@pytest.mark.parametrize("config", [ActionConfig(), ActionConfig(around_run_out=3)])
def test_observations_are_the_callers_own(config: ActionConfig) -> None:
    """Also where the meaning of the next action depends on what was seen."""
    vector = FlashSaleVectorEnv(SALES["default"](), num_envs=2, action=config)
    single = FlashSaleEnv(SALES["default"](), action=config)
    action = still(SALES["default"]())
    given: list[tuple[Any, NDArray[np.int64]]] = [(vector, np.stack([action, action])), (single, action)]
    for env, orders_given in given:
        before: NDArray[np.float32] = env.reset(seed=1)[0]
        kept = before.copy()
        env.step(orders_given)
        np.testing.assert_array_equal(before, kept)
        twin = deepcopy(env)
        env.step(orders_given)[0][...] = 0.5
        twin.step(orders_given)
        np.testing.assert_array_equal(env.step(orders_given)[0], twin.step(orders_given)[0])


def through_pickle(env: FlashSaleEnv) -> FlashSaleEnv:
    copy: FlashSaleEnv = pickle.loads(pickle.dumps(env))
    return copy


@pytest.mark.parametrize("copy", [deepcopy, through_pickle])
def test_a_copied_env_goes_on_as_the_env_does(copy: Callable[[FlashSaleEnv], FlashSaleEnv]) -> None:
    env = FlashSaleEnv(SALES["small"](), action=EVERY_ORDER)
    env.reset(seed=4)
    path = orders(SALES["small"](), [4], 8)[:, 0]
    for tick in range(3):
        env.step(path[tick])
    other = copy(env)
    for tick in range(3, 6):
        first, second = env.step(path[tick]), other.step(path[tick])
        np.testing.assert_array_equal(first[0], second[0])
        assert first[1:4] == second[1:4]


def test_equal_seeds_give_equal_sales_and_others_do_not() -> None:
    env = FlashSaleEnv(SALES["default"]())
    action = still(SALES["default"]())

    def path(**options: Any) -> NDArray[np.float32]:
        env.reset(**options)
        return np.array([env.step(action)[0] for _ in range(5)])

    first = path(seed=1)
    np.testing.assert_array_equal(first, path(seed=1))
    assert not np.array_equal(first, path(seed=2))
    path(seed=1)
    assert not np.array_equal(first, path()), "the next episode of a seed is another sale"


def test_training_and_evaluation_are_other_sales() -> None:
    train = FlashSaleVectorEnv(SALES["default"](), num_envs=4)
    judge = FlashSaleVectorEnv(SALES["default"](), num_envs=4, domain=EVALUATION_DOMAIN)
    action = np.array([still(SALES["default"]())] * 4)
    train.reset(seed=1)
    judge.reset(seed=1)
    assert not np.array_equal(train.step(action)[0], judge.step(action)[0])


def test_without_a_seed_a_reset_opens_a_sale_that_a_seed_could_have_opened() -> None:
    env = FlashSaleEnv(SALES["default"]())
    env.reset()
    assert env.sales.batch.seed[0, 0] < 2**62
    vector = FlashSaleVectorEnv(SALES["default"](), num_envs=2)
    vector.reset()
    seeds = vector.sales.batch.rows(vector.sales.batch.seed)
    assert seeds[1] == seeds[0] + 1


def test_a_vector_env_takes_a_list_of_seeds() -> None:
    vector = FlashSaleVectorEnv(SALES["default"](), num_envs=2)
    listed = vector.reset(seed=[5, 6])[0]
    np.testing.assert_array_equal(listed, vector.reset(seed=5)[0])
    with pytest.raises(InputError, match="expected 2 numbers, got 3"):
        vector.reset(seed=[1, 2, 3])
    with pytest.raises(InputError, match="got None"):
        vector.reset(seed=[1, None])


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True])
def test_an_impossible_seed_is_refused_with_the_value(seed: Any) -> None:
    with pytest.raises(InputError, match=f"seed must be a whole number from 0 to 2\\^63 - 1, got {seed!r}"):
        FlashSaleVectorEnv(SALES["g0"](), num_envs=2).reset(seed=seed)


@pytest.mark.parametrize(("members", "allowed"), [("training", {0, 1}), ("heldout", {2}), ((1, 2), {1, 2})])
def test_sales_draw_the_members_that_were_asked_for(members: Any, allowed: set[int]) -> None:
    env = FlashSaleVectorEnv(SALES["default"](), num_envs=300, members=members)
    env.reset(seed=0)
    assert set(env.sales.batch.rows(env.sales.batch.state.member)) == allowed


@pytest.mark.parametrize("members", ["all", (), (5,)])
def test_unknown_members_are_refused(members: Any) -> None:
    with pytest.raises(InputError, match="members: expected"):
        FlashSaleVectorEnv(SALES["default"](), members=members)


def test_a_sale_that_is_not_open_cannot_be_stepped() -> None:
    env = FlashSaleEnv(SALES["g0"]())
    with pytest.raises(InputError, match="call reset first"):
        env.step([0])
    env.reset(seed=1)
    env.step([0])
    assert env.step([0])[2]
    with pytest.raises(InputError, match="call reset first"):
        env.step([0])


def test_a_batch_that_was_made_ready_plays_as_any_other() -> None:
    """Before a sale is open, and while one is: nothing that was observed is lost."""
    ready, other = (make_sb3(SALES["default"](), num_envs=3, seed=5).sales for _ in range(2))
    ready.make_ready()
    for batch in (ready, other):
        batch.seed(consecutive_seeds(5, 3))
        batch.observe()
    seen = ready.seen().copy()
    ready.make_ready()
    np.testing.assert_array_equal(ready.seen(), seen)
    orders_given = np.zeros((3, other.codec.sizes.size), np.int64)
    np.testing.assert_array_equal(ready.step(orders_given)[0], other.step(orders_given)[0])
    np.testing.assert_array_equal(ready.seen(), other.seen())


def test_a_sale_can_be_closed_early() -> None:
    config = ActionConfig(heads=("timing",), timing=("hold", "close"))
    env = FlashSaleVectorEnv(SALES["default"](), num_envs=3, action=config)
    env.reset(seed=1)
    _, _, terminated, _, info = env.step(np.array([[0], [1], [0]]))
    assert terminated.tolist() == [False, True, False]
    assert info["final_obs"][1] is not None
    assert info["final_obs"][0] is None


def test_sb3_views_answer_what_sb3_asks() -> None:
    env = make_sb3(SALES["default"](), num_envs=3, seed=5)
    env.reset()
    masks = env.action_masks()
    for row, mask in enumerate(env.env_method("action_masks")):
        np.testing.assert_array_equal(mask, masks[row])
    assert env.env_is_wrapped(object) == [False] * 3
    assert env.get_attr("num_envs", indices=[0, 1]) == [3, 3]
    assert list(env.seed(9)) == [9, 10, 11]
    again = env.reset()
    np.testing.assert_array_equal(again, make_sb3(SALES["default"](), num_envs=3, seed=9).reset())
    for call in (lambda: env.set_attr("x", 1), lambda: env.env_method("render")):
        with pytest.raises(InputError):
            call()
    with pytest.raises(InputError, match="reward_scale must be above 0, got 0"):
        make_sb3(SALES["default"](), num_envs=1, reward_scale=0.0)
    env.close()


@pytest.mark.parametrize("name", ["revenue", "penalty"])
def test_a_reward_weight_must_be_finite(name: str) -> None:
    with pytest.raises(InputError, match=f"reward {name} must be a finite number, got nan"):
        RewardConfig(**{name: float("nan")})


def test_a_plan_compiles_once_and_serves_many_envs() -> None:
    sale: CompiledSale = SALES["default"]()
    before = sale.tables.rate.copy()
    first, second = FlashSaleEnv(sale), FlashSaleEnv(sale)
    first.reset(seed=1)
    second.reset(seed=2)
    for _ in range(3):
        first.step(first.action_space.sample())
    twin = FlashSaleEnv(sale)
    twin.reset(seed=2)
    action = still(SALES["default"]())
    np.testing.assert_array_equal(second.step(action)[0], twin.step(action)[0])
    np.testing.assert_array_equal(sale.tables.rate, before)


def test_a_scenario_is_made_by_its_name_on_the_world_of_the_package() -> None:
    env = gymnasium.make("flashsim/FlashSale-v0", scenario="seckill")
    seen, _ = env.reset(seed=3)
    same = gymnasium.make("flashsim/FlashSale-v0", scenario=scenario_named("seckill", shipped_world()))
    np.testing.assert_array_equal(seen, same.reset(seed=3)[0])
    with pytest.raises(InputError, match="unknown name 'seckil'; did you mean 'seckill'"):
        gymnasium.make("flashsim/FlashSale-v0", scenario="seckil")
