"""The audit trail over HTTP: one JSON object a line, who or what, why, before and after.

Called by the table of operations. The trail says what happened when; what a write changed is looked up in the plan of
its journal, once for each remediation.
"""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web

from bridge.api.moments import Moment, moment, seconds_of
from bridge.api.operation import Call, Operation, Refused
from bridge.errors import StoreUnavailable
from bridge.model import kinds
from bridge.model.approval import APPROVED
from bridge.model.audit import Happened, Note, told
from bridge.model.plan import Change, Plan
from bridge.model.reason import Reason
from bridge.model.redact import mask
from bridge.model.remediation import Entry, Remediation
from bridge.ports import Audit, Journal, WorkQueue
from bridge.telemetry import get_logger

EXPORTS = 4
"""How many exports run at a time: each reads the whole trail."""
CHUNK = 16384
"""Bytes that are sent at once."""
KNOWN = 100
"""Remediations whose journal is kept at hand by one export."""

log = get_logger()


class AuditQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which time to tell of: from `since` on, before `until`. Without them everything that is kept."""

    since: Moment | msgspec.UnsetType = msgspec.UNSET
    until: Moment | msgspec.UnsetType = msgspec.UNSET


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision, one write, or what a person did."""

    at: datetime | None
    kind: str
    """`decision`, the kind of a journal's entry (`applied` and `undone` are writes), or what a person did."""
    who: str
    """The person, or `alertbridge` with its worker."""
    why: str = ""
    text: str = ""
    reason: str = ""
    remediation: str = ""
    runbook: str = ""
    route: str = ""
    target: str = ""
    fingerprint: str = ""
    incident: str = ""
    operation: str = ""
    object: str = ""
    before: Any = None
    after: Any = None
    resource_version: str = ""
    """Of the object after the write."""


class _Known(msgspec.Struct):
    """What is known of one remediation, and how much of its journal was read."""

    remediation: Remediation | None
    length: int = 0
    plans: list[Entry] = []
    approvals: list[Entry] = []


class AuditTrail:
    """Handlers over the trail."""

    def __init__(self, audit: Audit, queue: WorkQueue, journal: Journal) -> None:
        self._audit = audit
        self._queue = queue
        self._journal = journal
        self._running = 0

    async def export(self, call: Call) -> web.StreamResponse:
        """Stream the trail; a stream that breaks off has no proper end, so that nobody takes it for all."""
        query: AuditQuery = call.query
        since = seconds_of(query.since) if query.since else 0.0
        until = seconds_of(query.until) if query.until else math.inf
        if self._running >= EXPORTS:
            raise Refused(503, f"{EXPORTS} exports run already")
        self._running += 1
        try:
            return await self._send(call, TrailTeller(self._queue, self._journal).tell(self._audit, since, until))
        finally:
            self._running -= 1

    async def _send(self, call: Call, records: AsyncIterator[AuditRecord]) -> web.StreamResponse:
        # The first one before the status line: where the store is away, that is said properly.
        first = await anext(records, None)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        await response.prepare(call.request)
        try:
            waiting = bytearray(_line(first) if first is not None else b"")
            async for record in records:
                waiting += _line(record)
                if len(waiting) >= CHUNK:
                    await response.write(bytes(waiting))
                    waiting.clear()
            await response.write(bytes(waiting))
        except ConnectionError:
            pass
        except Exception:
            log.exception("audit export broke off")
            if call.request.transport is not None:
                call.request.transport.abort()
        return response

    def noted(self, operation: Operation) -> Operation:
        """Return an operation such that what was done stands in the trail: where the stores do not see to that.

        What a person says of a remediation is in its journal, pauses are in the trail with the step that makes them.
        """
        handle = operation.handle

        async def run(call: Call) -> Any:
            done = await handle(call)
            await self._note(operation.name, call)
            return done

        return msgspec.structs.replace(operation, handle=run)

    async def _note(self, what: str, call: Call) -> None:
        # The body was understood before.
        asked: dict[str, Any] = msgspec.json.decode(call.body)
        labels = asked.get("labels") or {}
        named = [asked.get("alertname") or labels.get("alertname"), asked.get("runbook")]
        over = [f"in spite of: {', '.join(asked['override'])}"] if asked.get("override") else []
        note = Note(
            what=what,
            who=call.principal.name,
            why=str(asked.get("why", "")),
            text="; ".join([" ".join(filter(None, named)) or "an alert without a name", *over]),
        )
        try:
            await self._audit.record(note)
        except StoreUnavailable:
            # It was done: to say no now would make somebody do it twice. Its remediation holds its author as well.
            log.error("not in the audit trail", operation=what, by=note.who, why=note.why)


def _line(record: AuditRecord) -> bytes:
    return msgspec.json.encode(record) + b"\n"


class TrailTeller:
    """Makes records of what happened; remembers the remediations that it met last."""

    def __init__(self, queue: WorkQueue, journal: Journal) -> None:
        self._queue = queue
        self._journal = journal
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def tell(self, audit: Audit, since: float, until: float) -> AsyncIterator[AuditRecord]:
        async for one in audit.read(since=since, until=until):
            yield await self._record(one)

    async def _record(self, one: Happened) -> AuditRecord:
        if one.note is not None:
            return _by_hand(one.at, one.note)
        if one.decision is not None:
            return _decided(one)
        known = await self._of(one.remediation)
        if one.entry is not None and one.entry.data.get("wrote") and known.length <= one.number:
            entries = await self._journal.read(one.remediation)
            known.length = len(entries)
            known.plans = [entry for entry in entries if entry.kind == kinds.PLANNED]
            known.approvals = [entry for entry in entries if entry.kind == APPROVED]
        return _done(one, known)

    async def _of(self, name: str) -> _Known:
        found = self._known.get(name)
        if found is None:
            view = await self._queue.get(name)
            found = self._known[name] = _Known(view.remediation if view else None)
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)
        self._known.move_to_end(name)
        return found


def _by_hand(at: float, note: Note) -> AuditRecord:
    return AuditRecord(
        at=moment(at),
        kind=note.what,
        who=note.who,
        why=_shown(note.why),
        text=_shown("; ".join(filter(None, (note.about, note.text)))),
        remediation=note.remediation,
    )


def _decided(one: Happened) -> AuditRecord:
    decision = one.decision
    assert decision is not None
    return AuditRecord(
        at=moment(one.at),
        kind="decision",
        who="alertbridge",
        why=_meaning(decision.reason),
        text=_shown(decision.detail),
        reason=decision.reason,
        remediation=decision.remediation,
        runbook=decision.runbook,
        route=decision.route,
        fingerprint=one.fingerprint,
        incident=decision.incident,
    )


def _done(one: Happened, known: _Known) -> AuditRecord:
    entry, remediation = one.entry, known.remediation
    if entry is None:
        return AuditRecord(
            at=moment(one.at),
            kind="forgotten",
            who="alertbridge",
            remediation=one.remediation,
            text="the journal of this remediation is no longer kept",
        )
    written = _written(entry, known.plans)
    by = entry.data.get("by")
    return AuditRecord(
        at=moment(one.at),
        kind=entry.kind,
        who=str(by) if by else f"alertbridge ({entry.worker})" if entry.worker else "alertbridge",
        why=_meaning(entry.reason) or (_asked(known, entry) if written else ""),
        text=_shown(entry.text),
        reason=entry.reason,
        remediation=one.remediation,
        runbook=remediation.runbook if remediation else "",
        route=remediation.route if remediation else "",
        target=str(remediation.target) if remediation else "",
        operation=written.get("operation", ""),
        object=written.get("object", ""),
        before=written.get("before"),
        after=written.get("after"),
        resource_version=str(entry.data.get("version", "")),
    )


def _written(entry: Entry, plans: list[Entry]) -> dict[str, Any]:
    """Return what a write changed; empty for everything that is none."""
    if not entry.data.get("wrote"):
        return {}
    if "put" in entry.data:
        return dict(mask(entry.data["put"]))
    if entry.kind != kinds.APPLIED:
        return {}
    if made := entry.data.get("made"):
        return told(msgspec.convert(made, Change))
    step, number = entry.data.get("step"), entry.data.get("change", 0)
    for planned in reversed(plans):
        if planned.data.get("step") == step and planned.at <= entry.at:
            changes = msgspec.convert(planned.data["plan"], Plan).changes
            return told(changes[number]) if number < len(changes) else {}
    return {}


def _asked(known: _Known, entry: Entry) -> str:
    """Return what a write was for, and by whose leave."""
    remediation = known.remediation
    if remediation is None:
        return ""
    alert = remediation.labels.get("alertname", "")
    why = f"{remediation.runbook}, for the alert {alert}" if alert else remediation.runbook
    if remediation.requested_by:
        why = f"{remediation.requested_by} asked for it" + (f": {remediation.why}" if remediation.why else "")
    agreed = [each.text for each in known.approvals if each.at <= entry.at]
    return _shown("; ".join([why, *agreed[-1:]]))


def _meaning(reason: str) -> str:
    try:
        return Reason.of(reason).text if reason else ""
    except KeyError:
        # Of a newer version.
        return reason


@functools.lru_cache(maxsize=4096)
def _shown(text: str) -> str:
    """Return a text without credentials; a trail says the same again and again."""
    return str(mask(text))
