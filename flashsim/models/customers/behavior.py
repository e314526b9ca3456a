"""How households shop: recency, frequency, price sensitivity and category mix, in each half of the weeks.

The weeks are divided into two halves (even and odd blocks). The segment of a household in one half comes from its
behavior in the other half alone (:mod:`flashsim.models.customers.segments`). In each half these features describe a
household:

    recency            log(1 + days from its last visit to the end); days of the other half are not counted
    frequency          log(visits a week)
    price sensitivity  logit(share of regular value bought at 10 % off or more)
    category mix       principal components of centered log-ratios of the shares of value by department

Each feature is about normal, with mean 0 and standard deviation 1 over households and halves together.

Source: Aitchison (1986), The Statistical Analysis of Compositional Data (log-ratios). Left out: which products, and at
what hour.
"""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flashsim.data.panel import DAYS_OF_WEEK
from flashsim.errors import InputError
from flashsim.models.customers.segments import DEAL_DEPTH, HALVES, half_of_week

Array = NDArray[np.float64]

DEPARTMENTS: Final = 6
"""Departments kept by name; all others form one more department."""
OTHER_DEPARTMENTS: Final = "other goods"
COMPONENTS: Final = 3
"""Number of principal components kept of the category mix."""
PRIOR_VISITS: Final = 5.0
"""Shares of value are shrunk towards the overall shares: as if each row had this many more visits of average value."""
VISITS: Final = 2
"""A row with fewer visits says nothing about how a household shops."""


class ShoppingFacts(NamedTuple):
    """How households shopped, in plain units; one row a household and half of the weeks with enough visits."""

    visits_a_week: Array  # row
    deal_share: Array  # row; share of regular value bought at DEAL_DEPTH or deeper
    days_since: Array  # row; days from the last visit to the end of the half
    value: Array  # row; regular value, in units of an average visit's
    mix: Array  # row, department; shares of value
    departments: tuple[str, ...]


class Behavior(NamedTuple):
    """Standardized features; one row a household and half with enough visits, ordered by household, then half."""

    household_ids: NDArray[np.int64]  # household; all of them, sorted
    household: NDArray[np.intp]  # row; index into household_ids
    half: NDArray[np.intp]  # row
    values: Array  # row, feature
    names: tuple[str, ...]  # feature
    facts: ShoppingFacts
    block_weeks: int


def household_behavior(lines: pd.DataFrame, products: pd.DataFrame, *, block_weeks: int) -> Behavior:
    """Behavior from clean sale lines (household_id, basket_id, product_id, day, regular_value, depth) and ``products``.

    Leaves out rows with fewer than two visits. InputError when fewer than two rows remain.
    """
    ids, household = np.unique(lines["household_id"].to_numpy(), return_inverse=True)
    day = (lines["day"] - lines["day"].min()).dt.days.to_numpy()
    all_days = np.arange(day.max() + 1)
    half_of_day = half_of_week(all_days // DAYS_OF_WEEK, block_weeks=block_weeks)
    days = np.bincount(half_of_day, minlength=HALVES)
    clock = np.where(half_of_day == 0, np.cumsum(half_of_day == 0), np.cumsum(half_of_day == 1))  # 1 … days in its half
    table = pd.DataFrame(
        {
            "cell": household * HALVES + half_of_day[day],
            "basket": lines["basket_id"].to_numpy(),
            "clock": clock[day],
            "value": lines["regular_value"].to_numpy(),
            "on_deal": lines["regular_value"].to_numpy() * (lines["depth"].to_numpy() >= DEAL_DEPTH),
            "department": _departments(lines, products),
        }
    )
    visits = table.groupby("cell")["basket"].nunique()
    visits = visits[visits >= VISITS]
    cells = visits.index.to_numpy(np.intp)
    if len(cells) < 2:
        raise InputError(
            f"{len(cells)} households came at least {VISITS} times; bring more to tell kinds of them apart"
        )
    table = table[table["cell"].isin(cells)]
    sums = table.groupby("cell")[["value", "on_deal"]].sum()
    mix = table.groupby(["cell", "department"])["value"].sum().unstack(fill_value=0)
    half = cells % HALVES
    facts = ShoppingFacts(
        visits.to_numpy(np.float64) * DAYS_OF_WEEK / days[half],
        (sums["on_deal"] / np.maximum(sums["value"], 1e-12)).to_numpy(np.float64),
        (days[half] - table.groupby("cell")["clock"].max().to_numpy()).astype(np.float64),
        (sums["value"] / (sums["value"].sum() / visits.sum())).to_numpy(np.float64),
        mix.to_numpy(np.float64) / np.maximum(mix.to_numpy(np.float64).sum(axis=1, keepdims=True), 1e-12),
        tuple(str(name) for name in mix.columns),
    )
    values, names = _features(facts)
    return Behavior(ids.astype(np.int64), cells // HALVES, half, values, names, facts, block_weeks)


def _departments(lines: pd.DataFrame, products: pd.DataFrame) -> NDArray[np.object_]:
    """Department of each line, in lower case; the small departments become one."""
    department = lines["product_id"].map(products.set_index("product_id")["department"]).fillna(OTHER_DEPARTMENTS)
    largest = lines.groupby(department)["regular_value"].sum().nlargest(DEPARTMENTS).index
    return department.where(department.isin(largest), OTHER_DEPARTMENTS).str.lower().to_numpy(object)


def _features(facts: ShoppingFacts) -> tuple[Array, tuple[str, ...]]:
    """Standardized features (row, feature) that vary, and their names."""
    share = np.clip(_shrink(facts.deal_share[:, None], facts.value)[:, 0], 0.005, 0.995)
    mix = _principal_components(_shrink(facts.mix, facts.value))
    columns = [np.log1p(facts.days_since), np.log(facts.visits_a_week), np.log(share / (1.0 - share)), mix]
    names = ("recency", "frequency", "price sensitivity", *(f"category mix {i + 1}" for i in range(mix.shape[1])))
    values = np.column_stack(columns)
    spread = values.std(axis=0)
    varied = spread > 1e-9
    return (values - values.mean(axis=0))[:, varied] / spread[varied], tuple(np.array(names)[varied].tolist())


def _shrink(shares: Array, value: Array) -> Array:
    """Shrink ``shares`` (row, part) of ``value`` (row) towards the overall shares: few purchases can give any share."""
    everybody = value @ shares / value.sum()
    return (shares * value[:, None] + PRIOR_VISITS * everybody) / (value[:, None] + PRIOR_VISITS)


def _principal_components(mix: Array) -> Array:
    """Principal components (row, component) of centered log-ratios of shares ``mix`` (row, department)."""
    logs = np.log(np.maximum(mix, 1e-6))
    ratios = logs - logs.mean(axis=1, keepdims=True)
    centered = ratios - ratios.mean(axis=0)
    directions = np.linalg.svd(centered, full_matrices=False)[2][: min(COMPONENTS, mix.shape[1] - 1)]
    return np.asarray(centered @ directions.T)
