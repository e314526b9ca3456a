"""Rules played side by side: one batch for many rules, so that what a tick costs is paid once for all of them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.actions import ActionCodec
from flashsim.envs.calls import PlannedCalls
from flashsim.rules.rules import RulePolicy, config_of, operate


class SideBySide:
    """Rules of one sale with one kind of scaler, as one policy. Each has as many rows as the others, in their order.

    Every row gets the decisions that its rule makes when it plays alone, to the last bit. It is quick where rules that
    share their ``price`` and their calls follow each other.
    """

    name = "rules side by side"

    def __init__(self, rules: Sequence[RulePolicy], rows: int) -> None:
        """``rows``: of each rule. ValueError when the scalers differ."""
        operations, sale = [rule.operations for rule in rules], rules[0].sale
        config = config_of(operations)
        self._count, self.action, self._scaler = len(rules), asdict(config), operations[0].scaler
        self._codec = ActionCodec(sale, config)
        self._opening_ticks = np.repeat([how.opening_ticks for how in operations], rows)
        self._target = np.repeat([how.target for how in operations], rows)
        self._cap = np.repeat([float(sale.admission_caps[how.cap_index]) for how in operations], rows)
        self._prices = [(rule.price, part) for rule, part in _runs(rules, rows, lambda rule: rule.price)]
        dashboard = self._codec.dashboard
        self._calls = [
            (PlannedCalls(dashboard, rule.operations.calls), part)
            for rule, part in _runs(rules, rows, lambda rule: rule.operations.calls)
        ]

    def __len__(self) -> int:
        """Number of rules."""
        return self._count

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """Actions (row, head)."""
        usual = self._codec.defaults(len(observation))
        price_index, timing = usual.price_index, usual.timing
        for price, part in self._prices:
            price_index[part] = price(observation[part])
        for calls, part in self._calls:
            timing[part] = calls.order(observation[part])
        return operate(
            self._codec,
            observation,
            price_index=price_index,
            timing=timing,
            scaler=self._scaler,
            opening_ticks=self._opening_ticks,
            cap=self._cap,
            target=self._target,
        )


def _runs(
    rules: Sequence[RulePolicy], rows: int, key: Callable[[RulePolicy], object]
) -> list[tuple[RulePolicy, slice]]:
    """The first of all rules that follow each other and have the same ``key``, and their rows."""
    runs, first = [], 0
    for _, group in groupby(rules, key):
        same = list(group)
        runs.append((same[0], slice(first, first + len(same) * rows)))
        first += len(same) * rows
    return runs
