"""Entry guard: an operator's pause of everything, a cluster, a namespace or a runbook."""

from __future__ import annotations

from bridge.model.intake import GuardFacts, Pause
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation


class PauseGuard:
    name = "pause"

    def check(self, remediation: Remediation, facts: GuardFacts) -> Verdict:
        """Defer while a pause covers the remediation; a resume, or its end, looks again."""
        scopes = scopes_of(remediation)
        for pause in facts.pauses:
            if pause.scope in scopes and (pause.until is None or pause.until > facts.now):
                return Verdict.defer(Reason.PAUSED, _told(pause), retry_at=pause.until)
        return Verdict.allow()


def scopes_of(remediation: Remediation) -> frozenset[str]:
    """Return every scope of a pause that would stop this remediation."""
    target = remediation.target
    return frozenset(
        {"all", f"cluster:{target.cluster}", f"namespace:{target.namespace}", f"runbook:{remediation.runbook}"}
    )


def _told(pause: Pause) -> str:
    return f"{pause.scope} is paused by {pause.by}: {pause.why}"
