"""Tells what was done as Kubernetes Events on the objects that it was done to. Called by record and by worker.

For people who look with `kubectl describe`. Never a reason for anything: what cannot be told is not told, nobody
waits for it, and it counts as no change. Source: Kubernetes API, core/v1 Event.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from datetime import UTC, datetime
from typing import Any

import structlog

from bridge.engine.progress import Progress
from bridge.errors import KubeConflict, KubeForbidden
from bridge.model import kinds
from bridge.model.redact import redact
from bridge.model.remediation import Entry, Outcome, RemediationView
from bridge.model.target import ObjectRef
from bridge.ports import Clock, Cluster

log = structlog.get_logger(__name__)

COMPONENT = "alertbridge"
LONGEST = 1000
"""Characters of a message; the API server takes 1024 bytes."""
DEADLINE = 10.0
QUIET = 600.0
"""Seconds for which a cluster that forbids it is not asked again."""


class Events:
    """All Events of a process: at most so many within a minute, and so many on their way."""

    def __init__(self, clock: Clock, *, observe: bool = False, per_minute: int = 60, at_a_time: int = 10) -> None:
        """`observe`: also what would have been done."""
        self.observe = observe
        self._clock = clock
        self._per_minute = per_minute
        self._at_a_time = at_a_time
        self._sent: deque[float] = deque()
        self._quiet: dict[str, float] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    def tell(self, cluster: Cluster, ref: ObjectRef, reason: str, text: str, *, key: str, warning: bool) -> None:
        """Tell it in the background, or not at all. `key` makes its name: what is told twice is there once."""
        now = self._clock.monotonic()
        while self._sent and self._sent[0] <= now - 60.0:
            self._sent.popleft()
        full = len(self._sent) >= self._per_minute or len(self._under_way) >= self._at_a_time
        if full or self._quiet.get(cluster.name, 0.0) > now:
            return
        self._sent.append(now)
        at = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        task = asyncio.create_task(self._send(cluster, event(ref, reason, text, key=key, warning=warning, at=at)))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _send(self, cluster: Cluster, manifest: dict[str, Any]) -> None:
        meta = manifest["metadata"]
        ref = ObjectRef("v1", "Event", meta["namespace"], meta["name"], cluster=cluster.name)
        try:
            async with asyncio.timeout(DEADLINE):
                await cluster.create(ref, manifest)
        except KubeConflict:
            pass
        except KubeForbidden:
            self._quiet[cluster.name] = self._clock.monotonic() + QUIET
            log.info("events may not be created: none for a while", cluster=cluster.name)
        except Exception as error:
            log.debug("an event was not created", cluster=cluster.name, error=str(error))

    async def settle(self) -> None:
        """Wait for what is on its way."""
        if self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)


def event(ref: ObjectRef, reason: str, text: str, *, key: str, warning: bool, at: str) -> dict[str, Any]:
    """Return the Event on an object; one without a namespace has its Events in `default`."""
    name = f"{ref.name[:200]}.{hashlib.sha256(f'{key}|{ref}'.encode()).hexdigest()[:16]}"
    about = {"apiVersion": ref.api_version, "kind": ref.kind, "name": ref.name}
    more = {"namespace": ref.namespace, "uid": ref.uid}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": ref.namespace or "default"},
        "involvedObject": {**about, **{part: value for part, value in more.items() if value}},
        "reason": reason,
        "message": redact(text, longest=LONGEST),
        "type": "Warning" if warning else "Normal",
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


class Teller:
    """Tells of one run."""

    def __init__(self, events: Events, cluster: Cluster, view: RemediationView, api_version: str) -> None:
        self._events = events
        self._cluster = cluster
        self._rem = view.remediation
        self._api_version = api_version

    def heard(self, entry: Entry, progress: Progress) -> None:
        """Tell of a write; every other entry is none of it. Never raises."""
        if not entry.data.get("wrote"):
            return
        try:
            self._heard(entry, progress)
        except Exception as error:
            log.debug("no event was left", error=str(error))

    def _heard(self, entry: Entry, progress: Progress) -> None:
        found = _ref_of(entry, progress)
        if found is None or not found.api_version:
            return
        reason = "ChangeApplied" if entry.kind == kinds.APPLIED else "ChangeUndone"
        key = f"{self._rem.id}|{entry.kind}|{entry.data.get('step', '')}|{entry.data.get('change', '')}|{entry.text}"
        text = f"{entry.text} (remediation {self._rem.id}, {self._rem.runbook})"
        self._events.tell(self._cluster, found, reason, text, key=key, warning=False)

    def ended(self, outcome: Outcome, text: str, *, changed: bool) -> None:
        """Tell how it ended, on its target; where nothing was changed only if that is wanted."""
        if not changed and not (self._events.observe and outcome is Outcome.OBSERVED):
            return
        target = self._rem.target
        if not self._api_version or not target.name:
            return
        ref = ObjectRef(self._api_version, target.kind, target.namespace, target.name, cluster=target.cluster)
        reason = f"Remediation{outcome.value.capitalize()}"
        good = outcome in (Outcome.SUCCEEDED, Outcome.OBSERVED)
        said = f"{text} (remediation {self._rem.id}, {self._rem.runbook})"
        self._events.tell(self._cluster, ref, reason, said, key=f"{self._rem.id}|ended", warning=not good)


def _ref_of(entry: Entry, progress: Progress) -> ObjectRef | None:
    if entry.kind == kinds.UNDONE:
        put = entry.data.get("put", {}).get("ref")
        return ObjectRef(**put) if put else None
    piece = progress.pieces.get(str(entry.data.get("step")))
    number = int(entry.data.get("change", 0))
    if entry.kind != kinds.APPLIED or piece is None or number >= len(piece.plan.changes):
        return None
    return piece.plan.changes[number].ref
