"""What a good team does today, and what theory would do: policies without a network, on what the learners know.

    rules      a depth held, the human ladder, the run-out price, and operations: scalers, pushes, the opening
    search     depths and operations searched by simulation
    fluid      the fluid linear program, solved anew at every decision
    programs   fitted dynamic programs
    bandits    LinUCB and Thompson sampling
    teams      pricing first, capacity second
    field      all of them by name

Each sees the observation and the training members' forecast alone, and is searched on the training members, as learners
train on them. Every public name is importable from here.
"""

from agents.baselines.bandits import LinearBandit, bandit_rule, learn_bandit
from agents.baselines.field import DEFAULT_FIELD, DESCRIPTIONS, Field, check_field
from agents.baselines.fluid import FluidProgram, Outlook, fluid_lp, fluid_programs
from agents.baselines.programs import TablePolicy, fitted_programs, optimal, planned_sale, priced_by_programs
from agents.baselines.rules import (
    HUMAN_TEAM,
    LADDER,
    Operations,
    Rule,
    RulePolicy,
    dashboard_of,
    fixed,
    human_team,
    ladder,
    list_price,
    operations_of,
    run_out_price,
)
from agents.baselines.search import SEARCH_SEED, FixedSearch, Trials, best_fixed, best_operations, search_fixed
from agents.baselines.teams import TeamsFound, search_teams, two_teams, two_teams_exactly, without_capacity

__all__ = [
    "DEFAULT_FIELD",
    "DESCRIPTIONS",
    "HUMAN_TEAM",
    "LADDER",
    "SEARCH_SEED",
    "Field",
    "FixedSearch",
    "FluidProgram",
    "LinearBandit",
    "Operations",
    "Outlook",
    "Rule",
    "RulePolicy",
    "TablePolicy",
    "TeamsFound",
    "Trials",
    "bandit_rule",
    "best_fixed",
    "best_operations",
    "check_field",
    "dashboard_of",
    "fitted_programs",
    "fixed",
    "fluid_lp",
    "fluid_programs",
    "human_team",
    "ladder",
    "learn_bandit",
    "list_price",
    "operations_of",
    "optimal",
    "planned_sale",
    "priced_by_programs",
    "run_out_price",
    "search_fixed",
    "search_teams",
    "two_teams",
    "two_teams_exactly",
    "without_capacity",
]
