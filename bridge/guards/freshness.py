"""Entry guard: a remediation that waited too long to be started is skipped; the world has moved on."""

from __future__ import annotations

from bridge.guards.hold_off import held_until
from bridge.model.intake import GuardFacts
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation


class FreshnessGuard:
    name = "freshness"

    def check(self, remediation: Remediation, facts: GuardFacts) -> Verdict:
        """Defer what is past its runbook's `expires`: an alert that still fires then asks for a new run."""
        # A hold-off is no waiting for a worker: the time to wait in begins when it is over.
        age = facts.now - max(remediation.created_at, held_until(remediation))
        longest = float(remediation.runbook_doc.get("expires", 3600.0))
        if age <= longest:
            return Verdict.allow()
        detail = f"created {age:.0f} s ago, its runbook lets it wait {longest:.0f} s"
        return Verdict.defer(Reason.OUT_OF_DATE, detail, retry_at=facts.now)
