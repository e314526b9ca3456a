"""Searches that play sales: of constant depths, of the operations of a rule, and of two teams that work separately.

    search     depths and operations, searched by simulation on the training members, on which learners train too
    teams      pricing first, capacity second
    field      every baseline by name

Every public name can be imported from here.
"""

from flashsim.planning.field import BASELINES, DEFAULT_FIELD, Baseline, Field, check_field
from flashsim.planning.search import (
    SEARCH_SEED,
    FixedSearch,
    Trials,
    Workers,
    best_fixed,
    best_operations,
    search_fixed,
)
from flashsim.planning.teams import TeamsFound, search_teams, two_teams, two_teams_exactly, without_capacity

__all__ = [
    "BASELINES",
    "DEFAULT_FIELD",
    "SEARCH_SEED",
    "Baseline",
    "Field",
    "FixedSearch",
    "TeamsFound",
    "Trials",
    "Workers",
    "best_fixed",
    "best_operations",
    "check_field",
    "search_fixed",
    "search_teams",
    "two_teams",
    "two_teams_exactly",
    "without_capacity",
]
