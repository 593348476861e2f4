"""What the guards remember, and what `explain` tells. Called by guards through engine, and by api."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from bridge.errors import LeaseLost
from bridge.model.audit import Note
from bridge.model.intake import Claim, GuardFacts, Pause
from bridge.model.reason import Reason
from bridge.model.remediation import Decision, Remediation
from bridge.model.run_limits import Most
from bridge.stores.codec import DECISION, ENCODER, pairs
from bridge.stores.keys import digest, runs_key
from bridge.stores.link import Link

_PAUSE = msgspec.json.Decoder(Pause)
_LABELS = msgspec.json.Decoder(dict[str, str])
_RECORD = struct.Struct(">cddII")
_STATES = {b"o": "open", b"c": "closed", b"h": "held"}


class RedisGuardbook:
    """Implements ports.Guardbook."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def facts(self, remediation: Remediation) -> GuardFacts:
        now_ms, pauses, finished, runs, opened, labels, *all_runs = await self._link.script(
            "facts", remediation.id, runs_key(remediation)
        )
        now = float(now_ms) / 1000
        return GuardFacts(
            now=now,
            pauses=tuple(_in_force(pauses, now)),
            last_finished_at=float(finished) / 1000 if finished else None,
            attempts=tuple(float(run) for run in runs),
            open_incidents=int(opened),
            labels=tuple(_LABELS.decode(each) for each in labels),
            runs={
                sort.decode(): tuple(map(float, times))
                for sort, times in zip(all_runs[::2], all_runs[1::2], strict=True)
            },
        )

    async def pause(self, pause: Pause) -> None:
        until = "" if pause.until is None else f"for {pause.until - pause.since:.0f} s"
        note = Note(what="pause", who=pause.by, why=pause.why, about=pause.scope, text=until)
        await self._link.script("pause", pause.scope, ENCODER.encode(pause), ENCODER.encode(note))

    async def resume(self, scope: str, *, by: str = "", why: str = "") -> bool:
        sort, _, name = scope.partition(":")
        # Whoever resumes a runbook trusts it again.
        runbook = name if sort == "runbook" else ""
        note = Note(what="resume", who=by, why=why, about=scope)
        return bool(await self._link.script("resume", scope, runbook, ENCODER.encode(note)))

    async def pauses(self) -> list[Pause]:
        """Return the pauses in force; those whose time is over are dropped."""
        rows = await self._link.script("pauses")
        return sorted(map(_PAUSE.decode, rows), key=lambda pause: pause.since)

    async def take_run(self, claim: Claim, limits: Sequence[Most]) -> bool:
        flat = [part for most in limits for part in (most.sort, most.runs, round(most.seconds * 1000))]
        reply = int(await self._link.script("run_take", claim.remediation, claim.token, *flat))
        if reply < 0:
            raise LeaseLost(f"{claim.remediation} is no longer this worker's")
        return bool(reply)

    async def waiting(self, reasons: Sequence[Reason]) -> Mapping[Reason, int]:
        counts = await self._link.script("waiting", *(reason.value for reason in reasons))
        return dict(zip(reasons, map(int, counts), strict=True))

    async def first_to_tell(
        self, about: str, remediation: str, seconds: float, *, quiet: float | None = None
    ) -> bool:
        name = blake2b(about.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        milliseconds = max(1, round(seconds * 1000))
        while_ = milliseconds if quiet is None else max(1, round(quiet * 1000))
        return bool(await self._link.script("first_to_tell", name, remediation, milliseconds, while_))

    async def explain(self, fingerprint: str) -> list[Decision]:
        rows = await self._link.command("LRANGE", self._link.key(f"why:{fingerprint}"), 0, -1)
        return [DECISION.decode(row) for row in rows]

    async def incidents(self, fingerprint: str) -> list[Mapping[str, Any]]:
        """See ports.Guardbook. Times are unix seconds; `last_seen` is exact to `StoreOptions.refresh`."""
        found = []
        for source in sorted(await self._link.command("SMEMBERS", self._link.key("sources"))):
            key = f"{source.decode()}/{fingerprint}"
            fields = pairs(await self._link.command("HGETALL", self._link.key(f"inc:{key}")))
            mark = digest(key)
            record = await self._link.command("HGET", self._link.key("seen:").encode() + mark[:2], mark[2:])
            if fields or record:
                found.append(_incident(source.decode(), key, fields, record))
        return found


def _in_force(rows: list[bytes], now: float) -> list[Pause]:
    pauses = [_PAUSE.decode(row) for row in rows]
    return [pause for pause in pauses if pause.until is None or pause.until > now]


def _incident(source: str, key: str, fields: dict[bytes, bytes], record: bytes | None) -> Mapping[str, Any]:
    start = int(fields.get(b"start", 0))
    about: dict[str, Any] = {
        "source": source,
        "incident": f"{key}/{start}" if start else key,
        "state": "open" if fields.get(b"open") == b"1" else "closed",
        "starts_at": start / 1e6,
        "opened_at": _seconds(fields.get(b"opened")),
        "closed_at": _seconds(fields.get(b"closed")),
        "waits_on": fields.get(b"wait", b"").decode(),
        "remediations": sorted({v.decode() for name, v in fields.items() if name.startswith(b"j:")}),
    }
    if record:
        state, _, ended, seen, held = _RECORD.unpack(record)
        about["last_seen"] = float(seen)
        if ended:
            about["ended_at"] = ended / 1e6
        if state == b"h":
            about.update(state=_STATES[state], held_since=float(held))
    return about


def _seconds(value: bytes | None) -> float | None:
    return float(value) / 1000 if value else None
