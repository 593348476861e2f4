"""Entry guard: what was changed for an alert was put back, and it fires again. A person looks then, and nobody goes
round in circles: on, resolved, off, firing, on.
"""

from __future__ import annotations

from bridge.model.intake import GuardFacts
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation


class AgainGuard:
    name = "again"

    def check(self, remediation: Remediation, facts: GuardFacts) -> Verdict:
        """Deny while the last undo of this runbook here, by itself or by hand, is within the attempts' window."""
        undone = max(facts.runs.get("undone", ()), default=None)
        if undone is None or facts.now - undone >= remediation.attempts_window:
            return Verdict.allow()
        minutes = (facts.now - undone) / 60
        detail = f"what it changed was put back {minutes:.0f} min ago: doing it again would go round in circles"
        return Verdict.deny(Reason.FIRES_AGAIN, detail, retry_at=undone + remediation.attempts_window)
