"""Entry guard: a bounded number of runs with a write, for one runbook and target, in a window."""

from __future__ import annotations

from bridge.model.intake import GuardFacts
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation


class AttemptsGuard:
    name = "attempts"

    def check(self, remediation: Remediation, facts: GuardFacts) -> Verdict:
        """Deny when the attempts of the window are spent: what did not help so often is for a person."""
        since = facts.now - remediation.attempts_window
        recent = sorted(at for at in facts.attempts if at > since)
        most = remediation.max_attempts
        if len(recent) < most:
            return Verdict.allow()
        window = f"{remediation.attempts_window / 60:g} min"
        detail = f"{len(recent)} of {most} attempts in {window} are spent"
        # The `most`-th newest has to leave the window: to look earlier would only page a second time.
        free_at = recent[-most] + remediation.attempts_window if most > 0 else None
        return Verdict.deny(Reason.ATTEMPTS_SPENT, detail, retry_at=free_at)
