"""Entry guard: a one-off maintenance window of the configuration covers the alert."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.model.intake import GuardFacts
from bridge.model.maintenance import Maintenance
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation


class MaintenanceGuard:
    name = "maintenance"

    def __init__(self, windows: Callable[[], Sequence[Maintenance]]) -> None:
        """`windows` are those of now."""
        self._windows = windows

    def check(self, remediation: Remediation, facts: GuardFacts) -> Verdict:
        """Defer to the end of the window; of several to the last one's, when what still fires is looked at again."""
        covering = [window for window in self._windows() if window.covers(remediation.labels, facts.now)]
        if not covering:
            return Verdict.allow()
        last = max(covering, key=lambda window: window.ends)
        detail = f"maintenance {last.name} lasts until {last.ends.isoformat(timespec='minutes')}"
        return Verdict.defer(Reason.MAINTENANCE, detail, retry_at=last.ends.timestamp())
