"""Entry guard: act only on what still fires after a while. A resolve meanwhile cancels the run that waits."""

from __future__ import annotations

from bridge.model.intake import GuardFacts
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation


class HoldOffGuard:
    name = "hold_off"

    def check(self, remediation: Remediation, facts: GuardFacts) -> Verdict:
        """Defer to the end of the route's `hold_off`, counted from when the firing was first received.

        By the store's clock, so that a sender's wrong one moves nothing. What a person asks for does not wait.
        """
        if not remediation.hold_off or remediation.requested_by:
            return Verdict.allow()
        over = held_until(remediation)
        if over <= facts.now:
            return Verdict.allow()
        detail = f"acts only when it still fires after {remediation.hold_off:.0f} s"
        return Verdict.defer(Reason.HOLD_OFF, detail, retry_at=over)


def held_until(remediation: Remediation) -> float:
    """Return when the remediation may begin at the earliest, unix seconds."""
    return (remediation.received_at or remediation.created_at) + remediation.hold_off
