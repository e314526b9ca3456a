"""Judging policies: playing them through the same sales, measuring, and saying what can be told apart."""

from flashsim.evaluation.comparison import Comparison, compare
from flashsim.evaluation.kpis import KPIS, Kpi, kpi_markdown
from flashsim.evaluation.rollout import Rollout
from flashsim.evaluation.verdict import Verdict

__all__ = ["KPIS", "Comparison", "Kpi", "Rollout", "Verdict", "compare", "kpi_markdown"]
