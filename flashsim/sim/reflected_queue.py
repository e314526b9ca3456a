"""The queue of a tick of many services: a walk that is reflected where the queue is empty, exactly within the tick.

B visits wait at the start of a tick. A arrive at uniform times of it, S ~ Poisson(κ) services can be completed
(κ = μ·c·h), each visit that waits gives up at the rate θ = 1/patience; x = A - S. While all servers are busy the queue
is a walk that ends at

    F = B + x - N      N = ⌊B·(1 - e^(-θ)) + x·(1 - g) + u⌋, not below 0, gave up      g = (1 - e^(-θ))/θ

and where servers run out of work it starts anew from there: its end is the largest rise since some moment of the tick,
the maximum M of a Brownian bridge, if that is above F. One uniform v draws both the maximum and whether it counts:

    B' = max(F, ⌊M⌋, 0)      2·M = f + √(f² + 2·σ²·max(0, -ln v - w))
    f = x/(1 + y/2 + y²/12)    σ² = (A + S)/(1 + y + y²/3)    y = min(2, θ)/(1 + min(0, x)²/(A + S))

Impatience takes from the drift and the spread of the walk, less where the queue empties faster than people lose
patience. w keeps the queue at 0 while fewer than c visits are in service. Where the queue forgets within a tick,
w1 = -ln C makes it wait with M/M/c + M's probability of waiting C; where it does not, w0 is what such an idle spell
costs, and w = (w0⁴ + w1⁴)^¼:

    1/C = 1 + R/I     R = √c·Φ(α)/φ(α) - 1/3     α = ±√(-2c·(1 - ρ + ln ρ))     ρ = E[A]/κ, the sign that of 1 - ρ
    I = 2/(1 - ρ + √((1 - ρ)² + 8θ/(πκ)))     w0 = k0·r·(1 + k1·r)/(1 + k2·θ²)      r = (√(πc/2) - 1/3)/√κ

Where M counted, services were idle, and θ·Q gave up (u rounds it) of Q = (B + B')/2 that waited on average. Visits
beyond the L = ``queue_limit``·c that may wait at the end of a tick are refused; then the queue is taken to have grown
evenly until it was full, Q = L - (L - B)²/(2·max(x, L - B)), or with B > L half of B - L more than L.

The waits of the tick, in ticks: d + Exp(m) with probability C, else d. The tail m is what one tick can say of a queue
in balance (1/(κ·(1 - ρ)) in a calm one, bounded by the diffusion scale √κ of the tick), and the floor d is the wait
behind Q as far as that is longer:

    κ·m' = 1 + 1/√(D² + k6/κ)    2·D = δ + √(δ² + k3·θ/κ)    δ = max(0, 1/ρ - 1)    m = m'/(1 + k4·θ·m')
    d = ln(1 + z)/θ    z = θ·max(0, Q - t)/κ             t = 1 + √(κ/(k6 + k5·θ))

Where the queue is full, t/κ is that of all servers that there may be, lest the wait rise with every server and its
places. Beyond ρ = 1, Φ/φ is taken as 2/(|α| + √(α² + 8/π)); ln(1 + z) as z·(60 + 60z + 11z²)/(60 + 90z + 36z² + 3z³).
More servers lower B' (unless it is limited), C, m and d, on the same uniforms. k0 … k6 are FIT, fitted so that mean
queues and waits are Erlang A's (``python -m tests.sim.fit_queue``); docs/queue.md measures the law on other queues.

Source: Asmussen, Glynn & Pitman (1995), Ann. Appl. Probab. 5(4), for the reflected walk; Janssen, van Leeuwaarden &
Zwart (2008), Adv. Appl. Prob. 40(1), for R; Palm (1957), Erlang A. Left out: those in service when servers leave.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.birth_death import LONGEST_WAIT
from flashsim.sim.cache import compiled
from flashsim.sim.queue_flow import QueueFlow
from flashsim.sim.samplers import write_exp, write_log

_TINY = 1e-9
_MOST_IMPATIENT = 2.0  # beyond it θ shrinks drift and spread no further, lest more servers raise M
_ENDLESS = 1e15  # places of a queue without a limit, and the idle cost of a pool without servers
_ROOT_HALF_PI = 1.2533141373155001
_LARGEST_EXPONENT = 200.0


class QueueFit(NamedTuple):
    """The fitted numbers of the law."""

    idle: float
    """k0: what an idle spell costs."""
    idle_again: float
    """k1: where few services are in a tick."""
    idle_patience: float
    """k2: less where people are impatient."""
    tail_patience: float
    """k3: impatience shortens the tail of the waits."""
    tail_cut: float
    """k4: who waits long gives up, and is not answered."""
    floor_patience: float
    """k5: impatience brings the queue of a tick nearer to its ends."""
    tail_spread: float
    """k6: how far a queue strays within a tick."""


FIT = QueueFit(2.22, 0.727, 0.143, 13.2, 1.63, 4.54, 2.17)


@compiled
def write_wait_chance(
    patience: float, in_force: NDArray[np.int64], capacity: NDArray[np.float64], flow: QueueFlow, fit: QueueFit
) -> None:
    """Write flow.wait_chance, C, and flow.idle_cost, w, at flow.expected_load; C is 1 without servers."""
    lanes = in_force.shape[0]
    theta = 1.0 / patience
    for lane in range(lanes):
        flow.utilization[lane] = max(flow.expected_load[lane], _TINY)
    write_log(flow.utilization, flow.log_utilization)
    for lane in range(lanes):
        excess = min(0.0, 1.0 - flow.utilization[lane] + flow.log_utilization[lane])
        flow.half_alpha_squared[lane] = min(_LARGEST_EXPONENT, -np.float64(in_force[lane]) * excess)
    write_exp(flow.half_alpha_squared, flow.exp_half_alpha_squared)
    for lane in range(lanes):
        t = 1.0 / (1.0 + 0.2316419 * np.sqrt(2.0 * flow.half_alpha_squared[lane]))
        mills = ((1.330274429 * t - 1.821255978) * t + 1.781477937) * t
        mills = ((mills - 0.356563782) * t + 0.319381530) * t  # (1 - Φ)/φ
        calm = 2.5066282746310002 * flow.exp_half_alpha_squared[lane] - mills
        alpha_squared = 2.0 * flow.half_alpha_squared[lane]
        crowded = 2.0 / (np.sqrt(alpha_squared) + np.sqrt(alpha_squared + 8.0 / math.pi))
        ratio = calm if flow.utilization[lane] <= 1.0 else crowded
        idle = max(_TINY, np.sqrt(np.float64(in_force[lane])) * ratio - 1.0 / 3.0)  # R
        slack = 1.0 - flow.utilization[lane]
        spread = 8.0 / math.pi * theta / max(capacity[lane], _TINY)
        busy = 2.0 / (slack + np.sqrt(slack * slack + spread) + 1e-12)  # I
        flow.wait_chance[lane] = busy / (busy + idle) if in_force[lane] > 0 else 1.0
    write_log(flow.wait_chance, flow.log_wait_chance)
    scale = fit.idle / (1.0 + fit.idle_patience * theta * theta)
    for lane in range(lanes):
        root = np.sqrt(np.float64(in_force[lane]))
        r = max(0.0, _ROOT_HALF_PI * root - 1.0 / 3.0) / np.sqrt(max(capacity[lane], _TINY))
        brief = scale * r * (1.0 + fit.idle_again * r)  # w0
        lasting = flow.log_wait_chance[lane]
        brief, lasting = brief * brief, lasting * lasting
        cost = np.sqrt(np.sqrt(brief * brief + lasting * lasting))
        flow.idle_cost[lane] = cost if in_force[lane] > 0 else _ENDLESS


@compiled
def walk(
    patience: float,
    queue_limit: int,
    in_force: NDArray[np.int64],
    path: NDArray[np.float64],
    rounding: NDArray[np.float64],
    flow: QueueFlow,
) -> None:
    """Let the tick pass: ``path`` and ``rounding`` (lane) are the uniforms v and u.

    Reads flow.carried, visits, services and idle_cost; writes answered, refused and abandoned (lane; they add up to
    those who do not wait any longer) and mean_queue, Q.
    """
    lanes = in_force.shape[0]
    theta = 1.0 / patience
    leave = -math.expm1(-theta)
    late = 1.0 - leave / theta  # 1 - g
    write_log(path, flow.log_path)
    for lane in range(lanes):
        before, visits = np.float64(flow.carried[lane]), np.float64(flow.visits[lane])
        services = np.float64(flow.services[lane])
        arrivals = visits - before
        x, steps = visits - before - services, max(1.0, visits - before + services)
        free = max(0.0, np.floor(before * leave + x * late + rounding[lane]))  # N
        end = before + x - free  # F
        fall = min(0.0, x)
        y = min(theta, _MOST_IMPATIENT) / (1.0 + fall * fall / steps)
        f = x / (1.0 + y * (0.5 + y / 12.0))
        variance = steps / (1.0 + y * (1.0 + y / 3.0))
        counted = max(0.0, -flow.log_path[lane] - flow.idle_cost[lane])
        rise = 0.5 * (f + np.sqrt(f * f + 2.0 * variance * counted))
        high = max(0.0, end, np.floor(min(rise, arrivals)))
        is_idle = high > end
        places = np.float64(queue_limit * in_force[lane]) if queue_limit > 0 else _ENDLESS
        after = min(high, places)
        is_full = after < high
        gap = max(0.0, places - before)
        full = places - 0.5 * gap * gap / max(1.0, x, gap) + 0.5 * max(0.0, before - places)
        queue = full if is_full else 0.5 * (before + after)
        impatient = np.floor(theta * queue + rounding[lane])
        least, most = max(0.0, before + x - high), visits - high
        abandoned = min(impatient, before + x - after) if is_full else free
        abandoned = min(most, max(least, impatient)) if is_idle else abandoned
        refused = high - after if is_idle else before + x - after - abandoned
        flow.mean_queue[lane] = queue
        flow.is_full[lane] = 1.0 if is_full else 0.0
        flow.abandoned[lane] = np.int64(abandoned)
        flow.refused[lane] = np.int64(refused)
        flow.answered[lane] = np.int64(visits - after - abandoned - refused)


@compiled
def write_waits(
    params: Any, in_force: NDArray[np.int64], capacity: NDArray[np.float64], flow: QueueFlow, fit: QueueFit
) -> None:
    """Write flow.wait_floor_s, d, and wait_tail_s, m, from flow.mean_queue and utilization."""
    theta = 1.0 / params.patience_ticks
    most = params.service_rate * np.float64(params.max_servers)
    spread = fit.tail_spread + fit.floor_patience * theta
    least = (1.0 + np.sqrt(most / spread)) / most
    for lane in range(in_force.shape[0]):
        rate, queue = max(capacity[lane], _TINY), flow.mean_queue[lane]
        slack = max(0.0, 1.0 / flow.utilization[lane] - 1.0)
        drift = 0.5 * (slack + np.sqrt(slack * slack + fit.tail_patience * theta / rate))
        tail = (1.0 + 1.0 / np.sqrt(drift * drift + fit.tail_spread / rate)) / rate
        tail = tail / (1.0 + fit.tail_cut * theta * tail)
        stray = rate * least if flow.is_full[lane] > 0.0 else 1.0 + np.sqrt(rate / spread)
        longer = max(0.0, queue - stray)
        z = theta * longer / rate
        floor = longer / rate * (60.0 + z * (60.0 + 11.0 * z)) / (60.0 + z * (90.0 + z * (36.0 + 3.0 * z)))
        is_open = in_force[lane] > 0
        endless = LONGEST_WAIT if flow.visits[lane] > 0 else 0.0
        flow.wait_floor_s[lane] = params.seconds_per_tick * (min(LONGEST_WAIT, floor) if is_open else endless)
        flow.wait_tail_s[lane] = params.seconds_per_tick * (min(LONGEST_WAIT, tail) if is_open else LONGEST_WAIT)
