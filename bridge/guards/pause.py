"""Entry guard: an operator's pause of everything, a cluster, a namespace or a runbook."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from bridge.model.intake import GuardFacts, Pause
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation


class PauseGuard:
    name = "pause"

    def check(self, remediation: Remediation, facts: GuardFacts) -> Verdict:
        """Defer while a pause covers the remediation; a resume, or the end of the longest one, looks again."""
        scopes = scopes_of(remediation)
        covering = [p for p in facts.pauses if p.scope in scopes and _end(p) > facts.now]
        if not covering:
            return Verdict.allow()
        longest = max(covering, key=_end)
        return Verdict.defer(Reason.PAUSED, _told(longest), retry_at=longest.until)


def scopes_of(remediation: Remediation) -> frozenset[str]:
    """Return every scope of a pause that would stop this remediation."""
    targets = remediation.all_targets
    return frozenset(
        {"all", f"runbook:{remediation.runbook}"}
        | {f"cluster:{target.cluster}" for target in targets}
        | {f"namespace:{target.namespace}" for target in targets}
    )


def _end(pause: Pause) -> float:
    return math.inf if pause.until is None else pause.until


def _told(pause: Pause) -> str:
    until = f" until {datetime.fromtimestamp(pause.until, UTC):%Y-%m-%d %H:%M} UTC" if pause.until else ""
    return f"{pause.scope} is paused by {pause.by}{until}: {pause.why}"
