"""The cards below a decision: more than today, more than the nearest rule, worlds, guardrails with their levels."""

from typing import Any

from flashsim.evaluation.kpis import find_kpi
from flashsim.report.narrative import Narrator, Passage


class DecisionCards:
    """What the cards say of the policy of the decision; every number is cited."""

    def __init__(self, narrator: Narrator) -> None:
        self.narrator = narrator

    def over_practice(self) -> dict[str, Any]:
        """What is said of the lead over today's practice; empty where there is nobody to speak of."""
        decision = self.narrator.words.decision
        return {} if decision.candidate is None else self.narrator.words.lead(decision.candidate, decision.practice)

    def over_nearest_rule(self) -> dict[str, Any]:
        """The same over the rule that comes nearest to a learner; empty for a rule."""
        candidate = self.narrator.words.decision.candidate
        if candidate is None or not candidate.over_rules:
            return {}
        return self.narrator.words.lead(candidate, min(candidate.over_rules, key=lambda lead: lead.mean).over)

    def levels(self, over: str) -> Passage | None:
        """What the policy of the decision and ``over`` make, where both play the sale as given."""
        policy, change = self.narrator.subject
        if change:
            return None
        places = {
            name: self.narrator.row("kpis", policy=who, kpi=self.narrator.kpi.name)
            for name, who in (("own", policy), ("its", over))
        }
        cited = {
            name: self.narrator.cite("kpis", row, "mean", unit=self.narrator.kpi.unit) for name, row in places.items()
        }
        return Passage(self.narrator.texts["levels"], {"policy": policy, "over": over, **cited})

    def guardrail_levels(self) -> list[Passage]:
        """Each guardrail under the policy of the decision: its level, and its limit."""
        table, (policy, change) = self.narrator.tables["guardrails"], self.narrator.subject
        passages = []
        for row in table.index[(table["policy"] == policy) & (table["change"] == change)]:
            kpi = find_kpi(str(table.loc[row, "kpi"]))
            fields = {
                name: self.narrator.cite("guardrails", int(row), name, unit=kpi.unit) for name in ("mean", "limit")
            }
            text = self.narrator.texts["guardrail least" if kpi.direction == "higher" else "guardrail most"]
            passages.append(Passage(text, {"label": str(table.loc[row, "label"]), **fields}))
        return passages
