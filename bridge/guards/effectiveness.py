"""Entry guard: a runbook whose last runs did not help runs no more, until a person has looked at it."""

from __future__ import annotations

from bridge.model.intake import GuardFacts
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation


class EffectivenessGuard:
    name = "effectiveness"

    def check(self, remediation: Remediation, facts: GuardFacts) -> Verdict:
        """Deny what was stopped; nothing but a person's resume ends that, so no time is given to look again."""
        if facts.trust.stopped is None:
            return Verdict.allow()
        detail = (
            f"its last {facts.trust.stopped.runs} runs did not help: it runs no more until a person says so "
            f"(`alertbridge resume --scope runbook:{remediation.runbook}`)"
        )
        return Verdict.deny(Reason.RUNBOOK_STOPPED, detail)
