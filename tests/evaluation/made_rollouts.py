"""Rollouts made by formula, with known truth: what a policy adds, to which member, and with how much noise."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flashsim.evaluation.outcomes.causes import LOSSES
from flashsim.evaluation.rollout import Rollout

PRODUCTS = 3
TICKS = 40


SAME_IN_ALL = {
    "server_minutes": 300.0,
    "server_cost": 90.0,
    "penalty": 12.0,
    "released": 600.0,
    "ordered": 0.0,
    "stock": 600.0,
    "utilization": 0.6,
    "pushes": 1.0,
    "projected_actions": 0.0,
    "ticks": float(TICKS),
    "timeout_s": 8.0,
    "units_a_person": 1.0,
    "first_sold_out_tick": float("inf"),
    "sold_out_tick": float("inf"),
}

OF_VISITORS = {
    "returning_visitors": 0.001,
    "retries": 0.001,
    "abandoned": 0.03,
    "dismissed": 0.001,
    "errors": 0.002,
    "given_up": 0.001,
}


def make_rollout(
    policy: str,
    *,
    effect: float = 0.0,
    depth: float = 0.2,
    latency_s: float = 0.4,
    own_noise: float = 5.0,
    member_effects: Sequence[float] = (),
    sales: int = 160,
    members: int = 20,
    seed: int = 7,
) -> Rollout:
    """A policy that earns ``effect`` more a sale than one with effect 0.

    Sales share a large common noise (sd 200) that every policy meets; ``own_noise`` is what pairing cannot remove.
    ``member_effects`` adds to the effect member by member.
    """
    shared = np.random.default_rng(seed)
    own = np.random.default_rng([seed, *policy.encode()])
    member = np.arange(sales) % (len(member_effects) or members)
    extra = np.asarray(member_effects, dtype=np.float64)[member] if len(member_effects) else 0.0
    visitors = np.rint(shared.normal(4_000.0, 400.0, size=sales)).clip(1_000.0)
    revenue = 5_000.0 + shared.normal(0.0, 200.0, size=sales) + effect + extra + own.normal(0.0, own_noise, size=sales)
    paid, same = np.rint(visitors * 0.1), {name: np.full(sales, value) for name, value in SAME_IN_ALL.items()}
    totals = same | {
        "exogenous_visitors": visitors * 0.9,
        "attracted_visitors": visitors * 0.1,
        "served": visitors * 0.95,
        **{name: visitors * share for name, share in OF_VISITORS.items()},
        "buyers": paid * 1.1,
        "requests": paid * 1.2,
        "reserved": paid * 1.1,
        "paid": paid,
        "expired": paid * 0.1,
        "units_refused": paid * 0.05,
        "net_lost_sales": paid * 0.03,
        "revenue": revenue,
        "discount_given": revenue * depth / (1.0 - depth),
        "goods_cost": 0.6 * np.full(sales, 5_000.0),
        "leftover": 600.0 - paid,
        "salvage": (600.0 - paid) * 2.0,
        "latency_p50_s": np.full(sales, latency_s / 3.0),
        "latency_mean_s": np.full(sales, latency_s / 2.0),
        "latency_p95_s": latency_s + shared.exponential(0.02, size=sales),
    }
    costs = totals["goods_cost"] + totals["server_cost"] + totals["penalty"]
    totals["profit"] = totals["revenue"] - costs + totals["salvage"]
    totals |= {"reward": totals["profit"] / 1_000.0, "latency_p99_s": 1.5 * totals["latency_p95_s"]}
    return Rollout(
        policy=policy,
        seeds=np.arange(sales, dtype=np.int64) + 1_000,
        members=member.astype(np.int64) + 12,
        totals=totals,
        products={"paid": np.outer(paid, [0.5, 0.3, 0.2]), "revenue": np.outer(revenue, [0.5, 0.3, 0.2])},
        profile=_profile(depth, latency_s),
        steps=sales * TICKS,
        losses={name: np.exp(-np.arange(TICKS)[:, None] / 4.0) * [0.0, 0.1, 2.0, 0.0, 0.3] for name in LOSSES},
        course=_profile(depth, 1.3 * latency_s),
    )


def _profile(depth: float, latency_s: float) -> dict[str, NDArray[np.float64]]:
    tick = np.arange(TICKS, dtype=np.float64)
    wave = 1.0 + np.exp(-tick / 6.0)
    return {
        "visitors": 80.0 * wave,
        "depth": np.clip(depth + np.linspace(-0.1, 0.1, TICKS)[:, None] * [1.0, 0.5, 0.0], 0.0, 0.6),
        "servers_online": np.where(tick < 10, 6.0, 4.0),
        "utilization": 0.5 * wave,
        "latency_p95_s": latency_s * wave,
        "paid": 8.0 * wave,
        "stock_left_share": np.linspace(1.0, 0.3, TICKS),
        "backlog": 3.0 * wave,
        "room": 0.0 * wave,
        "errors": 0.1 * wave,
    }
