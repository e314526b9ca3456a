"""The World's segments as customer types: as many types as the data support, named by what distinguishes them.

A customer type is one component of a mixture of normal distributions. The mixture describes how households shop
(:mod:`flashsim.models.customers.behavior`),

    p(x) = Σ_k w_k · N(x; mean_k, covariance_k)

and EM fits it. More components always fit the data they were fitted to better. So held-out data choose their number:
four folds leave households out, and the number is the smallest whose mean log-likelihood of the households left out is
within one standard error of the best.

In each half of the weeks a household belongs to the type with the largest posterior given what the household did in the
*other* half. Otherwise a household that happened to buy much on deal in one week would look like a deal seeker and
would also seem to respond strongly in that same week. A household with too few visits in the other half belongs to the
type that visits least often.

A name says how often a type visits and how much it buys on deal, each compared with the thirds of all households. Where
two types have the same name by this rule, the name adds the department to which the type leans most.

Source: McLachlan & Peel (2000), Finite Mixture Models, ch. 3 and 6; Smyth (2000), Statistics and Computing 10 (held-out
likelihood for their number); Breiman et al. (1984), CART, sec. 3.4.3 (one standard error). Left out: households between
two types (each household belongs wholly to one type, and its lines count there), and households that change their type
for good.
"""

import warnings
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from flashsim.errors import InputError
from flashsim.models.customers.behavior import Behavior, ShoppingFacts
from flashsim.models.customers.segments import HALVES, HouseholdSegments

Array = NDArray[np.float64]

MOST_TYPES: Final = 12
FOLDS: Final = 4
RIDGE: Final = 0.02
"""Added to the variances of standardized features, so that no component can shrink to a point."""
STARTS: Final = 8
"""Random starts of k-means. EM alone may stop with two components inside one customer type."""
EVERYBODY: Final = "everybody"
"""The name when there is only one type."""
HOW_OFTEN: Final = ("rare buyers", "regular buyers", "frequent buyers")
HOW_PRICED: Final = (", few deals", "", ", many deals")


class TypeCount(NamedTuple):
    """Held-out log-likelihood by the number of types, and the chosen number."""

    log_likelihood: Array  # number - 1; mean of a household, nats
    standard_error: float  # of the best of them
    chosen: int
    households: int


class CustomerTypes(NamedTuple):
    """The segments of households, and how they were found."""

    segments: HouseholdSegments
    record: dict[str, Any]  # plain JSON values
    described: tuple[dict[str, Any], ...]  # segment; plain JSON values


class _Mixture(NamedTuple):
    weight: Array  # component
    mean: Array  # component, feature
    cholesky: Array  # component, feature, feature; lower, of the covariance

    def terms(self, values: Array) -> Array:
        """log w_k + log N(x; k) (row, component)."""
        columns = []
        for weight, mean, root in zip(self.weight, self.mean, self.cholesky, strict=True):
            distance = solve_triangular(root, (values - mean).T, lower=True)
            constant = np.log(weight) - np.log(np.diag(root)).sum() - 0.5 * mean.size * np.log(2.0 * np.pi)
            columns.append(constant - 0.5 * (distance**2).sum(axis=0))
        return np.stack(columns, axis=1)


def find_customer_types(behavior: Behavior, *, types: int | None, generator: np.random.Generator) -> CustomerTypes:
    """Divide households into ``types`` types, or into as many as the held-out likelihood chooses (None).

    With too few households to choose, there is one type. InputError when ``types`` is more than the households can
    support.
    """
    record: dict[str, Any] = {
        "what": "parts of a normal mixture of how households shop (flashsim/models/customers/mixture.py)"
    }
    households, needed = len(np.unique(behavior.household)), fewest_households(behavior.values.shape[1])
    if types is not None:
        if types * (behavior.values.shape[1] + 1) > households:
            raise InputError(f"{households} households cannot be divided into {types} kinds; ask for fewer")
        record |= {"used": types, "why": "asked for"}
    elif households < needed:
        record |= {"used": 1, "why": f"{households} households came often enough, {needed} are needed to choose"}
    else:
        count = choose_type_count(behavior.values, household=behavior.household, generator=generator)
        record |= {
            "used": count.chosen,
            "why": "the smallest number within one standard error of the best log-likelihood of households left out",
            "households": count.households,
            "log_likelihood": [float(value) for value in count.log_likelihood],
            "standard_error_of_best": count.standard_error,
        }
    terms = _fit_mixture(behavior.values, record["used"], generator=generator).terms(behavior.values)
    label = np.unique(terms.argmax(axis=1), return_inverse=True)[1]
    record["used"] = int(label.max()) + 1  # a component that is most likely for no household is not a type
    facts = behavior.facts
    often = [-float(np.median(facts.visits_a_week[label == each])) for each in range(record["used"])]
    label = np.argsort(np.argsort(often, kind="stable"), kind="stable")[label]
    segment = np.full((len(behavior.household_ids), HALVES), record["used"] - 1, dtype=np.intp)
    segment[behavior.household, HALVES - 1 - behavior.half] = label
    segments = HouseholdSegments(behavior.household_ids, segment, behavior.block_weeks, name_types(facts, label))
    return CustomerTypes(segments, record, tuple(_describe(facts, label == each) for each in range(record["used"])))


def choose_type_count(
    values: Array, *, household: NDArray[np.intp], most: int = MOST_TYPES, generator: np.random.Generator
) -> TypeCount:
    """Score mixtures of 1 … ``most`` types of ``values`` (row, feature) by held-out likelihood and choose a number.

    Rows of one ``household`` (row) are left out together. The largest number tried is what the households can support.
    InputError when there are too few households.
    """
    who, place = np.unique(household, return_inverse=True)
    if len(who) < fewest_households(values.shape[1]):
        raise InputError(f"{len(who)} households with {values.shape[1]} features are too few to choose kinds from")
    most = min(most, len(who) * (FOLDS - 1) // FOLDS // (values.shape[1] + 1))
    fold = generator.permutation(np.arange(len(who)) % FOLDS)[place]
    scores = np.zeros((most, len(values)))
    for left_out in range(FOLDS):
        train, test = fold != left_out, fold == left_out
        for count in range(1, most + 1):
            fitted = _fit_mixture(values[train], count, generator=generator)
            scores[count - 1, test] = logsumexp(fitted.terms(values[test]), axis=1)
    scores = np.stack([np.bincount(place, row) / np.bincount(place) for row in scores])
    mean = scores.mean(axis=1)
    best = int(mean.argmax())
    error = float(scores[best].std(ddof=1) / np.sqrt(len(who)))
    chosen = int(np.flatnonzero(mean >= mean[best] - error)[0]) + 1
    return TypeCount(mean, error, chosen, len(who))


def fewest_households(features: int) -> int:
    """Households that a choice of the number of types needs."""
    return FOLDS * 2 * (features + 1)


def name_types(facts: ShoppingFacts, label: NDArray[np.intp]) -> tuple[str, ...]:
    """A unique name for each type, from ``facts`` and ``label`` (row)."""
    count = int(label.max()) + 1
    if count == 1:
        return (EVERYBODY,)
    plain = [
        HOW_OFTEN[_third(facts.visits_a_week, label == each)] + HOW_PRICED[_third(facts.deal_share, label == each)]
        for each in range(count)
    ]
    names: list[str] = []
    for each, name in enumerate(plain):
        leaning = np.argsort(-_leaning(facts, label == each), kind="stable")
        choices = [f"{name}, more {facts.departments[place]}" for place in leaning] if plain.count(name) > 1 else [name]
        choices += [f"{choices[0]} ({number})" for number in range(2, count + 1)]
        names.append(next(choice for choice in choices if choice not in names))
    return tuple(names)


def _third(values: Array, is_member: NDArray[np.bool_]) -> int:
    """0, 1 or 2: the third of all ``values`` that holds the median of the rows where ``is_member``."""
    return int(np.searchsorted(np.quantile(values, [1.0 / 3.0, 2.0 / 3.0]), np.median(values[is_member])))


def _leaning(facts: ShoppingFacts, is_member: NDArray[np.bool_]) -> Array:
    """Mean share of each department in the rows where ``is_member``, divided by its mean share in all rows."""
    leaning: Array = facts.mix[is_member].mean(axis=0) / np.maximum(facts.mix.mean(axis=0), 1e-12)
    return leaning


def _describe(facts: ShoppingFacts, is_member: NDArray[np.bool_]) -> dict[str, Any]:
    """How one type shops, in plain units."""
    return {
        "visits_a_week": float(np.median(facts.visits_a_week[is_member])),
        "share_bought_on_deal": float(np.median(facts.deal_share[is_member])),
        "days_since_last_visit": float(np.median(facts.days_since[is_member])),
        "departments_against_all": {
            name: float(ratio) for name, ratio in zip(facts.departments, _leaning(facts, is_member), strict=True)
        },
    }


def _fit_mixture(values: Array, count: int, *, generator: np.random.Generator, iterations: int = 60) -> _Mixture:
    """Fit ``count`` components by EM, from the tightest of several k-means partitions."""
    with warnings.catch_warnings():  # a start with an empty cluster does no harm: a tighter start replaces it
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        starts = [kmeans2(values, count, minit="++", seed=generator) for _ in range(STARTS if count > 1 else 1)]
    _, labels = min(starts, key=lambda start: float(((values - start[0][start[1]]) ** 2).sum()))
    share = np.eye(count)[labels] * 0.9 + 0.1 / count
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
    """Weights, means and covariances of rows that belong to components with ``share`` (row, component)."""
    size = share.sum(axis=0) + 1e-9
    mean = (share.T @ values) / size[:, None]
    roots = []
    for component, center in enumerate(mean):
        spread = values - center
        covariance = (share[:, component, None] * spread).T @ spread / size[component]
        roots.append(np.linalg.cholesky(covariance + RIDGE * np.eye(values.shape[1])))
    return _Mixture(size / size.sum(), mean, np.stack(roots))
