"""What Gymnasium and Stable-Baselines3 expect around the env: ids, specs, autoreset modes, wrappers, infos, masks."""

import json
import pickle
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import (
    ClipReward,
    DictInfoToList,
    FlattenObservation,
    NormalizeObservation,
    NormalizeReward,
    RecordEpisodeStatistics,
)
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.env_checker import check_env as check_sb3_env
from stable_baselines3.common.vec_env import DummyVecEnv

import flashsim
from flashsim.envs.actions import ActionConfig
from flashsim.envs.sb3 import make_sb3
from flashsim.envs.single import FlashSaleEnv
from flashsim.envs.vector import FlashSaleVectorEnv
from flashsim.errors import InputError
from flashsim.reference import REFERENCE_SALES, g1
from flashsim.scenarios import SCENARIOS, grocery_evening, scenario_named, write_scenario
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.ledger import PRODUCT_FIELDS, Ledger
from flashsim.world import shipped_world
from tests.envs.played import EVERY_ORDER, orders, small_sale

IDS = {name: f"flashsim/{name.title().replace('_', '')}-v0" for name in [*SCENARIOS, *REFERENCE_SALES]}
SEEDS, TICKS = [7, 8, 9], 20


@cache
def small() -> CompiledSale:
    return small_sale()


def sync_env(mode: AutoresetMode) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: FlashSaleEnv(small(), action=EVERY_ORDER)] * 3, autoreset_mode=mode)


def vector_env(**arguments: Any) -> FlashSaleVectorEnv:
    return FlashSaleVectorEnv(small(), num_envs=3, action=EVERY_ORDER, **arguments)


def assert_same_infos(own: dict[str, Any], theirs: dict[str, Any]) -> None:
    """What Gymnasium gathers from single envs, our vector env has too; it may tell more."""
    for name, value in theirs.items():
        if name.startswith("final_obs"):
            for one, other in zip(own[name], value, strict=True):
                assert (one is None) == (other is None)
                np.testing.assert_array_equal(one, other)
        elif isinstance(value, dict):
            assert_same_infos(own[name], value)
        else:
            np.testing.assert_array_equal(own[name], value, err_msg=name)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_the_native_vector_env_is_gymnasiums_over_single_envs(mode: AutoresetMode) -> None:
    ours, theirs = vector_env(autoreset_mode=mode), sync_env(mode)
    first, info = ours.reset(seed=7)
    other, other_info = theirs.reset(seed=7)
    np.testing.assert_array_equal(first, other)
    assert_same_infos(info, other_info)
    ends = 0
    for actions in orders(small(), SEEDS, TICKS):
        own, sync = ours.step(actions), theirs.step(actions)
        for one, same in zip(own[:4], sync[:4], strict=True):
            np.testing.assert_array_equal(one, same)
        ends += int(own[2].sum())
        is_ended = mode is AutoresetMode.SAME_STEP and own[2].any()
        if not is_ended:  # where sales end, top-level facts of our env are of the tick, not only of other rows
            assert_same_infos(own[4], sync[4])
        assert ("final_info" in own[4]) == is_ended
        if is_ended:
            for name in ("final_obs", "_final_obs", "final_info", "_final_info", "action_mask", "_action_mask"):
                assert_same_infos({name: own[4][name]}, {name: sync[4][name]})
    assert ends >= 6


def test_without_autoreset_sales_are_opened_by_a_mask_of_rows() -> None:
    ours = vector_env(autoreset_mode="Disabled")
    ours.reset(seed=7)
    theirs = vector_env()
    theirs.reset(seed=7)
    for actions in orders(small(), SEEDS, TICKS):
        observation, reward, ended, _, _ = ours.step(actions)
        same, gain, closed, _, info = theirs.step(actions)
        np.testing.assert_array_equal(reward, gain)
        if closed.any():
            np.testing.assert_array_equal(observation[closed], np.stack(list(info["final_obs"][closed])))
            with pytest.raises(InputError, match=r"sale \d has ended; open it with reset"):
                ours.step(actions)
            observation, _ = ours.reset(options={"reset_mask": ended})
        np.testing.assert_array_equal(observation, same)


def test_a_mask_of_rows_opens_these_alone_with_their_seeds() -> None:
    envs = vector_env()
    envs.reset(seed=7)
    actions = orders(small(), SEEDS, 3)
    before = envs.step(actions[0])[0]
    mask = np.array([False, True, False])
    after, _ = envs.reset(seed=[1, 2, 3], options={"reset_mask": mask})
    np.testing.assert_array_equal(after[~mask], before[~mask])
    np.testing.assert_array_equal(after[mask], vector_env().reset(seed=[1, 2, 3])[0][mask])
    assert envs.sales.batch.rows(envs.sales.batch.seed).tolist() == [7, 2, 9]
    for wrong in (np.zeros(3, np.bool_), np.ones(2, np.bool_), np.ones(3), [True] * 3):
        with pytest.raises(InputError, match=r"reset_mask: expected a bool array \(3,\)"):
            envs.reset(options={"reset_mask": wrong})
    with pytest.raises(InputError, match="the first reset opens all sales"):
        vector_env().reset(options={"reset_mask": mask})


def test_gymnasiums_vector_wrappers_work_over_make_vec() -> None:
    def make(mode: str) -> Any:
        return gymnasium.make_vec("flashsim/FlashSale-v0", num_envs=3, scenario="g1", autoreset_mode=mode)

    for mode in ("NextStep", "SAME_STEP"):
        envs = RecordEpisodeStatistics(ClipReward(NormalizeReward(make(mode)), -10.0, 10.0))
        plain = RecordEpisodeStatistics(make(mode))
        returns = []
        for wrapped in (envs, plain):
            wrapped.reset(seed=1)
            for _ in range(60):
                *_, info = wrapped.step(np.full((3, 1), 2))
                if "episode" in info:
                    assert set(info["episode"]["l"][info["_episode"]]) == {24}
            assert wrapped.episode_count == 6
            returns.append(list(wrapped.return_queue))
        assert min(returns[1]) > 500.0
    normal = NormalizeObservation(FlattenObservation(make("NEXT_STEP")))
    seen = [normal.reset(seed=1)[0], *(normal.step(np.full((3, 1), 2))[0] for _ in range(60))]
    assert np.isfinite(seen).all()
    with pytest.raises(ValueError, match="NEXT_STEP"):
        NormalizeObservation(make("SAME_STEP"))
    listed = DictInfoToList(make("SAME_STEP"))
    assert [info["action_mask"].shape for info in listed.reset(seed=1)[1]] == [(6,)] * 3
    for _ in range(24):
        infos: Any = listed.step(np.full((3, 1), 2))[4]
    assert infos[1]["final_info"]["ledger"]["is_closed"]
    assert set(infos[1]["cost"]) == {"latency_p95_s", "error_share"}
    with pytest.raises(InputError, match="autoreset_mode: expected one of NEXT_STEP, SAME_STEP, DISABLED, got 'never'"):
        make("never")


def test_the_ledger_of_the_tick_is_in_the_infos_of_all_views_and_stays_as_it_was() -> None:
    vector, sb3 = vector_env(), make_sb3(small(), num_envs=3, seed=7, action=EVERY_ORDER)
    single = FlashSaleEnv(small(), action=EVERY_ORDER)
    vector.reset(seed=7)
    sb3.reset()
    single.reset(seed=8)
    kept: list[tuple[Any, dict[str, Any]]] = []
    for actions in orders(small(), SEEDS, TICKS):
        ledger = vector.step(actions)[4]["ledger"]
        infos = sb3.step(actions)[3]
        *_, ended, _, info = single.step(actions[1])
        facts = {name: vector.sales.batch.rows(field) for name, field in vector.sales.batch.ledger._asdict().items()}
        assert list(ledger) == list(Ledger._fields) == list(infos[0]["ledger"]) == list(info["ledger"])
        for name in Ledger._fields:
            if name != "is_closed":  # in the engine's a new sale is open already
                np.testing.assert_array_equal(ledger[name], facts[name])
            np.testing.assert_array_equal(ledger[f"_{name}"], [True] * 3)
            np.testing.assert_array_equal([own["ledger"][name] for own in infos], ledger[name])
            np.testing.assert_array_equal(info["ledger"][name], ledger[name][1])
            assert isinstance(info["ledger"][name], np.ndarray) == (name in PRODUCT_FIELDS)
        kept.append((info, {name: np.array(value) for name, value in info["ledger"].items()}))
        assert info["ledger"]["is_closed"] is ended
        if ended:
            single.reset()
    for info, values in kept:
        for name, value in values.items():
            np.testing.assert_array_equal(info["ledger"][name], value)


def test_a_ledger_that_nobody_has_read_yet_is_that_of_its_own_tick() -> None:
    actions = orders(small(), SEEDS, 4)
    infos = []
    for _ in range(2):
        envs = vector_env()
        envs.reset(seed=7)
        infos.append([envs.step(taken)[4]["ledger"] for taken in actions])
    envs.reset(seed=7)
    for late, other, taken in zip(*infos, actions, strict=True):
        now = envs.step(taken)[4]["ledger"]
        for copy in (late, deepcopy(other), pickle.loads(pickle.dumps(other)), other.copy(), dict(other)):
            assert len(copy) == len(Ledger._fields)
            np.testing.assert_array_equal(copy["requests"], now["requests"])
        assert "requests" in other
        assert "_requests" not in other
        assert pickle.loads(pickle.dumps(other))["_requests"].all()
    with pytest.raises(KeyError):
        now["_nothing"]


def test_a_copied_env_writes_its_own_ledger() -> None:
    env = FlashSaleEnv(small(), action=EVERY_ORDER)
    env.reset(seed=4)
    path = orders(small(), [4], 6)[:, 0]
    env.step(path[0])
    other = deepcopy(env)
    for tick in range(1, 4):
        one, same = env.step(path[tick])[4], other.step(path[tick])[4]
        assert one["ledger"]["served"] == same["ledger"]["served"] == env.sales.batch.ledger.served[0, 0]
    assert repr(one["ledger"]) == repr(dict(same["ledger"]))


def test_a_reward_scale_divides_the_reward_of_all_views() -> None:
    scaled, plain = vector_env(reward_scale=8.0), vector_env()
    sb3 = make_sb3(small(), num_envs=3, seed=7, action=EVERY_ORDER, reward_scale=8.0)
    single = FlashSaleEnv(small(), action=EVERY_ORDER, reward_scale=8.0)
    for env in (scaled, plain):
        env.reset(seed=7)
    sb3.reset()
    single.reset(seed=7)
    for actions in orders(small(), SEEDS, 5):
        reward = plain.step(actions)[1] / 8.0
        np.testing.assert_array_equal(scaled.step(actions)[1], reward)
        np.testing.assert_array_equal(sb3.step(actions)[1], reward.astype(np.float32))
        assert single.step(actions[0])[1] == reward[0]
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match=f"reward_scale must be above 0, got {wrong!r}"):
            FlashSaleEnv(small(), reward_scale=wrong)
        with pytest.raises(InputError, match="reward_scale must be above 0"):
            vector_env(reward_scale=wrong)


def test_maskable_algorithms_find_the_masks_of_all_views() -> None:
    single = gymnasium.make("flashsim/FlashSale-v0", scenario=small(), action=EVERY_ORDER)
    info = single.reset(seed=7)[1]
    assert is_masking_supported(single)
    np.testing.assert_array_equal(get_action_masks(single), info["action_mask"])
    native = make_sb3(small(), num_envs=2, seed=7, action=EVERY_ORDER)
    dummy = DummyVecEnv([lambda: FlashSaleEnv(small(), action=EVERY_ORDER)] * 2)
    dummy.seed(7)
    for envs in (native, dummy):
        envs.reset()
        assert is_masking_supported(envs)
        masks = [method() for method in envs.get_attr("action_masks")]
        np.testing.assert_array_equal(get_action_masks(envs), masks)
    np.testing.assert_array_equal(get_action_masks(native), get_action_masks(dummy))
    with pytest.raises(AttributeError):
        native.get_attr("nothing")


def test_every_named_sale_has_an_id_with_its_length() -> None:
    assert list(flashsim._TICKS) == list(IDS)
    for name, sale_id in IDS.items():
        spec = gymnasium.spec(sale_id)
        env = spec.make()
        sale = env.unwrapped.sales.sale  # type: ignore[attr-defined]
        assert (sale.name, sale.all_ticks) == (name, flashsim._TICKS[name])
        assert spec.max_episode_steps == sale.all_ticks + 1


@pytest.mark.parametrize("name", list(IDS))
def test_both_libraries_accept_every_id(name: str) -> None:
    env = gymnasium.make(IDS[name])
    check_env(env.unwrapped, skip_render_check=True)
    check_sb3_env(env.unwrapped, warn=True)


@pytest.mark.parametrize("name", ["seckill", "g1", "j1_lag2"])
def test_a_sale_ends_with_its_last_tick_and_is_never_truncated(name: str) -> None:
    env, envs = gymnasium.make(IDS[name]), gymnasium.make_vec(IDS[name], num_envs=2)
    env.action_space.seed(1)
    envs.action_space.seed(1)
    env.reset(seed=1)
    envs.reset(seed=1)
    for tick in range(flashsim._TICKS[name]):
        is_last = tick + 1 == flashsim._TICKS[name]
        assert env.step(env.action_space.sample())[2:4] == (is_last, False)
        *_, terminated, truncated, _ = envs.step(envs.action_space.sample())
        assert (terminated.tolist(), truncated.tolist()) == ([is_last] * 2, [False] * 2)


def test_a_limit_on_steps_truncates_a_sale_that_goes_on() -> None:
    envs = gymnasium.make_vec("flashsim/G1-v0", num_envs=2, max_episode_steps=10)
    env = gymnasium.make("flashsim/G1-v0", max_episode_steps=10)
    first, _ = envs.reset(seed=1)
    env.reset(seed=1)
    for step in range(1, 21):
        observation, _, terminated, truncated, info = envs.step(np.full((2, 1), 2))
        seen, _, ended, cut, _ = env.step([2])
        assert (terminated.any(), ended) == (False, False)
        assert truncated.tolist() == [step % 10 == 0] * 2
        assert cut == (step % 10 == 0)
        np.testing.assert_array_equal(info["final_obs"][0] if cut else observation[0], seen)
        if cut:
            np.testing.assert_array_equal(observation[0], env.reset()[0])
    assert first.shape == observation.shape


def test_an_id_of_one_sale_plays_no_other() -> None:
    for make in (gymnasium.make, gymnasium.make_vec):
        with pytest.raises(
            InputError, match="this id plays 'seckill'; make flashsim/FlashSale-v0 to play another sale"
        ):
            make(IDS["seckill"], scenario="g1")


def test_a_sale_is_named_by_text(tmp_path: Path) -> None:
    write_scenario(tmp_path / "mine.yaml", grocery_evening(shipped_world(), name="mine", ticks=90, waves=((0, 1.0),)))
    (tmp_path / "table.json").write_text('{"rates": [[0.5, 1.0]], "prices": [10.0, 8.0], "stock": 1}', encoding="utf-8")
    for text, name in [("g1", "g1"), (str(tmp_path / "mine.yaml"), "mine"), (str(tmp_path / "table.json"), "table")]:
        env: Any = gymnasium.make("flashsim/FlashSale-v0", scenario=text)
        assert env.unwrapped.sales.sale.name == name
        again: Any = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
        assert again.unwrapped.sales.sale.name == name
    with pytest.raises(InputError, match=r"unknown name 'j1_lag'; did you mean 'j1_lag[12]'\? Known: clearance"):
        gymnasium.make("flashsim/FlashSale-v0", scenario="j1_lag")
    with pytest.raises(InputError, match=r"unknown name 'zebra'\. Known: clearance"):
        gymnasium.make("flashsim/FlashSale-v0", scenario="zebra")
    with pytest.raises(InputError, match=r"nothing\.yaml: cannot be read"):
        gymnasium.make("flashsim/FlashSale-v0", scenario=str(tmp_path / "nothing.yaml"))


def test_a_spec_goes_through_json_with_its_configs() -> None:
    config = ActionConfig(per_product=False, timing=("hold", "push"))
    env: Any = gymnasium.make("flashsim/Clearance-v0", action=config, reward={"penalty": -2.0}, reward_scale=3.0)
    again: Any = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.spec == env.spec or json.loads(again.spec.to_json()) == json.loads(env.spec.to_json())
    assert again.unwrapped.sales.codec.config == config
    np.testing.assert_array_equal(again.reset(seed=1)[0], env.reset(seed=1)[0])
    action = env.action_space.sample()
    assert again.step(action)[1] == env.step(action)[1]
    envs: Any = gymnasium.make_vec("flashsim/G1-v0", num_envs=2, autoreset_mode=AutoresetMode.NEXT_STEP)
    assert gymnasium.make_vec(EnvSpec.from_json(envs.spec.to_json())).metadata == envs.metadata
    with pytest.raises(InputError, match=r"action\.per_produkt"):
        gymnasium.make("flashsim/G1-v0", action={"per_produkt": False})
    with pytest.raises(InputError, match="action: expected ActionConfig or a mapping of its fields, got 5"):
        gymnasium.make("flashsim/G1-v0", action=5)


@pytest.mark.parametrize("make", [g1, small, lambda: scenario_named("seckill", shipped_world())])
def test_a_spec_with_a_scenario_object_is_refused_as_json(make: Callable[[], Any]) -> None:
    sale = make()
    env: Any = gymnasium.make("flashsim/FlashSale-v0", scenario=sale)
    with pytest.raises(InputError, match=rf"scenario is a {type(sale).__name__}, which is not JSON; give the name"):
        env.spec.to_json()


def test_what_a_view_does_not_know_is_refused_with_a_sentence() -> None:
    single, sb3 = FlashSaleEnv(small()), make_sb3(small(), num_envs=2)
    vector = FlashSaleVectorEnv(small(), num_envs=2)
    sb3.set_options({"depth": 1})
    for reset in (lambda: single.reset(options={"depth": 1}), sb3.reset):
        with pytest.raises(InputError, match="reset: unknown option 'depth'; there are none"):
            reset()
    with pytest.raises(InputError, match="reset: unknown option 'depth'; known: reset_mask"):
        vector.reset(options={"depth": 1})
    unopened: list[Any] = [single, vector, make_sb3(small(), num_envs=2)]
    for env in unopened:
        with pytest.raises(InputError, match="step: no sale is open; call reset first"):
            env.step(env.action_space.sample())
    single.reset(seed=1, options={})
