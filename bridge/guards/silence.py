"""Entry guard: somebody has silenced the alert in Alertmanager: he is at it, or does not want it looked at."""

from __future__ import annotations

from bridge.model.intake import GuardFacts
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation

_ASK_AGAIN = 60.0
_LOOK_AGAIN = 300.0
"""A silence may be lifted before its end, which nobody tells us."""


class SilenceGuard:
    name = "silence"

    def check(self, remediation: Remediation, facts: GuardFacts) -> Verdict:
        """Defer to the end of the silence; our own are none. What could not be asked is asked again in a minute."""
        if remediation.requested_by:
            return Verdict.allow()
        if facts.silences_unknown:
            return Verdict.defer(Reason.SILENCES_UNKNOWN, facts.silences_unknown, retry_at=facts.now + _ASK_AGAIN)
        if not facts.silences:
            return Verdict.allow()
        silence = facts.silences[0]
        ends = [each.ends_at for each in facts.silences if each.ends_at is not None]
        detail = f"silenced by {silence.created_by}: {silence.comment} ({silence.id})"
        look = facts.now + _LOOK_AGAIN
        return Verdict.defer(Reason.SILENCED, detail, retry_at=min(look, max(ends, default=look)))
