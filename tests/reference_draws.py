"""What a slow sale draws when it opens: the frailties of its demand, and when things fail."""

import math
from random import Random

from flashsim.sim.state import SaleTables


def gamma_factor(random: Random, variance: float) -> float:
    """Frailty of mean 1: the cube of a normal, by Wilson and Hilferty."""
    a = variance / 9.0
    return max(0.0, 1.0 - a + random.gauss(0.0, 1.0) * math.sqrt(a)) ** 3 / (1.0 - a**3)


def outages(random: Random, tables: SaleTables) -> dict[str, range]:
    """Ticks in which pool, payment and traffic fail; what fails at any time begins where it fits into the sale."""
    found, length = {}, tables.rate.shape[0]
    for kind, name in enumerate(("pool", "payment", "traffic")):
        start, ticks = int(tables.failures.start[kind]), int(tables.failures.ticks[kind])
        if start < 0:
            start = random.randint(0, max(0, length - ticks))
        found[name] = range(start, start + ticks)
    return found
