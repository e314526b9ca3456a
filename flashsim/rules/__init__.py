"""What a good team does today, and what theory would do: policies without a network, with the learners' information.

    rules      a constant depth, the human ladder, the run-out price, and operations: scalers, pushes, the opening
    fluid      the fluid linear program, solved again at every decision
    programs   fitted dynamic programs

Each policy sees only the observation and the forecast of the training members. ``flashsim.planning`` searches them.
Every public name can be imported from here.
"""

from flashsim.rules.fluid import FluidProgram, Outlook, fluid_lp, fluid_programs
from flashsim.rules.programs import TablePolicy, fitted_programs, optimal, priced_by_programs, reference_of
from flashsim.rules.rules import (
    HUMAN_TEAM,
    LADDER,
    RUN_OUT_PRICE,
    Operations,
    Rule,
    RulePolicy,
    fixed,
    human_team,
    ladder,
    list_price,
    operations_of,
    run_out_price,
)

__all__ = [
    "HUMAN_TEAM",
    "LADDER",
    "RUN_OUT_PRICE",
    "FluidProgram",
    "Operations",
    "Outlook",
    "Rule",
    "RulePolicy",
    "TablePolicy",
    "fitted_programs",
    "fixed",
    "fluid_lp",
    "fluid_programs",
    "human_team",
    "ladder",
    "list_price",
    "operations_of",
    "optimal",
    "priced_by_programs",
    "reference_of",
    "run_out_price",
]
