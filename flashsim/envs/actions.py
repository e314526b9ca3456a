"""What an agent does: what its actions stand for, which are feasible, and the space of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from flashsim.envs.calls import CALLS, PlannedCalls
from flashsim.envs.dashboard import Dashboard
from flashsim.envs.features import observation_table
from flashsim.envs.scalers import MOST_UTILIZATION, SCALERS
from flashsim.errors import InputError
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.parameters import check_range, check_whole
from flashsim.sim.state import CLOSE, HOLD, PUSH, RELEASE, REORDER, Decisions

OPEN_DOORS = "open"  # an admission cap that is none, in JSON
HEADS = ("discount", "timing", "capacity", "admission")
PLANNED = -1  # stands for the call that is due
TIMING = {"hold": HOLD, "planned": PLANNED, "release": RELEASE, "push": PUSH, "reorder": REORDER, "close": CLOSE}


@dataclass(frozen=True)
class ActionConfig:
    """Which decisions an agent takes. Heads left out: list price, waves as planned, servers as they are or tracked, and
    the first of the sale's admission caps."""

    heads: tuple[str, ...] = HEADS
    """Any of discount, timing, capacity, admission."""
    per_product: bool = True
    """True: a depth for each product; False: one for all."""
    around_run_out: int = 0
    """0: the discount head names a price index. n > 0: it names a step from -n to n around each product's run-out
    index, the price at which by forecast and learned level the stock lasts just to the end (``product_…_run_out``)."""
    opening_ticks: int = 0
    """Ticks from the opening in which such steps are from list price instead, while the servers ordered then boot."""
    scaler_targets: tuple[float, ...] = ()
    """(): the capacity head names a change of servers. Else it names the utilization, one of these, at which the scaler
    aims."""
    scaler: str = "tracking"
    """Which scaler aims at them: tracking, which follows what is seen, or scheduled, which plans by the forecast."""
    timing: tuple[str, ...] = ("hold", "release", "push", "reorder")
    """What the timing head can order: hold, release the next wave, push, reorder a lot from the supplier, close; and
    planned, the call that is due of those in ``planned_calls``."""
    planned_calls: tuple[str, ...] = ()
    """Any of push, in the middle of equal parts of the sale, reorder, for all lots at the opening, and release, for
    waves when a product is nearly sold out."""
    every: int = 1
    """Ticks for which a decision stands. Pushes, releases and changes of servers happen in the first of them; prices
    around the run-out price, servers at a target and planned calls follow what is seen each tick."""
    flat: bool = False
    """True: one Discrete over all combinations (for DQN, with per_product=False); False: MultiDiscrete."""
    max_discount: float = 1.0
    """Guard-rail, share: deeper discounts are cut to the deepest of the menu that it allows."""
    min_servers: int = 0
    """Guard-rail: orders never bring the servers below it, and up to it as fast as the menu of changes goes; 0: the
    minimum of the sale alone."""

    def __post_init__(self) -> None:
        check_whole("action around_run_out", self.around_run_out, 0, 100)
        check_whole("action opening_ticks", self.opening_ticks, 0, 100_000)
        check_whole("action every", self.every, 1, 100_000)
        check_range("action max_discount", self.max_discount, 0.0, 1.0)
        check_whole("action min_servers", self.min_servers, 0, 10**9)
        if self.every > 1 and "close" in self.timing:
            raise InputError(f"action every: a decision that can close the sale stands for 1 tick, got {self.every}")
        object.__setattr__(self, "scaler_targets", tuple(self.scaler_targets))
        for target in self.scaler_targets:
            if not 0.0 < target <= MOST_UTILIZATION:
                raise InputError(f"action scaler_targets must be above 0 and at most 2, got {target!r}")
        if self.scaler not in SCALERS:
            raise InputError(f"action scaler: unknown {self.scaler!r}; choose from {', '.join(SCALERS)}")
        for field, known in (("heads", HEADS), ("timing", tuple(TIMING)), ("planned_calls", CALLS)):
            object.__setattr__(self, field, tuple(getattr(self, field)))
            chosen = getattr(self, field)
            for name in chosen:
                if name not in known:
                    raise InputError(f"action {field}: unknown {name!r}; choose from {', '.join(known)}")
            if len(set(chosen)) < len(chosen) or not (chosen or field == "planned_calls"):
                raise InputError(f"action {field}: expected different names, at least one, got {chosen!r}")


class ActionCodec:
    """Translates actions of a space to orders.

    Heads and orders that can do nothing in the sale (a push without a budget, say) are left out of the space.
    """

    LARGEST_MENU = 10_000

    def __init__(self, sale: CompiledSale, config: ActionConfig) -> None:
        self.sale, self.config = sale, config
        if sale.ticks % config.every:
            raise InputError(
                f"action every: {config.every} ticks do not divide the {sale.ticks} ticks of {sale.name!r}; "
                "choose a divisor"
            )
        self._deepest = (sale.depths <= config.max_discount + 1e-9).sum(axis=1) - 1
        self._is_cut = bool((self._deepest < sale.price_levels - 1).any())
        if (self._deepest < 0).any():
            raise InputError(
                f"action max_discount: {sale.name!r} has no discount of at most {config.max_discount:g}; raise it"
            )
        servers = sale.tables.servers
        self._least_servers = max(int(servers.min_servers), config.min_servers)
        if self._least_servers > servers.max_servers:
            raise InputError(
                f"action min_servers: {sale.name!r} has at most {servers.max_servers} servers, "
                f"got {config.min_servers}; lower it"
            )
        self.dashboard = Dashboard(sale, {f.name: column for column, f in enumerate(observation_table(sale))})
        self._calls = PlannedCalls(self.dashboard, config.planned_calls)
        sizes: list[int] = []
        self._slices: dict[str, slice] = {}
        orders = [TIMING[name] for name in config.timing if self._can_happen(TIMING[name])]
        self._orders = np.array(orders, np.int64)
        for head in HEADS:
            head_sizes = self._head_sizes(head)
            if head in config.heads and max(head_sizes) > 1:
                self._slices[head] = slice(len(sizes), len(sizes) + len(head_sizes))
                sizes += head_sizes
        if not sizes:
            raise InputError(f"action: heads {config.heads!r} leave nothing to decide in {sale.name!r}; choose others")
        self.sizes = np.array(sizes, np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self.sizes)])
        self._changes = np.array(sale.server_changes, np.int64)
        self._caps = np.array(sale.admission_caps)
        self._limited: dict[int, int] = {}  # orders that may be infeasible, and where they stand in a mask
        if "timing" in self._slices:
            first = int(self._starts[self._slices["timing"].start])
            self._limited = {order: first + place for place, order in enumerate(orders)}
        self._targets = np.array(config.scaler_targets)
        self._scaler = SCALERS[config.scaler](self.dashboard) if config.scaler_targets else None
        self._choices = self._possible()
        self.space: spaces.Space[Any]
        if config.flat:
            count = int(np.prod(self.sizes, dtype=np.float64))
            if count > self.LARGEST_MENU:
                raise InputError(
                    f"action: a flat menu would hold {count} actions, more than {self.LARGEST_MENU}; "
                    "set per_product=False or leave out heads"
                )
            self._flat_actions = np.stack(np.unravel_index(np.arange(count), self.sizes), axis=1)
            self.space = spaces.Discrete(count)
        else:
            self.space = spaces.MultiDiscrete(self.sizes)

    @property
    def head_sizes(self) -> tuple[int, ...]:
        """Choices of each head; one number if the action is flat."""
        return (len(self._flat_actions),) if self.config.flat else tuple(int(size) for size in self.sizes)

    @property
    def reads_observation(self) -> bool:
        """Whether the meaning of an action depends on what is seen."""
        reads = self.config.around_run_out or self.config.scaler_targets or self.config.min_servers
        return bool(reads) or PLANNED in self._orders

    def _head_sizes(self, head: str) -> list[int]:
        if head == "discount":
            around = self.config.around_run_out
            choices = 2 * around + 1 if around else self.sale.price_levels
            return [choices] * (self.sale.products if self.config.per_product else 1)
        if head == "timing":
            return [len(self._orders)]
        if head == "admission":
            return [len(self.sale.admission_caps)]
        return [len(self.config.scaler_targets) or len(self.sale.server_changes)]

    def _possible(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Levels of servers from which other choices are possible, ascending, and those choices (level, sum of head
        sizes), below the first level, then from each on; orders that can run out are taken as possible."""
        servers, levels = self.sale.tables.servers, np.zeros(0, np.int64)
        has_limits = "capacity" in self._slices and self._scaler is None  # targets are always feasible
        if has_limits:
            levels = np.unique([self._least_servers - self._changes, servers.max_servers + 1 - self._changes])
        masks = np.ones((levels.size + 1, self._starts[-1]), np.bool_)
        if has_limits:
            level = np.concatenate([levels[:1] - 1, levels])[:, None] + self._changes
            first = self._starts[self._slices["capacity"].start]
            possible = (level >= self._least_servers) & (level <= servers.max_servers)
            possible |= (level == level.max(axis=1, keepdims=True)) & ~possible.any(axis=1, keepdims=True)
            masks[:, first : first + self._changes.size] = possible
        if "discount" in self._slices and not self.config.around_run_out:  # steps are cut, and always feasible
            heads = self._starts[self._slices["discount"]]
            deepest = self._deepest if self.config.per_product else np.array([self._deepest.min()])
            for first, last in zip(heads, deepest, strict=True):
                masks[:, first + last + 1 : first + self.sale.price_levels] = False
        return levels, masks

    def _can_happen(self, order: int) -> bool:
        """Whether a timing order can ever do something in this sale."""
        tables = self.sale.tables
        possible = {
            RELEASE: tables.wave_tick.shape[0] > 1,
            PUSH: tables.traffic.push_budget > 0,
            REORDER: tables.stock.lots > 0,
            PLANNED: self._calls.budget > 0 or self._calls.lots or self._calls.waves,
        }
        return possible.get(order, True)

    def check(self, actions: NDArray[Any], sales: int) -> NDArray[np.int64]:
        """``actions`` (sale, …) as integers; InputError when shape, kind or range do not fit."""
        expected = (sales,) if self.config.flat else (sales, self.sizes.size)
        array = np.asarray(actions)
        if array.shape != expected:
            raise InputError(f"action: expected shape {expected}, got {array.shape}")
        if array.dtype.kind not in "iu":
            raise InputError(f"action: expected whole numbers, got {array.dtype} such as {array.flat[0]!r}")
        whole = array.astype(np.int64, copy=False)
        limit = np.array(len(self._flat_actions)) if self.config.flat else self.sizes
        outside = whole.view(np.uint64) >= limit.astype(np.uint64)  # negative numbers become the largest
        if outside.any():
            raise InputError(f"action: expected numbers from 0 to {(limit - 1).tolist()}, got {whole[outside][0]}")
        return whole

    def decode(
        self, actions: NDArray[np.int64], observation: NDArray[np.float32], *, is_first: bool = True
    ) -> Decisions:
        """What checked ``actions``, taken at ``observation``, order; ``is_first``: in the first tick of a decision."""
        heads = self._flat_actions[actions] if self.config.flat else actions
        sales = heads.shape[0]
        price_index = np.zeros((sales, self.sale.products), np.int64)
        change = np.zeros(sales, np.int64)
        if "discount" in self._slices:
            price_index[:] = heads[:, self._slices["discount"]]
            if self.config.around_run_out:
                price_index += self._base(observation) - self.config.around_run_out
                np.clip(price_index, 0, self.sale.price_levels - 1, out=price_index)
        if self._scaler is not None:
            target = np.full(sales, self._targets[0])
            if "capacity" in self._slices:
                target = self._targets[heads[:, self._slices["capacity"].start]]
            change = self._changes[_nearest(self._changes, self._scaler.change(observation, price_index, target))]
        elif "capacity" in self._slices and is_first:
            change = self._changes[heads[:, self._slices["capacity"].start]]
        if self._is_cut:
            np.minimum(price_index, self._deepest, out=price_index)
        if self.config.min_servers:
            change = np.maximum(change, self._reaching(self._least_servers - self._ordered(observation)))
        cap = np.full(sales, self._caps[0])
        if "admission" in self._slices:
            cap = self._caps[heads[:, self._slices["admission"].start]]
        return Decisions(price_index, self._timing(heads, observation, is_first=is_first), change, cap)

    def _timing(
        self, heads: NDArray[np.int64], observation: NDArray[np.float32], *, is_first: bool
    ) -> NDArray[np.int64]:
        """Orders of timing (sale,): the head's in the first tick, the call that is due in every tick if planned."""
        chosen = np.full(heads.shape[0], PLANNED if PLANNED in self._orders else HOLD, np.int64)
        if "timing" in self._slices:
            chosen = self._orders[heads[:, self._slices["timing"].start]]
        timing = chosen if is_first else np.full_like(chosen, HOLD)
        if PLANNED in self._orders:
            timing = np.where(chosen == PLANNED, self._calls.order(observation), timing)
        return timing

    def _base(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Price index (sale, product) from which steps are counted."""
        base = self.dashboard.run_out(observation)
        if self.config.opening_ticks:
            base[self.dashboard.tick(observation) < self.config.opening_ticks] = 0
        return base

    def _reaching(self, needed: NDArray[np.int64]) -> NDArray[np.int64]:
        """The least change on the menu that brings ``needed`` servers (sale,), or the largest there is."""
        rising = np.sort(self._changes)
        place: NDArray[np.int64] = np.searchsorted(rising, needed)
        return rising[np.minimum(place, rising.size - 1)]

    def _ordered(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Servers last ordered, (sale,)."""
        share = self.dashboard.share(observation, "servers_ordered")
        return np.rint(share * self.sale.tables.servers.max_servers).astype(np.int64)

    def meanings(self) -> dict[str, Any]:
        """What the choices of the heads stand for, as JSON: a policy made for another menu would order other things."""
        orders = {number: name for name, number in TIMING.items()}
        meanings: dict[str, Any] = {
            "discount": self.sale.depths.tolist(),
            "timing": [orders[int(order)] for order in self._orders],
            "capacity": self._changes.tolist() if self._scaler is None else list(self.config.scaler_targets),
            "admission": [OPEN_DOORS if np.isinf(cap) else float(cap) for cap in self._caps],
        }
        return {head: meanings[head] for head in self._slices}

    def rails(self, *, is_masked: bool) -> dict[str, Any]:
        """What a policy of such actions needs to keep to the guard-rails, as JSON (see ``rails.Rails``); masked: also
        to what is feasible."""
        discount = slice(0, 0) if self.config.around_run_out else self._slices.get("discount", slice(0, 0))
        servers = self.sale.tables.servers
        capacity = self._scaler is None and "capacity" in self._slices
        left = {RELEASE: "waves_left", PUSH: "pushes_left", REORDER: "lots_left"}
        spent = {left[order]: place for order, place in self._limited.items() if order in left}
        return {
            "sizes": [int(size) for size in self.sizes],
            "max_discount": self.config.max_discount,
            "deepest": [int(index) for index in self._deepest],
            "discount_heads": list(range(discount.start, discount.stop)),
            "price_levels": self.sale.price_levels,
            "min_servers": self._least_servers if self.config.min_servers else 0,
            "capacity_head": self._slices["capacity"].start if capacity else -1,
            "changes": [int(change) for change in self._changes] if capacity else [],
            "server_range": [int(servers.min_servers), int(servers.max_servers)] if capacity else [0, 0],
            "is_masked": is_masked,
            "spent": spent if is_masked else {},
        }

    def encode(self, orders: Decisions) -> NDArray[np.int64]:
        """Action whose decoding is nearest to ``orders`` (heads left out are dropped, one-for-all: the first)."""
        return self._joined(self._heads(orders))

    def encode_steered(
        self, orders: Decisions, observation: NDArray[np.float32], *, target: float
    ) -> NDArray[np.int64]:
        """The same where the discount head may steer around the run-out price and the capacity head set a target.

        The step is that whose prices are nearest to all of ``orders`` together, of equals the smallest, and the
        utilization that nearest to ``target``.
        """
        heads = self._heads(orders)
        if "discount" in self._slices and self.config.around_run_out:
            part = self._slices["discount"]
            steps = np.arange(self.sizes[part.start]) - self.config.around_run_out
            price_index = np.clip(self._base(observation)[:, None] + steps[:, None], 0, self.sale.price_levels - 1)
            away = np.abs(np.minimum(price_index, self._deepest) - orders.price_index[:, None])  # sale, step, product
            if not self.config.per_product:
                away = away.sum(axis=2, keepdims=True)
            heads[:, part] = (away + 1e-3 * np.abs(steps)[:, None]).argmin(axis=1)
        if "timing" in self._slices and PLANNED in self._orders:
            head, place = self._slices["timing"].start, int(np.flatnonzero(self._orders == PLANNED)[0])
            heads[orders.timing == self._calls.order(observation), head] = place
        if "capacity" in self._slices and self._scaler is not None:
            heads[:, self._slices["capacity"].start] = np.abs(self._targets - target).argmin()
        return self._joined(heads)

    def _heads(self, orders: Decisions) -> NDArray[np.int64]:
        heads = np.zeros((orders.price_index.shape[0], self.sizes.size), np.int64)
        if "discount" in self._slices:
            part = self._slices["discount"]
            heads[:, part] = orders.price_index[:, : part.stop - part.start]
        if "timing" in self._slices:
            heads[:, self._slices["timing"].start] = _nearest(self._orders, orders.timing)
        if "capacity" in self._slices and self._scaler is None:
            heads[:, self._slices["capacity"].start] = _nearest(self._changes, orders.change)
        if "admission" in self._slices:
            heads[:, self._slices["admission"].start] = _nearest(1.0 / self._caps, 1.0 / orders.cap)
        return heads

    def _joined(self, heads: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(np.ravel_multi_index(tuple(heads.T), tuple(self.sizes))) if self.config.flat else heads

    def masks(
        self,
        ordered: NDArray[np.int64],
        *,
        pushes_left: NDArray[np.int64],
        waves_left: NDArray[np.int64],
        lots_left: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Feasible choices (sale, sum of head sizes or flat action): others are projected when taken."""
        levels, choices = self._choices
        masks = choices.take(np.searchsorted(levels, ordered, side="right"), axis=0)
        for order, left in ((RELEASE, waves_left), (PUSH, pushes_left), (REORDER, lots_left)):
            if order in self._limited:
                masks[:, self._limited[order]] = left > 0
        if not self.config.flat:
            return masks
        return np.logical_and.reduce([masks[:, choice] for choice in (self._starts[:-1] + self._flat_actions).T])


def _nearest(choices: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.int64]:
    """Index of the choice nearest to each of ``wanted``, the first of equals."""
    return np.abs(choices[None, :] - wanted[:, None]).argmin(axis=1)
