"""Entry guard: a one-off maintenance window of the configuration covers the alert."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
        """Defer to the end of the window; of several to the last one's, when what still fires is looked at again.

        Several alerts may have asked for the run: it goes on while one of them is covered by none.
        """
        lasts = [self._last(labels, facts.now) for labels in facts.labels or (remediation.labels,)]
        covering = [window for window in lasts if window is not None]
        if len(covering) < len(lasts):
            return Verdict.allow()
        first = min(covering, key=lambda window: window.ends)
        detail = f"maintenance {first.name} lasts until {first.ends.isoformat(timespec='minutes')}"
        return Verdict.defer(Reason.MAINTENANCE, detail, retry_at=first.ends.timestamp())

    def _last(self, labels: Mapping[str, str], now: float) -> Maintenance | None:
        covering = (window for window in self._windows() if window.covers(labels, now))
        return max(covering, key=lambda window: window.ends, default=None)
