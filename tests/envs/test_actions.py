"""Actions outside the space are refused; what cannot be done now is projected and counted, and masks say which."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from flashsim.envs.actions import ActionCodec, ActionConfig
from flashsim.envs.calls import NEARLY_SOLD_OUT
from flashsim.envs.reward import RewardConfig
from flashsim.envs.sb3 import make_sb3
from flashsim.envs.single import FlashSaleEnv
from flashsim.envs.vector import FlashSaleVectorEnv, SaleBatch
from flashsim.errors import InputError
from flashsim.reference import g1
from flashsim.scenarios import Scenario
from flashsim.sim.inventory import StockParams
from flashsim.sim.servers import ServerParams
from flashsim.sim.state import CLOSE, HOLD, PUSH, RELEASE, REORDER, Decisions
from flashsim.sim.traffic import TrafficParams
from flashsim.sim.waiting_room import OPEN
from tests.envs.played import EVERY_ORDER
from tests.random_sales import SEEDS, random_actions, scenarios
from tests.worlds import make_scenario, make_world

SALES = 12


def make_sales(scenario: Scenario | None = None, action: ActionConfig = EVERY_ORDER, sales: int = SALES) -> SaleBatch:
    batch = SaleBatch((scenario or make_scenario()).compile(), sales, action=action, reward=RewardConfig(), domain=0)
    batch.seed(np.arange(sales, dtype=np.uint64))
    batch.observe()
    return batch


def projected(sales: SaleBatch) -> NDArray[np.float64]:
    return sales.batch.rows(sales.batch.ledger.projected)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ([0, 0, 0, 0], r"expected shape \(1, 5\), got \(1, 4\)"),
        ([[0, 0, 0, 0, 0]], r"expected shape \(1, 5\), got \(1, 1, 5\)"),
        (0, r"expected shape \(1, 5\), got \(1,\)"),
        ([0, 0, 0, 0, float("nan")], "expected whole numbers, got float64"),
        ([0.0] * 5, "expected whole numbers, got float64 such as .*0.0"),
        ([True] * 5, "expected whole numbers, got bool"),
        (["a"] * 5, "expected whole numbers"),
        ([0, 0, 6, 0, 0], r"expected numbers from 0 to \[5, 5, 5, 2, 4\], got 6"),
        ([-1, 0, 0, 0, 0], "expected numbers from 0 to .*, got -1"),
        ([0, 0, 0, 3, 0], "expected numbers from 0 to .*, got 3"),
    ],
)
def test_an_action_outside_the_space_is_refused_with_the_value(action: Any, words: str) -> None:
    env = FlashSaleEnv(make_scenario())
    before = env.reset(seed=1)[0]
    with pytest.raises(InputError, match=words):
        env.step(action)
    np.testing.assert_array_equal(env.sales.observe()[0], before)


def test_the_vector_and_sb3_views_refuse_alike() -> None:
    vector, sb3 = FlashSaleVectorEnv(make_scenario(), num_envs=2), make_sb3(make_scenario(), num_envs=2)
    vector.reset(seed=1)
    sb3.reset()
    for env in (vector, sb3):
        with pytest.raises(InputError, match=r"got 9"):
            env.step(np.array([[0, 0, 0, 0, 0], [0, 9, 0, 0, 0]]))
        with pytest.raises(InputError, match=r"expected shape \(2, 5\), got \(5,\)"):
            env.step(np.zeros(5, np.int64))


def test_a_flat_action_is_a_number_of_its_menu() -> None:
    env = FlashSaleEnv(make_scenario(), action=ActionConfig(per_product=False, flat=True))
    env.reset(seed=1)
    assert env.action_space.n == 6 * 3 * 5  # type: ignore[attr-defined]
    for action in (90, -1):
        with pytest.raises(InputError, match=f"expected numbers from 0 to 89, got {action}"):
            env.step(action)
    env.step(89)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"heads": ()}, "action heads: expected different names, at least one"),
        ({"heads": ("price",)}, "action heads: unknown 'price'; choose from discount, timing, capacity"),
        ({"heads": ("timing", "timing")}, "action heads: expected different names"),
        ({"timing": ("hold", "wait")}, "action timing: unknown 'wait'"),
        ({"timing": ()}, "action timing: expected different names"),
        ({"around_run_out": -1}, "around_run_out must be .*, got -1"),
        ({"around_run_out": 1.5}, "around_run_out must be .*, got 1.5"),
        ({"scaler": "magic"}, "action scaler: unknown 'magic'; choose from tracking, scheduled"),
        ({"planned_calls": ("hold",)}, "action planned_calls: unknown 'hold'; choose from push, reorder, release"),
        ({"planned_calls": ("push", "push")}, "action planned_calls: expected different names"),
        ({"opening_ticks": -1}, "opening_ticks must be"),
        ({"scaler_targets": (0.0,)}, "scaler_targets must be above 0 and at most 2, got 0"),
        ({"scaler_targets": (float("nan"),)}, "scaler_targets must be above 0 and at most 2, got nan"),
        ({"every": 0}, "every must be .*, got 0"),
        ({"every": 2.5}, "every must be .*, got 2.5"),
        ({"every": 2, "timing": ("hold", "close")}, "every: .*close"),
    ],
)
def test_an_impossible_choice_of_actions_is_refused_with_the_value(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ActionConfig(**changes)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (ActionConfig(flat=True, heads=("discount",), per_product=True), None),
        (ActionConfig(flat=True), None),
        (ActionConfig(every=3), "3 ticks do not divide the 20 ticks"),
    ],
)
def test_a_choice_that_does_not_fit_the_plan_is_refused(config: ActionConfig, words: str | None) -> None:
    if words is None:
        assert ActionCodec(make_scenario().compile(), config).space is not None
        return
    with pytest.raises(InputError, match=words):
        ActionCodec(make_scenario().compile(), config)


def test_a_flat_menu_that_is_too_large_is_refused() -> None:
    sale = make_scenario(depths=tuple(np.linspace(0.0, 0.5, 24))).compile()
    with pytest.raises(InputError, match="a flat menu would hold 207360 actions, more than 10000"):
        ActionCodec(sale, ActionConfig(flat=True))


def test_what_can_never_happen_is_left_out_of_the_space() -> None:
    sale = make_scenario(waves=((0, 1.0),), traffic=TrafficParams(push_budget=0), server_changes=(0,)).compile()
    assert ActionCodec(sale, ActionConfig()).sizes.tolist() == [6, 6, 6]
    assert ActionCodec(sale, ActionConfig(per_product=False)).sizes.tolist() == [6]
    assert ActionCodec(g1().compile(), ActionConfig()).sizes.tolist() == [6]
    with pytest.raises(InputError, match="leave nothing to decide"):
        ActionCodec(sale, ActionConfig(heads=("timing", "capacity")))


@given(scenario=scenarios(), seed=SEEDS)
@settings(max_examples=40)
def test_an_order_is_projected_just_when_its_mask_says_so(scenario: Scenario, seed: int) -> None:
    """Random orders through whole sales: the ledger counts each head whose choice the mask had excluded."""
    sales = make_sales(scenario)
    sizes, generator = sales.codec.sizes, np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    for _ in range(scenario.ticks):
        actions = random_actions(sizes, SALES, generator)
        masks = sales.masks()
        infeasible = ~np.take_along_axis(masks, starts + actions, axis=1)
        _, closed = sales.step(actions)
        np.testing.assert_array_equal(projected(sales), infeasible.sum(axis=1))
        sales.open(closed)


@given(scenario=scenarios(), seed=SEEDS)
@settings(max_examples=20)
def test_the_mask_of_a_flat_action_is_that_of_its_heads(scenario: Scenario, seed: int) -> None:
    heads = ("timing", "capacity")
    config = {"heads": heads, "timing": ("hold", "release", "push", "close")}
    flat, multi = (make_sales(scenario, ActionConfig(flat=flag, **config)) for flag in (True, False))  # type: ignore[arg-type]
    sizes, generator = multi.codec.sizes, np.random.default_rng(seed)
    parts = np.split(np.arange(sizes.sum()), np.cumsum(sizes)[:-1])
    for _ in range(min(5, scenario.ticks)):
        masks = multi.masks()
        expected = np.ones((SALES, 1), np.bool_)
        for part in parts:
            expected = (expected[:, :, None] & masks[:, None, part]).reshape(SALES, -1)
        np.testing.assert_array_equal(flat.masks(), expected)
        actions = random_actions(sizes, SALES, generator)
        both = [multi.step(actions), flat.step(np.ravel_multi_index(tuple(actions.T), tuple(sizes)))]
        np.testing.assert_array_equal(both[0][0], both[1][0])
        multi.open(both[0][1])
        flat.open(both[1][1])


def test_too_many_servers_are_projected_to_the_most_there_can_be() -> None:
    servers = ServerParams(start_servers=11, max_servers=12, min_servers=2, lag=0)
    sales = make_sales(make_scenario(servers=servers), ActionConfig(heads=("capacity",)))
    for action, level in ((4, 12), (0, 8), (0, 4), (0, 2)):
        sales.step(np.full((SALES, 1), action))
        assert set(sales.batch.rows(sales.batch.ledger.servers)) == {level}


def test_servers_come_into_force_after_their_lag() -> None:
    servers = ServerParams(start_servers=5, max_servers=12, lag=3, pays_while_booting=True)
    sales = make_sales(make_scenario(servers=servers), ActionConfig(heads=("capacity",)))
    in_force, billed = [], []
    for action in (3, 2, 2, 1, 2, 2, 2):
        sales.step(np.full((SALES, 1), action))
        in_force.append(int(sales.batch.rows(sales.batch.ledger.servers)[0]))
        billed.append(int(sales.batch.rows(sales.batch.ledger.servers_billed)[0]))
    assert in_force == [5, 5, 5, 6, 6, 6, 5]
    assert billed == [6, 6, 6, 6, 6, 6, 5]


ALL_HEADS: dict[str, Any] = {"carts": StockParams(lots=1), "admission_caps": (1.5, OPEN, 0.7)}


@pytest.mark.parametrize("is_flat", [False, True])
def test_decoding_undoes_encoding(is_flat: bool) -> None:
    config = ActionConfig(per_product=False, flat=True, timing=EVERY_ORDER.timing) if is_flat else EVERY_ORDER
    sales = make_sales(make_scenario(**ALL_HEADS), config)
    orders = sales.codec.defaults(SALES)._replace(
        price_index=np.arange(SALES)[:, None] % 6 * np.ones(3, np.int64),
        timing=np.array([HOLD, RELEASE, PUSH, REORDER] * 3),
        change=np.array([-4, -1, 0, 1, 4, 0] * 2),
        cap=np.array([1.5, OPEN, 0.7] * 4),
    )
    decoded = sales.codec.decode(sales.codec.check(sales.codec.encode(orders), SALES), sales.observe())
    for name, seen, expected in zip(Decisions._fields, decoded, orders, strict=True):
        np.testing.assert_array_equal(seen, expected, err_msg=name)


def test_heads_that_are_left_out_hold() -> None:
    config = ActionConfig(heads=("timing",), timing=("hold", "close"))
    orders = make_sales(make_scenario(**ALL_HEADS), config).codec.decode(np.array([[1]]), np.zeros((1, 1), np.float32))
    left_out = [orders.price_index.tolist(), orders.change.tolist(), orders.cap.tolist()]
    assert (orders.timing.tolist(), left_out) == ([CLOSE], [[[0, 0, 0]], [0], [1.5]])


def test_the_admission_head_sets_the_cap_and_is_always_feasible() -> None:
    """The first cap is the rule, so that people wait in the room unless the head lets all in."""
    crowd = make_scenario(
        make_world(population=30.0), servers=ServerParams(start_servers=2, max_servers=3), admission_caps=(0.5, OPEN)
    )
    sales = make_sales(crowd, ActionConfig(heads=("admission",)))
    assert sales.codec.sizes.tolist() == [2]
    assert sales.masks().all()
    choice = np.arange(SALES)[:, None] % 2
    for _ in range(4):
        sales.step(choice)
    room = sales.batch.rows(sales.batch.ledger.room)
    assert (room[choice[:, 0] == 0] > 0).all()
    assert not room[choice[:, 0] == 1].any()


def test_a_sale_with_one_cap_has_nothing_to_admit() -> None:
    with pytest.raises(InputError, match="leave nothing to decide"):
        ActionCodec(make_scenario(admission_caps=(0.5,)).compile(), ActionConfig(heads=("admission",)))


def test_a_lot_is_feasible_while_the_supplier_has_one() -> None:
    sales = make_sales(make_scenario(**ALL_HEADS), ActionConfig(heads=("timing",), timing=("hold", "reorder")))
    assert sales.masks().all()
    sales.step(np.ones((SALES, 1), np.int64))
    assert sales.masks().tolist() == [[True, False]] * SALES
    assert not projected(sales).any()
    sales.step(np.ones((SALES, 1), np.int64))
    assert (projected(sales) == 1.0).all()


def test_a_decision_that_stands_for_some_ticks_earns_their_sum() -> None:
    scenario = make_scenario()
    slow = make_sales(scenario, ActionConfig(every=4))
    fast = make_sales(scenario, ActionConfig())
    generator = np.random.default_rng(0)
    for _ in range(5):
        actions = random_actions(slow.codec.sizes, SALES, generator)
        reward, closed = slow.step(actions)
        total = np.zeros(SALES)
        for tick in range(4):
            given_now = actions.copy()
            if tick > 0:  # pushes, releases and changes of servers are orders, prices are states
                given_now[:, 3], given_now[:, 4] = 0, 2
            gained, ended = fast.step(given_now)
            total += gained
        np.testing.assert_allclose(reward, total, rtol=1e-12)
        np.testing.assert_array_equal(closed, ended)
    np.testing.assert_array_equal(slow.observe(), fast.observe())


def test_steps_around_the_run_out_price_follow_what_is_seen() -> None:
    scenario = make_scenario(stock_cover=4.0)
    sales = make_sales(scenario, ActionConfig(heads=("discount",), around_run_out=2))
    assert sales.codec.sizes.tolist() == [5, 5, 5]
    for _ in range(10):
        at = sales.codec.dashboard.run_out(sales.observe())
        sales.step(np.full((SALES, 3), 3))
        np.testing.assert_array_equal(sales.batch.rows(sales.batch.ledger.price_index), np.clip(at + 1, 0, 5))


def test_steps_are_from_list_price_until_the_opening_is_over() -> None:
    """Also where a decision stands for longer than that."""
    scenario = make_scenario(stock_cover=6.0)
    opening = ActionConfig(heads=("discount",), around_run_out=2, opening_ticks=3, per_product=False, every=5)
    sales = make_sales(scenario, opening)
    menus: list[Any] = []
    sales.listeners.append(lambda batch, _r, _c: menus.append(batch.batch.rows(batch.batch.ledger.price_index).copy()))
    at = sales.codec.dashboard.run_out(sales.observe())
    assert at.min() >= 1
    sales.step(np.full((SALES, 1), 2))
    assert (np.array(menus[:3]) == 0).all()
    assert (np.array(menus[3:5]) >= 1).all()
    fresh = make_sales(scenario, opening)
    encoded = fresh.codec.encode_steered(fresh.codec.defaults(SALES), fresh.observe(), target=0.5)
    assert (encoded[:, 0] == 2).all()  # list price is reached by every step down; the smallest is taken


@pytest.mark.parametrize(("first", "ordered"), [(0, [0, 1]), (1, [6, 7])])
def test_planned_calls_go_out_when_they_are_due_unless_they_are_held(first: int, ordered: list[int]) -> None:
    """The first of two pushes in the middle of the first half; two lots at the opening, or when no longer held and not
    in the tick of a push."""
    scenario = make_scenario(
        ticks=20, waves=((0, 1.0),), traffic=TrafficParams(push_budget=2), carts=StockParams(lots=2, lot_share=0.2)
    )
    config = ActionConfig(heads=("timing",), timing=("planned", "hold"), planned_calls=("push", "reorder"), every=5)
    sales = make_sales(scenario, config)
    pushes, lots = [], []

    def note(batch: SaleBatch, _reward: NDArray[np.float64], _closed: NDArray[np.bool_]) -> None:
        pushes.append(batch.batch.rows(batch.batch.ledger.pushes).copy())
        lots.append(batch.batch.rows(batch.batch.state.stock.lots_left).copy())

    sales.listeners.append(note)
    for decision in range(3):
        sales.observe()
        sales.step(np.full((SALES, 1), first if decision == 0 else 0))
    for row in range(SALES):
        assert np.flatnonzero([push[row] for push in pushes]).tolist() == [5]
        assert np.flatnonzero(-np.diff([2, *(left[row] for left in lots)])).tolist() == ordered


@pytest.mark.parametrize("calls", [(), ("release",)])
def test_a_wave_is_called_for_when_a_product_of_it_is_nearly_sold_out(calls: tuple[str, ...]) -> None:
    """And no sooner; a wave that nobody calls for comes when it is due."""
    scenario = make_scenario(ticks=20, stock_units=40, waves=((0, 0.1), (15, 0.4), (18, 0.5)))
    sales = make_sales(scenario, ActionConfig(heads=("discount",), timing=("planned", "hold"), planned_calls=calls))
    planned, released = sales.sale.tables.planned, []
    for tick in range(20):
        sales.observe()
        stock, rows = sales.batch.state.stock, sales.batch.rows
        left = rows(stock.next_wave) < 3
        short = (rows(stock.available) < NEARLY_SOLD_OUT * planned) & (rows(stock.unreleased) > 0)
        sales.step(np.full((SALES, 3), 3))
        early = rows(sales.batch.ledger.early_releases) > 0.0
        released.append(early)
        due = np.isin(tick, (0, 15, 18))
        assert not early[~short.any(axis=1) | ~left].any()
        if calls and not due:
            np.testing.assert_array_equal(early, short.any(axis=1) & left)
    assert np.any(released) == bool(calls)


def test_a_scaler_keeps_the_servers_near_its_target() -> None:
    scenario = make_scenario(servers=ServerParams(start_servers=10, max_servers=40), ticks=60, waves=((0, 1.0),))
    busy = []
    for target in (0.4, 0.8):
        sales = make_sales(scenario, ActionConfig(heads=("discount",), scaler_targets=(target,)), sales=200)
        use = []
        for _ in range(60):
            sales.observe()
            sales.step(np.zeros((200, 3), np.int64))
            use.append(sales.batch.rows(sales.batch.ledger.utilization).mean())
        busy.append(np.mean(use[10:]))
    assert busy[0] < 0.5 < busy[1] < 0.85


def test_reference_sales_have_no_scaler() -> None:
    with pytest.raises(InputError, match="scaler_targets: the reference sale 'g1'"):
        ActionCodec(g1().compile(), ActionConfig(scaler_targets=(0.5,)))
