"""The fidelity card: how a World's simulation of weeks it has not seen compares with what happened.

Each line asks one question, has a mark with its reason below, a value with a 90 % interval (bootstrap over blocks of
two weeks, less the bias of resampling, which adds to distances), and passes when the value lies within its mark. A
World whose card fails in any line, or that has none, is called uncalibrated wherever it is used.

Marks and their reasons:

* ``coverage`` .87 … .93: the house's mark for 90 % intervals, on randomized PIT values, overall and by volume.
  A shop of few products has few product-days: on the card of own tables 1.64·√(.09/product-days), the 5 % point of
  chance, is added on either side.
* ``dispersion``, ``correlation`` and ``burstiness`` 3/4 … 4/3 of the simulated variance: a spread that is off by up to
  a seventh. What is held against uncertain demand (stock, servers) is proportional to the spread (Silver, Pyke & Thomas
  2017, Inventory and Production Management, ch. 6; the square-root staffing of Halfin & Whitt 1981), so a seventh of
  that reserve, and no more, would be set wrongly.
* ``response`` 3/4 … 5/4 of the World's: at a slope of 3 the uplift at 30 % off is then off by a fifth to a quarter,
  about what the 90 % intervals of well supported products span. ``sign``: four products in five.
* ``level`` .9 … 1.1: a tenth, the stock that changes hands between selling out and leaving a remnant in a sale planned
  at expected demand.
* ``distribution`` <= .05 beyond 1.36/√days, the 5 % point of the Kolmogorov-Smirnov distance of one product: days that
  are not independent leave more, which .05 makes up for. ``PIT`` <= .10: no event's probability is off by more.
* ``hours`` <= .10: one unit in ten comes in another hour.
* ``repeats`` .8 … 1.25: value that a customer brings later enters the reward; a fifth of it may be wrong.

Source: Gelman, Meng & Stern (1996), Statistica Sinica 6 (comparing data with replicated data); Xia et al. (2023),
"RetailSynth", arXiv:2312.14095, for judging a retail simulator by Kolmogorov-Smirnov distances.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.fidelity import measures
from flashsim.fidelity.held_out import HeldOut, choose
from flashsim.fidelity.measures import Cells, Together, Weeks
from flashsim.fidelity.replay import replay_days, replay_hours
from flashsim.models.forecasting.validation import INTERVAL, Interval, block_resamples
from flashsim.world import World

DRAWS: Final = 200
"""Simulations of the held-out weeks; a quantile of .05 then rests on ten of them, a mean over products on thousands."""
RESAMPLES: Final = 200
"""Bootstrap resamples of weeks behind an interval."""
WHAT: Final = (
    "Weeks that the World had not seen, simulated with it at the depths, displays and mailers that were really "
    "offered, against what happened. Products start each week at the level of the weeks before it."
)
LEFT_OUT: Final = (
    "visits, conversion and the share of uplift that comes as traffic: the tables show buyers alone",
    "sharing, goodwill, reference prices, scarcity cues and people who wait: assumptions of the sale, left out of the "
    "simulated weeks",
    "latency, queues and stock-outs: the tables hold neither load nor stock",
    "what one product's discount does to another",
    "unit costs and the size of the shop",
    "minutes within an hour: burstiness is compared by the hour",
    "depths beyond those offered in the held-out weeks",
)
"""What these weeks cannot tell, whatever the lines above say."""


class Asked(NamedTuple):
    """What a line asks, and the mark that its value must lie in."""

    question: str
    mark: tuple[float, float]


_SPREAD: Final = (0.75, 4.0 / 3.0)
_COVERAGE: Final = (0.87, 0.93)
_OF_DAYS: Final = "Do simulated 90 % intervals hold 90 % of days"
_VARIES: Final = "Do days vary as much around what was to be expected"
_TOGETHER: Final = "Do products have good and bad days together? (correlation; the value is the swing of their total)"
ASKED: Final[Mapping[str, Asked]] = {
    "level": Asked("As many units a product and day?", (0.9, 1.1)),
    "distribution": Asked("Are busy and quiet days as frequent?", (0.0, 0.05)),  # beyond 1.36/√days
    "PIT": Asked("Does each day fall evenly over what is simulated?", (0.0, 0.10)),
    "coverage": Asked(f"{_OF_DAYS}?", _COVERAGE),
    "coverage, busiest third": Asked(f"{_OF_DAYS} of large counts?", _COVERAGE),
    "dispersion": Asked(f"{_VARIES}? (units)", _SPREAD),
    "dispersion, busiest third": Asked(f"{_VARIES}, at large counts?", _SPREAD),
    "response": Asked("Do discounts raise sales as much? (log uplift at a product's deepest offer)", (0.75, 1.25)),
    "sign of the response": Asked("Do discounts raise sales at all? (share of products)", (0.8, 1.0)),
    "correlation": Asked(_TOGETHER, _SPREAD),
    "hours": Asked("Do people come at the same hours?", (0.0, 0.10)),
    "burstiness": Asked("Do hours bunch as much? (Fano factor)", _SPREAD),
    "repeats": Asked("Do customers come back as often as a model of the weeks before expects?", (0.8, 1.25)),
}
"""Every line that a card can have, in the order in which they are read."""


@dataclass(frozen=True)
class Line:
    """One comparison of a card."""

    name: str
    """Short name, unique on the card."""
    question: str
    """What it asks, in words."""
    happened: float | None
    """The statistic of what happened; None where the value itself is the comparison."""
    simulated: float | None
    """The statistic of the simulation."""
    value: float
    """What is held against the mark."""
    low: float
    """Lower end of its 90 % interval."""
    high: float
    """Upper end of it."""
    mark_low: float
    """Least value that passes."""
    mark_high: float
    """Greatest value that passes."""

    @property
    def passed(self) -> bool:
        """Whether the value lies within its mark."""
        return self.mark_low <= self.value <= self.mark_high


@dataclass(frozen=True)
class FidelityCard:
    """All lines, and what the weeks do not identify."""

    lines: tuple[Line, ...]
    """In the order in which they are read."""
    products: tuple[dict[str, Any], ...]
    """Level, coverage and dispersion of each product that is sold together with others; without marks."""
    first_day: str
    """ISO date of the first simulated day."""
    weeks: int
    """Weeks simulated."""
    modelled_products: int
    """Products compared one by one."""
    product_days: int
    """Product-days compared."""
    draws: int
    """Simulations behind every line."""
    frozen_level: float
    """Units that happened over those expected at the levels of the fitted weeks: what a season changed."""
    not_identified: tuple[str, ...]
    """What these weeks cannot tell."""

    @property
    def passed(self) -> bool:
        """Whether every line passes."""
        return all(line.passed for line in self.lines)

    def line(self, name: str) -> Line:
        """The line of that name; InputError when the card has none."""
        for line in self.lines:
            if line.name == name:
                return line
        raise InputError(f"the card has no line {name!r}; it has {', '.join(line.name for line in self.lines)}")

    def as_json(self) -> dict[str, Any]:
        """Plain values, as a World's provenance keeps them."""
        facts = asdict(self) | {
            "lines": [asdict(line) | {"passed": line.passed} for line in self.lines],
            "products": list(self.products),
            "not_identified": list(self.not_identified),
        }
        return {
            "what": WHAT,
            "interval": "5% to 95%, bootstrap over blocks of two weeks",
            "passed": self.passed,
        } | facts


def fidelity_card(
    world: World,
    held: HeldOut,
    *,
    seed: int,
    together: Sequence[str] | None = None,
    draws: int = DRAWS,
    allow_chance: bool = False,
) -> FidelityCard:
    """Simulate the weeks of ``held`` with ``world``, which must not have seen them, and compare.

    ``together`` are the ids of the products that are sold together, all when None. ``allow_chance`` widens the marks of
    coverage as the module says. Equal seeds give equal cards.
    """
    generator = np.random.default_rng(seed)
    named = world.product_ids if together is None else together
    chosen = np.array([world.product_ids.index(product) for product in named], dtype=np.intp)
    days = replay_days(world, held, draws=draws, seed=seed)
    cells = measures.lay_out(world, held, days, generator=generator)
    hours = np.zeros((draws, *held.units.shape[1:]), np.int32)
    if held.has_hours:
        hours = replay_hours(*choose(world, held, products=chosen), draws=draws, seed=seed)
    joint = measures.lay_out_together(cells, held, days, hours, products=chosen)
    drawn = block_resamples(held.n_weeks, resamples=RESAMPLES, generator=generator)
    lines = [_line(cells, question, drawn=drawn) for question in _of_each(cells, allow_chance=allow_chance)]
    lines += [_line(joint, question, drawn=drawn) for question in _of_all(joint, has_hours=held.has_hours)]
    missing = [] if cells.varied.any() else ["the discount response: no depth varied in the held-out weeks"]
    if held.repeats is not None:
        lines.append(_repeats(held.repeats))
    else:
        missing.append("repeat purchase: too few customers came back before these weeks")
    if not held.has_hours:
        missing.append("hours and burstiness: no table tells in which hours most units were sold")
    if len(chosen) == 1:
        missing.append("correlation between products: one is sold alone")
    return FidelityCard(
        lines=tuple(lines),
        products=tuple(_product_row(world, cells, int(product)) for product in chosen),
        first_day=held.first_day,
        weeks=held.n_weeks,
        modelled_products=world.n_products,
        product_days=int(held.counted.sum()),
        draws=draws,
        frozen_level=held.frozen_level,
        not_identified=(*missing, *LEFT_OUT),
    )


class _Question(NamedTuple):
    name: str
    of: Callable[[Any, Weeks], float]
    happened: float | None = None
    simulated: float | None = None
    allowance: float = 0.0  # by which chance in few days moves the upper end of the mark
    below: float = 0.0  # and the lower end


def _line(seen: Cells | Together, question: _Question, *, drawn: NDArray[np.intp]) -> Line:
    value = question.of(seen, np.arange(drawn.shape[1]))
    spread = np.array([question.of(seen, weeks) for weeks in drawn])
    low, high = np.quantile(spread, INTERVAL) - (spread.mean() - value)
    numbers = (question.happened, question.simulated, value, float(low), float(high))
    words, (mark_low, mark_high) = ASKED[question.name]
    return Line(question.name, words, *numbers, mark_low - question.below, mark_high + question.allowance)


def _repeats(found: Interval) -> Line:
    words, mark = ASKED["repeats"]
    return Line("repeats", words, None, None, *found, *mark)


def _of_each(cells: Cells, *, allow_chance: bool) -> list[_Question]:
    """What is asked of each product."""
    every = np.arange(cells.counted.shape[1])
    days = float(cells.counted.sum(axis=(1, 2)).mean())
    total, busy = float(cells.counted.sum()), float(cells.busy.sum())
    units = (float(cells.happened.sum()) / total, float(cells.mean.sum()) / total)
    of_all, of_busy = (1.64 * (0.09 / max(size, 1.0)) ** 0.5 * allow_chance for size in (total, busy))
    error = cells.happened - cells.mean
    spread, busy_spread = (
        tuple(float(np.sqrt((square * where).sum() / size)) for square in (error**2, cells.variance))
        for where, size in ((cells.counted, total), (cells.busy, busy))
    )
    found = [
        _Question("level", measures.level, *units),
        _Question("distribution", measures.distribution, allowance=1.36 / max(days, 1.0) ** 0.5),
        _Question("PIT", measures.pit_uniformity),
        _Question("coverage", measures.interval_coverage, allowance=of_all, below=of_all),
        _Question("coverage, busiest third", measures.busy_coverage, allowance=of_busy, below=of_busy),
        _Question("dispersion", measures.dispersion, *spread),
        _Question("dispersion, busiest third", measures.busy_dispersion, *busy_spread),
    ]
    if cells.varied.any():
        deepest = float(cells.log_uplift[cells.varied].max(axis=1).mean())
        found.append(_Question("response", measures.response, deepest * measures.response(cells, every), deepest))
        found.append(_Question("sign of the response", measures.right_signs))
    return found


def _of_all(joint: Together, *, has_hours: bool) -> list[_Question]:
    """What is asked of the products that are sold together."""
    every = np.arange(len(joint.hours))
    found = []
    if has_hours:
        fano = (measures.hourly_fano(joint, every), joint.simulated_fano)
        found = [_Question("hours", measures.hour_shape), _Question("burstiness", measures.burstiness, *fano)]
    if len(joint.z) > 1:
        known = (measures.days_correlation(joint, every), joint.simulated_correlation)
        found.insert(0, _Question("correlation", measures.joint_swing, *known))
    return found


def _product_row(world: World, cells: Cells, product: int) -> dict[str, Any]:
    """How one product fares; too few days for a mark of its own."""
    one = cells.of(product)
    every = np.arange(cells.counted.shape[1])
    return {
        "product_id": world.product_ids[product],
        "name": world.product_names[product],
        "level": measures.level(one, every),
        "coverage": measures.interval_coverage(one, every),
        "dispersion": measures.dispersion(one, every),
        "response": measures.response(one, every) if one.varied.any() else None,
    }
