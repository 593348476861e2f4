"""Ask for what is due by the clock. Started by app in every process that dispatches; knows nothing of routes.

Each due time comes in as an alert of our own, which many may bring and one brings first: source, name and due time
make it the same. So it is carried out once, whatever the number of processes, and goes the way of every alert.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from bridge.model.alert import Alert
from bridge.model.audit import Note
from bridge.model.order import OURS, SCHEDULED, Order
from bridge.model.schedule import ScheduleSpec
from bridge.ports import Audit, Clock, Guardbook, Intake
from bridge.telemetry import Metrics

log = structlog.get_logger(__name__)

EVERY = 2.0
"""Seconds between two looks at the clock."""


class Schedules:
    """The clock of one process."""

    def __init__(
        self,
        specs: Callable[[], Sequence[ScheduleSpec]],
        *,
        name: str,
        intake: Intake,
        guardbook: Guardbook,
        audit: Audit,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        """`specs` are the schedules of now, `name` is the process's."""
        self._name = name
        self._specs = specs
        self._intake = intake
        self._guardbook = guardbook
        self._audit = audit
        self._clock = clock
        self._metrics = metrics
        self._last: dict[str, float] = {}
        """By schedule: the due time that was looked after last, or since when it is looked after."""

    async def look(self) -> None:
        """Ask for every run that became due; what is due for too long is left out, with a record."""
        for spec in self._specs():
            now = self._clock.now()
            if spec.name not in self._last:
                self._last[spec.name] = await self._before(spec, now)
            due = spec.due(self._last[spec.name], now)
            if due is None:
                continue
            if now - due > spec.late:
                await self._missed(spec, due)
            else:
                await self._intake.accept((alert_of(spec, due),))
                self._metrics.schedule_due(spec.name, due)
            self._last[spec.name] = due

    async def _before(self, spec: ScheduleSpec, now: float) -> float:
        """Return when anybody ran it last. What never ran is not late: it is looked after from now on."""
        for incident in await self._guardbook.incidents(name_of(spec)):
            if incident["source"] == OURS and incident["starts_at"]:
                self._metrics.schedule_due(spec.name, incident["starts_at"])
                return min(now, float(incident["starts_at"]))
        return now

    async def _missed(self, spec: ScheduleSpec, due: float) -> None:
        when = f"{datetime.fromtimestamp(due, UTC):%Y-%m-%d %H:%M} UTC"
        if await self._guardbook.first_to_tell(f"missed|{spec.name}|{due:.0f}", self._name, 7 * 86400.0):
            text = f"was due at {when}, and nobody was there within {spec.late / 60:.0f} min: it is left out"
            log.warning("a run was missed", schedule=spec.name, text=text)
            await self._audit.record(Note(what="missed", who=f"schedule:{spec.name}", about=spec.runbook, text=text))
            self._metrics.schedule_missed(spec.name)


def name_of(spec: ScheduleSpec) -> str:
    """Return the fingerprint of a schedule's alerts."""
    return hashlib.sha256(f"schedule:{spec.name}".encode()).hexdigest()[:16]


def alert_of(spec: ScheduleSpec, due: float) -> Alert:
    """Return what asks for the run that is due at a time (unix seconds)."""
    order = Order(
        runbook=spec.runbook,
        path=f"{SCHEDULED}{spec.name}",
        params=spec.params,
        mode=spec.mode,
        # The clock is its pace, and a run that failed says nothing against the next one.
        cooldown=0.0,
        max_attempts=1_000_000,
        allow_drift=spec.allow_drift,
        allow_irreversible=spec.allow_irreversible,
        allow_namespaces=spec.allow_namespaces,
        approvers=spec.approvers,
        approve_within=spec.approve_within,
    )
    return Alert(
        source=OURS,
        fingerprint=name_of(spec),
        status="firing",
        starts_at=round(due * 1_000_000),
        labels={"alertname": spec.name, **spec.labels},
        requested_by=f"schedule:{spec.name}",
        order=order,
    )
