"""The dispatcher's side of the intake: entries, dispatching, and incidents that wait. Called by engine."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from itertools import chain
from typing import Any

from bridge.errors import StoreUnavailable
from bridge.model.intake import Assignment, Dispatch, Dispatched, IntakeEntry, Transition
from bridge.model.reason import Reason
from bridge.model.remediation import SCHEMA, Decision, Remediation
from bridge.stores.codec import ENCODER, TRANSITION, brief, milliseconds, pairs, stamped, texts, transitions_of
from bridge.stores.groups import Groups
from bridge.stores.holds import Holds
from bridge.stores.keys import BUCKETS, digest, runs_key
from bridge.stores.link import Link
from bridge.stores.together import Together

TOGETHER = 64
"""Dispatches that share one script call: some milliseconds of Redis's time."""
FEW = 8
"""Entries of one read at most: an entry may hold a thousand alerts, and a backlog must not be read into memory."""
FEW_LARGE = 2
LARGE = 200
"""Alerts in an entry after which the next read is a smaller one."""
SWEEP = 512
"""Buckets of the intake's records that one call of `expire` looks through."""


class RedisIntakeQueue:
    """Implements ports.IntakeQueue."""

    def __init__(self, link: Link, groups: Groups) -> None:
        self._link = link
        self._groups = groups
        self._holds = Holds(link.options.claim)
        self._large = False
        self._dispatches = Together(self._dispatch, most=TOGETHER)

    async def read(self, worker: str, *, count: int, block: float) -> list[IntakeEntry]:
        """See ports.IntakeQueue. Entries of a newer schema are left pending for a newer dispatcher."""
        few = FEW_LARGE if self._large else FEW
        rows = await self._groups.read("intake", "dispatch", worker, count=min(count, few), block=block)
        found: list[IntakeEntry] = []
        for entry, flat in rows:
            fields = pairs(flat)
            if int(fields[b"v"]) <= SCHEMA:
                found.append(await self._entry(entry, fields, 1))
        self._large = any(len(entry.transitions) > LARGE for entry in found)
        self._holds.add(worker, found, asyncio.get_running_loop().time())
        return found

    async def reclaim(self, worker: str) -> list[IntakeEntry]:
        await self._groups.tidy()
        rows = await self._groups.script("stalled", worker, SCHEMA, 10)
        found = [await self._entry(entry, pairs(flat), int(nr)) for entry, flat, nr in rows]
        self._holds.add(worker, found, asyncio.get_running_loop().time())
        return found

    async def _entry(self, raw: bytes, fields: dict[bytes, bytes], deliveries: int) -> IntakeEntry:
        entry = raw.decode()
        good, bad = transitions_of(fields)
        for index, line, error in bad:
            record = {
                "kind": "undecodable",
                "entry": entry,
                "index": index,
                "error": error,
                "excerpt": base64.b64encode(line[:500]).decode(),
            }
            await self._link.script("dead_alert", "", ENCODER.encode(record), "")
        return IntakeEntry(id=entry, transitions=tuple(good), deliveries=deliveries, undecodable=len(bad))

    async def begin_alert(self, entry: str, index: int) -> int:
        return int(await self._link.script("begin_alert", entry, index))

    async def dispatch(self, dispatch: Dispatch) -> Dispatched:
        """Record it in one script; see ports.IntakeQueue and lua/dispatch.lua."""
        transition = dispatch.transition
        held = self._holds.progress(transition.seq, asyncio.get_running_loop().time())
        if held is not None:
            await self._groups.script("hold", held[0], *held[1])
        return await self._dispatches(_arguments(dispatch))

    async def _dispatch(self, many: list[list[Any]]) -> list[Dispatched | Exception]:
        """Run the script for what several callers have to record."""
        replies = await self._link.script("dispatch", SCHEMA, *chain.from_iterable(many))
        return [_dispatched(reply) for reply in replies]

    async def dead_letter(self, entry: str, index: int, transition: Transition, error: str) -> None:
        record = {
            "kind": "alert",
            "entry": entry,
            "index": index,
            "error": error[:2000],
            "alert": transition.alert,
            "seq": transition.seq,
        }
        decision = _about(Decision(reason=Reason.DEAD_LETTER.value, detail=error[:500]), transition)
        args = (transition.alert.fingerprint, ENCODER.encode(record), stamped(decision))
        await self._link.script("dead_alert", *args)

    async def done(self, entries: Sequence[str]) -> None:
        if entries:
            await self._link.script("done", *entries)
        for entry in entries:
            self._holds.done(entry)

    async def due(self, *, limit: int) -> list[Transition]:
        return [TRANSITION.decode(blob) for blob in await self._link.script("due", limit)]

    async def wake(self, reasons: Sequence[Reason]) -> int:
        woken = 0
        for reason in reasons:
            cursor = b"0"
            while True:
                cursor, changed = await self._link.script("wake_incidents", reason.value, cursor)
                woken += int(changed)
                if cursor == b"0":
                    break
        return woken

    async def expire(self, *, limit: int) -> list[str]:
        """Close incidents that nobody has seen for long, and forget old records of the intake.

        A whole round over the records takes BUCKETS / SWEEP calls.
        """
        closed = await self._link.script("expire", limit)
        # Later than an incident's end, so that its record is still there when that is decided.
        await self._link.script("sweep", SWEEP, BUCKETS, int(self._link.options.incident_ttl * 1.25))
        return list(texts(closed))


def _about(decision: Decision, transition: Transition) -> Decision:
    """Return the decision as it is kept, with its incident, which the dispatcher may leave out."""
    return Decision(
        reason=decision.reason,
        detail=brief(decision.detail),
        incident=decision.incident or transition.alert.incident_id,
        remediation=decision.remediation,
        route=decision.route,
        runbook=decision.runbook,
    )


def _flat(assignment: Assignment) -> list[Any]:
    remediation = assignment.remediation
    return [
        remediation.id,
        assignment.join_key,
        assignment.queue_key,
        runs_key(remediation),
        ENCODER.encode(remediation),
        remediation.runbook,
        remediation.route,
        ENCODER.encode(remediation.target) if assignment.most_targets else "",
        assignment.most_targets,
        by_hand(remediation),
    ]


def by_hand(remediation: Remediation) -> str:
    """Return who asked for it by hand, why, and what it overrides; empty where an alert asked."""
    if not remediation.requested_by:
        return ""
    why = f": {remediation.why}" if remediation.why else ""
    over = f"; in spite of: {', '.join(remediation.override)}" if remediation.override else ""
    return f"{remediation.requested_by} asked for it by hand{why}{over}"


def _arguments(dispatch: Dispatch) -> list[Any]:
    """Return one dispatch as lua/dispatch.lua reads it."""
    transition = dispatch.transition
    alert = transition.alert
    args: list[Any] = [
        alert.key,
        alert.fingerprint,
        alert.source,
        digest(alert.key),
        transition.seq,
        transition.seen.value,
        alert.starts_at,
        ENCODER.encode(transition),
        dispatch.wait,
        milliseconds(dispatch.wait_until),
        len(dispatch.decisions),
        *(stamped(_about(decision, transition)) for decision in dispatch.decisions),
        len(dispatch.assignments),
    ]
    for assignment in dispatch.assignments:
        args.extend(_flat(assignment))
    return args


def _dispatched(reply: list[Any]) -> Dispatched | Exception:
    if reply[0] == b"done":
        return Dispatched(created=texts(reply[1]), joined=texts(reply[2]), cancelled=texts(reply[3]))
    if reply[0] == b"stale":
        return Dispatched(stale=True)
    return StoreUnavailable(f"Redis could not record it: {reply[1].decode('utf-8', 'replace')}")
