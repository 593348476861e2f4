"""Entry guard: the same runbook does not run for the same target again before its cooldown is over."""

from __future__ import annotations

from bridge.model.intake import GuardFacts
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation


class CooldownGuard:
    name = "cooldown"

    def check(self, remediation: Remediation, facts: GuardFacts) -> Verdict:
        """Defer to the end of the cooldown, counted from the end of the last run that wrote something."""
        if facts.last_finished_at is None or not remediation.cooldown:
            return Verdict.allow()
        over = facts.last_finished_at + remediation.cooldown
        if over <= facts.now:
            return Verdict.allow()
        ago = facts.now - facts.last_finished_at
        detail = f"ran {ago:.0f} s ago, its cooldown is {remediation.cooldown:.0f} s"
        return Verdict.defer(Reason.COOLDOWN, detail, retry_at=over)
