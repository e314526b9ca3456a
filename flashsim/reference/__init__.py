"""Sales with an exact solution. They run through the same engine and env as every other sale.

    sales        menu sales and joint sales, compiled
    solution     their optimum and the exact value of any policy, by backward induction
    paths        what simpler plans earn (fixed and announced prices, markdowns, two teams), and the fluid bound
    continuous   closed forms of the same problem in continuous time
    named        the reference sales by name, and sales from a file

Every public name can be imported from here.
"""

from flashsim.reference.continuous import best_fixed_price, fluid_bound, optimal_price, optimal_value
from flashsim.reference.named import REFERENCE_SALES, g0, g1, g3, j1, table_file
from flashsim.reference.paths import PricePath, best_fixed, best_markdown, best_price_path, fluid_value, siloed
from flashsim.reference.sales import JointSale, MenuSale, ReferenceSale, joint_sale, menu_sale
from flashsim.reference.solution import (
    JointPolicy,
    JointSolution,
    Solution,
    evaluate_exactly,
    hold,
    solve,
    tabulate,
)

__all__ = [
    "REFERENCE_SALES",
    "JointPolicy",
    "JointSale",
    "JointSolution",
    "MenuSale",
    "PricePath",
    "ReferenceSale",
    "Solution",
    "best_fixed",
    "best_fixed_price",
    "best_markdown",
    "best_price_path",
    "evaluate_exactly",
    "fluid_bound",
    "fluid_value",
    "g0",
    "g1",
    "g3",
    "hold",
    "j1",
    "joint_sale",
    "menu_sale",
    "optimal_price",
    "optimal_value",
    "siloed",
    "solve",
    "table_file",
    "tabulate",
]
