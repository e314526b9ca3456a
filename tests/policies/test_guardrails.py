"""Guard-rails: no order breaks them whatever the network prefers, they are counted, and masks are those of the sale."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch
from flashsim.errors import InputError
from flashsim.evaluation.limits.exact import exact_value
from flashsim.evaluation.rollout import check_policy, play
from flashsim.policies.bundle import NetworkPolicy, load_policy, save_policy
from flashsim.reference import j1, solve
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.inventory import StockParams
from flashsim.sim.servers import ServerParams
from flashsim.sim.traffic import TrafficParams
from tests.made_policies import random_network, random_observations
from tests.worlds import make_scenario, make_world


def sale_with(most: int) -> CompiledSale:
    """A sale in which all there is can be ordered, with ``most`` servers."""
    return make_scenario(
        make_world(products=2),
        servers=ServerParams(start_servers=6, max_servers=most),
        traffic=TrafficParams(push_budget=2),
        carts=StockParams(lots=2),
    ).compile()


SALE = sale_with(12)
KINDS = {
    "heads": ActionConfig(),
    "one for all": ActionConfig(per_product=False),
    "flat": ActionConfig(flat=True, per_product=False),
    "around": ActionConfig(around_run_out=2),
    "around, one for all": ActionConfig(around_run_out=2, per_product=False, flat=True),
    "targets": ActionConfig(around_run_out=2, scaler_targets=(0.5, 0.9), every=5),
    "planned": ActionConfig(
        around_run_out=2,
        opening_ticks=3,
        timing=("planned", "hold", "push", "reorder"),
        planned_calls=("push", "reorder"),
        scaler_targets=(0.5, 0.9),
        scaler="scheduled",
        every=5,
    ),
}
SEEN = random_observations(SALE, 2_000)


def ordered(sale: CompiledSale, seen: NDArray[np.float32]) -> NDArray[np.int64]:
    """Servers last ordered, (sale,)."""
    column = ActionCodec(sale, ActionConfig()).dashboard.columns["servers_ordered"]
    return np.rint(seen[:, column] * sale.tables.servers.max_servers).astype(np.int64)


def railed(kind: str, **limits: float) -> NetworkPolicy:
    return random_network(SALE, action=replace(KINDS[kind], **limits))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_no_order_breaks_the_guard_rails(kind: str) -> None:
    policy = railed(kind, max_discount=0.25, min_servers=5)
    codec = ActionCodec(SALE, ActionConfig(**policy.action))
    orders = codec.decode(codec.check(policy.act(SEEN), len(SEEN)), SEEN)
    depth = np.take_along_axis(SALE.depths[None], orders.price_index[..., None], axis=2)
    assert depth.max() <= 0.25
    assert depth.max() > 0.0
    had = ordered(SALE, SEEN)
    assert (had + orders.change >= np.minimum(5, had + max(SALE.server_changes))).all()
    assert np.isin(orders.change, SALE.server_changes).all()
    free = railed(kind)
    codec = ActionCodec(SALE, ActionConfig(**free.action))
    orders = codec.decode(codec.check(free.act(SEEN), len(SEEN)), SEEN)
    assert np.take_along_axis(SALE.depths[None], orders.price_index[..., None], axis=2).max() > 0.25


@pytest.mark.parametrize("kind", ["heads", "one for all", "flat", "around", "around, one for all"])
def test_a_guard_rail_that_acts_is_counted(kind: str) -> None:
    policy, free = railed(kind, max_discount=0.25, min_servers=5), railed(kind)
    decided = policy.decide(SEEN)
    differs = (decided.actions != free.act(SEEN)).reshape(len(SEEN), -1).any(axis=1)
    np.testing.assert_array_equal(decided.is_guarded, differs)
    assert 0.0 < decided.is_guarded.mean() < 1.0
    assert not free.decide(SEEN).is_guarded.any()


@pytest.mark.parametrize("kind", ["targets", "planned"])
def test_a_policy_that_steers_is_never_ruled_out_and_plays_what_it_learned(kind: str) -> None:
    """Its orders are cut product by product where they are decoded: in play as in training."""
    policy, free = railed(kind, max_discount=0.25, min_servers=5), railed(kind)
    np.testing.assert_array_equal(policy.act(SEEN), free.act(SEEN))
    cut, whole = (
        ActionCodec(SALE, ActionConfig(**one.action)).decode(one.act(SEEN), SEEN).price_index for one in (policy, free)
    )
    deepest = int((SALE.depths[0] <= 0.25).sum()) - 1
    np.testing.assert_array_equal(cut, np.minimum(whole, deepest))
    assert (cut != whole).any()


def test_guard_rails_of_a_sale_with_other_servers_are_refused() -> None:
    more = sale_with(24)
    with pytest.raises(InputError, match=r"guard-rails with level_range \(1, 12\), the sale .* needs \(1, 24\)"):
        check_policy(more, railed("heads", min_servers=5))
    check_policy(more, railed("heads"))


def test_the_choice_of_a_network_that_keeps_to_them_is_its_own() -> None:
    """Of all allowed choices that of largest score, head by head."""
    policy = railed("heads", max_discount=0.25)
    scores = policy.outputs(SEEN)
    allowed = int((SALE.depths[0] <= 0.25).sum())
    np.testing.assert_array_equal(policy.act(SEEN)[:, 0], scores[:, :allowed].argmax(axis=1))


@pytest.mark.parametrize("kind", ["heads", "one for all", "flat", "targets"])
def test_masks_follow_from_what_is_observed(kind: str) -> None:
    """Along whole sales: what a masked policy may choose is what the sale says is feasible."""
    action = KINDS[kind]
    policy = random_network(SALE, action=action, is_masked=True)
    batch = SaleBatch(SALE, 32, action=action, reward=RewardConfig(), domain=0)
    batch.seed(np.arange(32, dtype=np.uint64))
    observation = batch.observe()
    columns = {name: place for place, name in enumerate(policy.observation)}
    rng = np.random.default_rng(0)
    infeasible = 0
    for _ in range(SALE.ticks // action.every):
        masks = batch.masks()
        infeasible += int((~masks).sum())
        if not action.flat:
            shown = {name: observation[:, column].astype(np.float64) for name, column in columns.items()}
            np.testing.assert_array_equal(policy.rails.feasible(shown.__getitem__, len(observation)), masks)
        chosen = policy.act(observation)
        starts = [0] if action.flat else np.cumsum([0, *policy.head_sizes[:-1]])
        assert np.take_along_axis(masks, chosen.reshape(len(chosen), -1) + np.array(starts), axis=1).all()
        batch.step(rng.integers(policy.head_sizes, size=(32, len(policy.head_sizes))).squeeze())
        observation = batch.seen()
    assert infeasible > 0


def test_a_sale_played_on_rails_shows_it(tmp_path: Path) -> None:
    """Loaded from disk; a sale that starts below the minimum is brought up at once."""
    sale = make_scenario(make_world(products=2), servers=ServerParams(start_servers=3, max_servers=12, lag=0)).compile()
    policy = random_network(sale, action=ActionConfig(max_discount=0.2, min_servers=6))
    save_policy(policy, tmp_path / "bundle", probes=random_observations(sale, 16))
    loaded = load_policy(tmp_path / "bundle")
    assert loaded.rails == policy.rails
    assert (loaded.action["max_discount"], loaded.action["min_servers"]) == (0.2, 6)
    profile = play(sale, loaded, sales=32, seed=0).profile
    assert profile["depth"].max() <= 0.2
    assert profile["servers_online"].min() >= 6.0


def test_a_joint_sale_is_brought_up_to_its_rails_one_step_a_period() -> None:
    """It starts with one server, and its menu of changes holds no step of two."""
    sale = j1()
    value = exact_value(sale, random_network(sale.compile(), action=ActionConfig(min_servers=3)))
    assert -np.inf < value < solve(sale).value


def test_rails_that_no_sale_can_keep_to_are_refused() -> None:
    deep = replace(SALE, depths=SALE.depths + 0.1)
    with pytest.raises(InputError, match=r"max_discount: 'small_sale' has no discount of at most 0\.05; raise it"):
        ActionCodec(deep, ActionConfig(max_discount=0.05))
    with pytest.raises(InputError, match="min_servers: 'small_sale' has at most 12 servers, got 13; lower it"):
        ActionCodec(SALE, ActionConfig(min_servers=13))
    with pytest.raises(InputError, match="max_discount must be between 0 and 1"):
        ActionConfig(max_discount=1.5)


@pytest.mark.parametrize(
    ("column", "change"),
    [
        (0, {"choices": 5}),
        (0, {"choices": 0}),
        (0, {"values": (0.1,)}),
        (0, {"values": (True,) * 6}),
        (0, {"values": (float("nan"),) * 6}),
        (0, {"most": ""}),
        (0, {"most": "no_such_limit"}),
        (0, {"most": 5}),
        (0, {"least": "min_servers"}),
        (0, {"level": "servers_ordered"}),
        (3, {"level": ""}),
        (3, {"changes": (1,)}),
        (3, {"level_range": (1,)}),
        (2, {"spent": {"pushes_left": 99}}),
    ],
)
def test_rails_that_do_not_fit_are_refused(column: int, change: dict[str, object]) -> None:
    with pytest.raises(InputError, match="rails: "):
        with_column(railed("heads"), column, **change)


def test_rails_of_another_number_of_columns_or_that_read_what_is_not_seen_are_refused() -> None:
    policy = railed("heads")
    with pytest.raises(InputError, match=r"rails: expected heads of \(6, 6, 4, 5\) choices, got \(6, 6, 4\)"):
        replace(policy, rails=replace(policy.rails, columns=policy.rails.columns[:-1]))
    with pytest.raises(InputError, match="rails: need the feature 'waves_coming', which the policy does not see"):
        with_column(policy, 2, spent={"waves_coming": 0})


def with_column(policy: NetworkPolicy, column: int, **change: object) -> NetworkPolicy:
    """The policy with other rails of one column."""
    columns = list(policy.rails.columns)
    columns[column] = replace(columns[column], **change)  # type: ignore[arg-type]
    return replace(policy, rails=replace(policy.rails, columns=tuple(columns)))
