"""Which silences of people cover an alert, by what the configured Alertmanager says of it. Called through admission.

Alertmanager itself says which silences hold an alert back, so that nobody has to match labels as it does. An alert
that it does not know, such as Grafana's, is not silenced there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from bridge.model.silence import ActiveAlert, Silence


class Alerts(Protocol):
    """The part of Alertmanager's API that is needed."""

    async def alerts(self, matchers: Mapping[str, str]) -> list[ActiveAlert]: ...

    async def silences(self) -> list[Silence]: ...


class Silenced:
    """Implements ports.Silences."""

    def __init__(self, alertmanager: Alerts, *, ours: str) -> None:
        """`ours` is what our own silences say that they were created by."""
        self._alertmanager = alertmanager
        self._ours = ours

    async def covering(self, labels: Mapping[str, str]) -> Sequence[Silence]:
        known = await self._alertmanager.alerts(labels)
        ids = {name for alert in known if alert.labels == dict(labels) for name in alert.silenced_by}
        if not ids:
            return ()
        return [
            silence
            for silence in await self._alertmanager.silences()
            if silence.id in ids and silence.created_by != self._ours
        ]
