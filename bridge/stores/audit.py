"""The audit trail, a stream that the scripts write beside what it tells of. Called by api.

It names the entries of journals, which are only ever appended to and are kept for as long, and holds everything else
whole: `why:` lists move and are cut.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from bridge.model.audit import Happened, Note
from bridge.stores.codec import DECISION, ENCODER, ENTRY, pairs
from bridge.stores.link import Link

PAGE = 200
"""Entries that one script reads: others wait meanwhile."""
SLACK = 2 * 3600.0
"""Seconds by which times may lie behind the stream's ids: those never go back, the server's clock may."""

_NOTE = msgspec.json.Decoder(Note)


class RedisAudit:
    """Implements ports.Audit."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def record(self, note: Note) -> None:
        await self._link.script("audit_note", ENCODER.encode(note))

    async def read(self, *, since: float, until: float) -> AsyncIterator[Happened]:
        """See ports.Audit. Raises StoreUnavailable, also in the middle."""
        # Ids are the server's time; a moved clock is no help to find the beginning by.
        moved = self._link.options.clock_offset_ms
        start = f"{max(0.0, since - SLACK) * 1000:.0f}" if not moved else "-"
        while True:
            rows = await self._link.script("audit", start, PAGE)
            for _, flat, entry in rows:
                found = _happened(pairs(flat), entry)
                if since <= found.at < until:
                    yield found
            if len(rows) < PAGE:
                return
            last: str = rows[-1][0].decode()
            if not moved and float(last.split("-")[0]) / 1000 > until + SLACK:
                return
            start = f"({last}"


def _happened(fields: dict[bytes, bytes], entry: bytes) -> Happened:
    at = float(fields[b"at"]) / 1000
    if b"r" in fields:
        return Happened(
            at=at,
            remediation=fields[b"r"].decode(),
            number=int(fields[b"n"]),
            entry=ENTRY.decode(entry) if entry else None,
        )
    if b"d" in fields:
        decision = DECISION.decode(fields[b"d"])
        return Happened(
            at=at,
            remediation=decision.remediation,
            fingerprint=fields[b"f"].decode(),
            decision=msgspec.structs.replace(decision, at=at),
        )
    note = _NOTE.decode(fields[b"o"])
    return Happened(at=at, remediation=note.remediation, note=note)
