"""How households differ, and how many kinds of them the data support.

A household is described by how it shops: recency (days since its last visit), frequency (visits a week), price
sensitivity (share of value bought at 10 % off or more) and category mix (shares of value by department), on scales on
which they are about normal (logarithms, logits, principal components of centered log-ratios), each with mean 0 and
standard deviation 1. Kinds are the parts of a mixture of normal distributions

    p(x) = Σ_k w_k · N(x; mean_k, covariance_k)

fitted by EM. More parts always fit better what they were fitted to; so their number is chosen by the mean
log-likelihood of households that were left out (four folds), as the smallest within one standard error of the best.

The World keeps the three kinds of :mod:`flashsim.models.segments`: its tables, and what a simulated minute costs, grow
with their number, each must hold enough purchases for a response of its own, and a name that a person understands. They
are scored here too, as a mixture of three normal distributions whose parts are fitted to them, so that it can be seen
what a rule of three leaves out.

Source: McLachlan & Peel (2000), Finite Mixture Models, ch. 3 and 6; Smyth (2000), Statistics and Computing 10 (held-out
likelihood for their number); Breiman et al. (1984), CART, sec. 3.4.3 (one standard error); Aitchison (1986), The
Statistical Analysis of Compositional Data (log-ratios). Left out: who changes kind in the course of the year.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from flashsim.data.panel import DAYS_OF_WEEK
from flashsim.errors import InputError
from flashsim.models.segments import DEAL_DEPTH, SEGMENTS, HouseholdSegments

DEPARTMENTS: Final = 6
"""Departments told apart by name; the rest is one more."""
COMPONENTS: Final = 3
"""Principal components kept of the category mix."""
MOST_KINDS: Final = 12
FOLDS: Final = 4
RIDGE: Final = 0.02
"""Added to variances of standardized features: no part may shrink to a point."""
STARTS: Final = 8
"""Random starts of k-means; EM alone may stop with two parts in one kind."""
SMALLEST_SHARE: Final = 0.005
"""Stands in for a department in which nothing was bought."""
VISITS: Final = 2
"""Fewer visits than these tell nothing of how a household shops."""


class Behavior(NamedTuple):
    """Standardized features of households."""

    household_ids: NDArray[np.int64]
    values: NDArray[np.float64]  # household, feature
    names: tuple[str, ...]


class KindsFit(NamedTuple):
    """Held-out log-likelihood by the number of kinds."""

    log_likelihood: NDArray[np.float64]  # number - 1; mean of a household, nats
    standard_error: NDArray[np.float64]  # number - 1; of the difference to the best, paired by household
    chosen: int
    by_rule: float  # the same for the World's segments; nan where they were not given
    households: int

    def as_json(self, *, used: int) -> dict[str, Any]:
        """Plain values, and why the World uses ``used``."""
        gain = float(self.log_likelihood.max() - self.log_likelihood[0])
        by_rule = None if np.isnan(self.by_rule) else self.by_rule
        return {
            "chosen_by_heldout_likelihood": self.chosen,
            "used": used,
            "why": "tables and the cost of a simulated minute grow with the number of segments, each must hold enough "
            "purchases for a response of its own, and a name that a person understands",
            "households": self.households,
            "log_likelihood": [float(value) for value in self.log_likelihood],
            "standard_error_to_best": [float(value) for value in self.standard_error],
            "by_rule": by_rule,
            "share_of_the_gain_by_rule": None
            if by_rule is None or gain <= 0.0
            else (by_rule - float(self.log_likelihood[0])) / gain,
        }


class _Mixture(NamedTuple):
    weight: NDArray[np.float64]  # kind
    mean: NDArray[np.float64]  # kind, feature
    cholesky: NDArray[np.float64]  # kind, feature, feature; lower, of the covariance

    def terms(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """log w_k + log N(x; k) (household, kind)."""
        columns = []
        for weight, mean, root in zip(self.weight, self.mean, self.cholesky, strict=True):
            distance = solve_triangular(root, (values - mean).T, lower=True)
            constant = np.log(weight) - np.log(np.diag(root)).sum() - 0.5 * mean.size * np.log(2.0 * np.pi)
            columns.append(constant - 0.5 * (distance**2).sum(axis=0))
        return np.stack(columns, axis=1)


def household_behavior(lines: pd.DataFrame, products: pd.DataFrame) -> Behavior:
    """Behavior from clean sale lines (household_id, basket_id, product_id, day, regular_value, depth) and ``products``.

    Households with fewer than two visits are left out. InputError when fewer than two are left.
    """
    weeks = (int((lines["day"].max() - lines["day"].min()).days) + 1) / DAYS_OF_WEEK
    visits = lines.groupby("household_id")["basket_id"].nunique()
    kept = visits[visits >= VISITS]
    if len(kept) < 2:
        raise InputError(f"{len(kept)} households came at least {VISITS} times; bring more to tell kinds of them apart")
    mine = lines[lines["household_id"].isin(kept.index)]
    recency = (lines["day"].max() - mine.groupby("household_id")["day"].max()).dt.days.to_numpy(np.float64)
    value = mine.groupby("household_id")["regular_value"].sum()
    on_deal = mine[mine["depth"] >= DEAL_DEPTH].groupby("household_id")["regular_value"].sum()
    share = np.clip((on_deal.reindex(value.index, fill_value=0.0) / value).to_numpy(np.float64), 0.005, 0.995)
    columns = [np.log1p(recency), np.log(kept.to_numpy(np.float64) / weeks), np.log(share / (1.0 - share))]
    mix = _category_mix(mine, products)
    names = ("recency", "frequency", "price sensitivity", *(f"category mix {i + 1}" for i in range(mix.shape[1])))
    values = np.column_stack([*columns, mix])
    spread = values.std(axis=0)
    varied = spread > 1e-9
    values = (values - values.mean(axis=0))[:, varied] / spread[varied]
    return Behavior(kept.index.to_numpy(np.int64), values, tuple(np.array(names)[varied].tolist()))


def choose_kinds(
    values: NDArray[np.float64],
    *,
    most: int = MOST_KINDS,
    by_rule: NDArray[np.intp] | None = None,
    generator: np.random.Generator,
) -> KindsFit:
    """Held-out likelihood of mixtures of 1 … ``most`` kinds of ``values`` (household, feature), and the number chosen.

    ``by_rule`` (household) are segments to be scored in the same way. InputError when households are too few.
    """
    if len(values) < fewest_households(values.shape[1]):
        raise InputError(f"{len(values)} households with {values.shape[1]} features are too few to choose kinds from")
    fold = generator.permutation(np.arange(len(values)) % FOLDS)
    scores = np.zeros((most + 1, len(values)))
    for left_out in range(FOLDS):
        train, test = fold != left_out, fold == left_out
        for kinds in range(1, most + 1):
            fitted = _fit_mixture(values[train], kinds, generator=generator)
            scores[kinds, test] = logsumexp(fitted.terms(values[test]), axis=1)
        if by_rule is not None:
            given = np.eye(int(by_rule.max()) + 1)[by_rule[train]]
            fitted = _maximize(values[train], given[:, given.any(axis=0)])
            scores[0, test] = logsumexp(fitted.terms(values[test]), axis=1)
    mean = scores[1:].mean(axis=1)
    best = int(mean.argmax()) + 1
    error = (scores[1:] - scores[best]).std(axis=1, ddof=1) / np.sqrt(len(values))
    chosen = int(np.flatnonzero(mean >= mean[best - 1] - error)[0]) + 1
    rule = float(scores[0].mean()) if by_rule is not None else float("nan")
    return KindsFit(mean, error, chosen, rule, len(values))


def fewest_households(features: int) -> int:
    """Households that a choice of kinds needs."""
    return FOLDS * 2 * (features + 1)


def describe_kinds(
    behavior: Behavior, segments: HouseholdSegments, *, generator: np.random.Generator
) -> dict[str, Any]:
    """The choice of the number of kinds beside the World's ``segments``, as JSON; says so where data are too few."""
    needed = fewest_households(behavior.values.shape[1])
    if len(behavior.values) < needed:
        few = f"{len(behavior.values)} households came often enough, {needed} are needed"
        return {"chosen_by_heldout_likelihood": None, "used": len(SEGMENTS), "why": few}
    place = np.searchsorted(segments.household_ids, behavior.household_ids)
    fit = choose_kinds(behavior.values, by_rule=segments.segment[place, 0], generator=generator)
    return fit.as_json(used=len(SEGMENTS))


def _category_mix(lines: pd.DataFrame, products: pd.DataFrame) -> NDArray[np.float64]:
    """Principal components of centered log-ratios of value by department (household, component)."""
    department = lines["product_id"].map(products.set_index("product_id")["department"]).fillna("unknown")
    largest = lines.groupby(department)["regular_value"].sum().nlargest(DEPARTMENTS).index
    named = department.where(department.isin(largest), "other")
    table = lines.groupby(["household_id", named])["regular_value"].sum().unstack(fill_value=0).to_numpy(np.float64)
    shares = table / table.sum(axis=1, keepdims=True) + SMALLEST_SHARE
    logs = np.log(shares)
    ratios = logs - logs.mean(axis=1, keepdims=True)
    centered = ratios - ratios.mean(axis=0)
    directions = np.linalg.svd(centered, full_matrices=False)[2][: min(COMPONENTS, table.shape[1] - 1)]
    return np.asarray(centered @ directions.T)


def _fit_mixture(
    values: NDArray[np.float64], kinds: int, *, generator: np.random.Generator, iterations: int = 60
) -> _Mixture:
    """EM from the tightest of several k-means partitions."""
    starts = [kmeans2(values, kinds, minit="++", seed=generator) for _ in range(STARTS if kinds > 1 else 1)]
    _, labels = min(starts, key=lambda start: float(((values - start[0][start[1]]) ** 2).sum()))
    share = np.eye(kinds)[labels] * 0.9 + 0.1 / kinds
    before = -np.inf
    for _ in range(iterations):
        fitted = _maximize(values, share)
        terms = fitted.terms(values)
        total = logsumexp(terms, axis=1)
        share = np.exp(terms - total[:, None])
        if total.mean() - before < 1e-4:
            break
        before = float(total.mean())
    return fitted


def _maximize(values: NDArray[np.float64], share: NDArray[np.float64]) -> _Mixture:
    """Weights, means and covariances of households that belong to kinds with ``share`` (household, kind)."""
    size = share.sum(axis=0) + 1e-9
    mean = (share.T @ values) / size[:, None]
    roots = []
    for kind, center in enumerate(mean):
        spread = values - center
        covariance = (share[:, kind, None] * spread).T @ spread / size[kind]
        roots.append(np.linalg.cholesky(covariance + RIDGE * np.eye(values.shape[1])))
    return _Mixture(size / size.sum(), mean, np.stack(roots))
