"""Tell people through the log: one line for each ending, a warning where a person is needed."""

from __future__ import annotations

import structlog

from bridge.model.remediation import RemediationView

log = structlog.get_logger(__name__)


class LogNotifier:
    """Implements ports.Notifier. The log and the metrics reach a person through the alert rules on them."""

    async def notify(self, view: RemediationView, text: str, *, page: bool) -> None:
        tell = log.warning if page else log.info
        tell(
            "a person is needed" if page else "remediation ended",
            remediation=view.remediation.id,
            runbook=view.remediation.runbook,
            target=str(view.remediation.target),
            text=text,
        )
