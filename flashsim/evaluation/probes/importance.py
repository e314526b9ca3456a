"""How much profit a policy loses when it no longer sees a part of its observation: importance by permutation.

At every decision the columns of one group (``feature_groups``) are exchanged among the sales that stand at the same
tick, so that each still holds values that sales at this tick have, but of another sale. The sales are then played on
with what the policy decides, on the same streams; the loss is the profit of the policy that sees, less that of the one
that does not, sale by sale. Groups are exchanged as a whole, for a policy reads in one column what is hidden in its
neighbour.

What it leaves out: the time is the same for all sales at a tick, so it has no importance by this measure. What carries
out a choice (the run-out price, the target of the scaler) reads the true observation. The interval is over sales and
worlds; the one draw of permutations is averaged over ticks and sales alone. Groups that follow from one another (stock
and visitors share the forecast) can each look unimportant where either would do.

Source: Breiman (2001), Machine Learning 45, 5-32, section 10; conditional on the tick as in Strobl et al. (2008), BMC
Bioinformatics 9:307.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.envs.features import feature_groups, observation_table
from flashsim.evaluation.rollout import Rollout, check_policy, play
from flashsim.evaluation.stats import bootstrap_means, differences, equal_member_means
from flashsim.policies.bundle import Policy
from flashsim.scenarios.compiled import CompiledSale

CONSTANT_AT_A_TICK = "time"


@dataclass(frozen=True)
class ShuffledPolicy:
    """A policy that sees ``columns`` of another sale at the same tick."""

    policy: Policy
    columns: NDArray[np.intp]
    time: int
    """Column of the time."""
    rng: np.random.Generator

    @property
    def name(self) -> str:
        """Display name."""
        return self.policy.name

    @property
    def action(self) -> Mapping[str, Any]:
        """Arguments of the ``ActionConfig``."""
        return self.policy.action

    def act(self, observation: NDArray[np.float32]) -> NDArray[np.int64]:
        """What the policy decides with the columns exchanged."""
        seen = observation.copy()
        for time in np.unique(observation[:, self.time]):
            here = np.flatnonzero(observation[:, self.time] == time)
            seen[np.ix_(here, self.columns)] = observation[np.ix_(self.rng.permutation(here), self.columns)]
        return self.policy.act(seen)


def importance_table(
    sale: CompiledSale,
    policy: Policy,
    whole: Rollout,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    progress: Callable[[int], object] = lambda _ticks: None,
) -> pd.DataFrame:
    """Profit lost a sale without each group, the largest loss first.

    ``whole`` is what ``policy`` did in consecutive sales of ``sale`` (``rollout.play``); the same are played again.
    Columns: group, features (how many), lost (currency a sale), low, high, lost_share (of the profit; NaN where that is
    not positive). InputError when the policy was made for other observations or actions.
    """
    check_policy(sale, policy)
    features = observation_table(sale)
    time = [feature.name for feature in features].index("time_left")
    groups = {group: columns for group, columns in feature_groups(features).items() if group != CONSTANT_AT_A_TICK}
    first = int(whole.seeds[0])
    losses = []
    for place, columns in enumerate(groups.values()):
        blind = ShuffledPolicy(policy, columns, time, np.random.default_rng([first, place]))
        played = play(sale, blind, sales=whole.seeds.size, seed=first, progress=progress)
        losses.append(differences(whole.totals["profit"][:, None], played.totals["profit"][:, None]))
    found = bootstrap_means(np.concatenate(losses, axis=1), whole.members, resamples=resamples, seed=first)
    low, high = found.interval(confidence)
    (profit,) = equal_member_means(whole.totals["profit"][:, None], whole.members)
    table = pd.DataFrame(
        {
            "group": list(groups),
            "features": [columns.size for columns in groups.values()],
            "lost": found.mean,
            "low": low,
            "high": high,
            "lost_share": found.mean / profit if profit > 0.0 else np.nan,
        }
    )
    return table.sort_values("lost", ascending=False, kind="stable", ignore_index=True)
