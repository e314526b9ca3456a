"""The World's segments: kinds of households, as many as the data support, named by what sets them apart.

Kinds are the parts of a mixture of normal distributions of how households shop
(:mod:`flashsim.models.customers.behavior`),

    p(x) = Σ_k w_k · N(x; mean_k, covariance_k)

fitted by EM. More parts always fit better what they were fitted to; so their number is chosen by the mean
log-likelihood of households that were left out (four folds), as the smallest within one standard error of the best.
Each household is, in each half of the weeks, of the kind whose posterior is largest given what it did in the *other*
half: who happened to buy much on deal in a week would else both look like a deal seeker and seem to respond strongly in
that same week. Who came too seldom there to be told counts to the kind that comes least often.

Names tell how often a kind comes and how much it buys on deal, against the thirds of all households; kinds that these
do not tell apart are told by the department to which they lean most.

Source: McLachlan & Peel (2000), Finite Mixture Models, ch. 3 and 6; Smyth (2000), Statistics and Computing 10 (held-out
likelihood for their number); Breiman et al. (1984), CART, sec. 3.4.3 (one standard error). Left out: households between
kinds (each is wholly of one, and lines are counted there), and who changes kind for good.
"""

import warnings
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from flashsim.errors import InputError
from flashsim.models.customers.behavior import Behavior, Facts
from flashsim.models.customers.segments import HALVES, HouseholdSegments

Array = NDArray[np.float64]

MOST_KINDS: Final = 12
FOLDS: Final = 4
RIDGE: Final = 0.02
"""Added to variances of standardized features: no part may shrink to a point."""
STARTS: Final = 8
"""Random starts of k-means; EM alone may stop with two parts in one kind."""
EVERYBODY: Final = "everybody"
"""The name where there is one kind."""
HOW_OFTEN: Final = ("rare buyers", "regular buyers", "frequent buyers")
HOW_PRICED: Final = (", few deals", "", ", many deals")


class KindsFit(NamedTuple):
    """Held-out log-likelihood by the number of kinds."""

    log_likelihood: Array  # number - 1; mean of a household, nats
    standard_error: float  # of the best of them
    chosen: int
    households: int


class Kinds(NamedTuple):
    """The segments of households, and how they were found."""

    segments: HouseholdSegments
    record: dict[str, Any]  # plain JSON values
    described: tuple[dict[str, Any], ...]  # segment; plain JSON values


class _Mixture(NamedTuple):
    weight: Array  # kind
    mean: Array  # kind, feature
    cholesky: Array  # kind, feature, feature; lower, of the covariance

    def terms(self, values: Array) -> Array:
        """log w_k + log N(x; k) (row, kind)."""
        columns = []
        for weight, mean, root in zip(self.weight, self.mean, self.cholesky, strict=True):
            distance = solve_triangular(root, (values - mean).T, lower=True)
            constant = np.log(weight) - np.log(np.diag(root)).sum() - 0.5 * mean.size * np.log(2.0 * np.pi)
            columns.append(constant - 0.5 * (distance**2).sum(axis=0))
        return np.stack(columns, axis=1)


def find_kinds(behavior: Behavior, *, kinds: int | None, generator: np.random.Generator) -> Kinds:
    """``kinds`` kinds of households, or as many as held-out likelihood chooses; one, where they are too few to choose.

    InputError when there are more kinds than households could tell apart.
    """
    record: dict[str, Any] = {
        "what": "parts of a normal mixture of how households shop (flashsim/models/customers/mixture.py)"
    }
    households, needed = len(np.unique(behavior.household)), fewest_households(behavior.values.shape[1])
    if kinds is not None:
        if kinds * (behavior.values.shape[1] + 1) > households:
            raise InputError(f"{households} households cannot be divided into {kinds} kinds; ask for fewer")
        record |= {"used": kinds, "why": "asked for"}
    elif households < needed:
        record |= {"used": 1, "why": f"{households} households came often enough, {needed} are needed to choose"}
    else:
        fit = choose_kinds(behavior.values, household=behavior.household, generator=generator)
        record |= {
            "used": fit.chosen,
            "why": "the smallest number within one standard error of the best log-likelihood of households left out",
            "households": fit.households,
            "log_likelihood": [float(value) for value in fit.log_likelihood],
            "standard_error_of_best": fit.standard_error,
        }
    terms = _fit_mixture(behavior.values, record["used"], generator=generator).terms(behavior.values)
    label = np.unique(terms.argmax(axis=1), return_inverse=True)[1]
    record["used"] = int(label.max()) + 1  # a part that is nobody's likeliest is no kind
    facts = behavior.facts
    often = [-float(np.median(facts.visits_a_week[label == kind])) for kind in range(record["used"])]
    label = np.argsort(np.argsort(often, kind="stable"), kind="stable")[label]
    segment = np.full((len(behavior.household_ids), HALVES), record["used"] - 1, dtype=np.intp)
    segment[behavior.household, HALVES - 1 - behavior.half] = label
    segments = HouseholdSegments(behavior.household_ids, segment, behavior.block_weeks, name_kinds(facts, label))
    return Kinds(segments, record, tuple(_describe(facts, label == kind) for kind in range(record["used"])))


def choose_kinds(
    values: Array, *, household: NDArray[np.intp], most: int = MOST_KINDS, generator: np.random.Generator
) -> KindsFit:
    """Held-out likelihood of mixtures of 1 … ``most`` kinds of ``values`` (row, feature), and the number chosen.

    Rows of one ``household`` (row) are left out together; no more kinds are tried than their households could tell
    apart. InputError when households are too few.
    """
    who, place = np.unique(household, return_inverse=True)
    if len(who) < fewest_households(values.shape[1]):
        raise InputError(f"{len(who)} households with {values.shape[1]} features are too few to choose kinds from")
    most = min(most, len(who) * (FOLDS - 1) // FOLDS // (values.shape[1] + 1))
    fold = generator.permutation(np.arange(len(who)) % FOLDS)[place]
    scores = np.zeros((most, len(values)))
    for left_out in range(FOLDS):
        train, test = fold != left_out, fold == left_out
        for kinds in range(1, most + 1):
            fitted = _fit_mixture(values[train], kinds, generator=generator)
            scores[kinds - 1, test] = logsumexp(fitted.terms(values[test]), axis=1)
    scores = np.stack([np.bincount(place, row) / np.bincount(place) for row in scores])
    mean = scores.mean(axis=1)
    best = int(mean.argmax())
    error = float(scores[best].std(ddof=1) / np.sqrt(len(who)))
    chosen = int(np.flatnonzero(mean >= mean[best] - error)[0]) + 1
    return KindsFit(mean, error, chosen, len(who))


def fewest_households(features: int) -> int:
    """Households that a choice of kinds needs."""
    return FOLDS * 2 * (features + 1)


def name_kinds(facts: Facts, label: NDArray[np.intp]) -> tuple[str, ...]:
    """A unique name for each kind, from ``facts`` and ``label`` (row)."""
    count = int(label.max()) + 1
    if count == 1:
        return (EVERYBODY,)
    plain = [
        HOW_OFTEN[_third(facts.visits_a_week, label == kind)] + HOW_PRICED[_third(facts.deal_share, label == kind)]
        for kind in range(count)
    ]
    names: list[str] = []
    for kind, name in enumerate(plain):
        leaning = np.argsort(-_leaning(facts, label == kind), kind="stable")
        told = [f"{name}, more {facts.departments[place]}" for place in leaning] if plain.count(name) > 1 else [name]
        told += [f"{told[0]} ({number})" for number in range(2, count + 1)]
        names.append(next(words for words in told if words not in names))
    return tuple(names)


def _third(values: Array, mine: NDArray[np.bool_]) -> int:
    """0, 1 or 2: the third of all ``values`` in which the median of ``mine`` lies."""
    return int(np.searchsorted(np.quantile(values, [1.0 / 3.0, 2.0 / 3.0]), np.median(values[mine])))


def _leaning(facts: Facts, mine: NDArray[np.bool_]) -> Array:
    """Mean share of each department among ``mine``, over that among all."""
    leaning: Array = facts.mix[mine].mean(axis=0) / np.maximum(facts.mix.mean(axis=0), 1e-12)
    return leaning


def _describe(facts: Facts, mine: NDArray[np.bool_]) -> dict[str, Any]:
    """How a kind shops, in plain units."""
    return {
        "visits_a_week": float(np.median(facts.visits_a_week[mine])),
        "share_bought_on_deal": float(np.median(facts.deal_share[mine])),
        "days_since_last_visit": float(np.median(facts.days_since[mine])),
        "departments_against_all": {
            name: float(ratio) for name, ratio in zip(facts.departments, _leaning(facts, mine), strict=True)
        },
    }


def _fit_mixture(values: Array, kinds: int, *, generator: np.random.Generator, iterations: int = 60) -> _Mixture:
    """EM from the tightest of several k-means partitions."""
    with warnings.catch_warnings():  # a start with an empty part is as good as its others; a tighter one beats it
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
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


def _maximize(values: Array, share: Array) -> _Mixture:
    """Weights, means and covariances of rows that belong to kinds with ``share`` (row, kind)."""
    size = share.sum(axis=0) + 1e-9
    mean = (share.T @ values) / size[:, None]
    roots = []
    for kind, center in enumerate(mean):
        spread = values - center
        covariance = (share[:, kind, None] * spread).T @ spread / size[kind]
        roots.append(np.linalg.cholesky(covariance + RIDGE * np.eye(values.shape[1])))
    return _Mixture(size / size.sum(), mean, np.stack(roots))
