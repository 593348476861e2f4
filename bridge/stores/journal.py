"""The journal of each remediation and its evidence. Called by engine (append) and api (read, follow)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from bridge.errors import JournalFull, LeaseLost, SaidNo
from bridge.model.intake import Claim
from bridge.model.remediation import SCHEMA, Entry, Revert
from bridge.stores.codec import ENCODER, ENTRY, stamped
from bridge.stores.link import Arg, Link

POLL = 0.1
"""Seconds between two looks of a follower."""
_FULL = 2
_SAID_NO = 3


class RedisJournal:
    """Implements ports.Journal."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def append(
        self, claim: Claim, entry: Entry, *, writing: bool = False, revert: Revert | None = None
    ) -> None:
        args: tuple[Arg, ...] = (claim.remediation, claim.token, stamped(entry), int(writing))
        if revert is not None:
            undo = revert.remediation
            args += (undo.id, f"{revert.after * 1000:.0f}", SCHEMA, ENCODER.encode(undo))
            args += (f"{revert.hold * 1000:.0f}",)
        _check(claim, await self._link.script("append", *args))

    async def read(self, remediation: str) -> list[Entry]:
        rows = await self._link.command("LRANGE", self._link.key(f"journal:{remediation}"), 0, -1)
        return [ENTRY.decode(row) for row in rows]

    async def keep_evidence(self, claim: Claim, blob: bytes, *entries: Entry) -> None:
        lines = [stamped(entry) for entry in entries]
        _check(claim, await self._link.script("evidence", claim.remediation, claim.token, blob, *lines))

    async def evidence(self, remediation: str) -> bytes | None:
        blob: bytes | None = await self._link.command("GET", self._link.key(f"rem:{remediation}:evidence"))
        return blob

    async def follow(self, remediation: str) -> AsyncIterator[Entry]:
        """See ports.Journal. Ends at once for one that does not exist; raises StoreUnavailable."""
        at = 0
        while True:
            state, rows = await self._link.script("follow", remediation, at)
            for row in rows:
                yield ENTRY.decode(row)
            at += len(rows)
            if state is None or state == b"done":
                return
            await asyncio.sleep(POLL)


def _check(claim: Claim, reply: int) -> None:
    """Raise what the reply of a script says against going on."""
    if not reply:
        raise LeaseLost(f"{claim.remediation} is no longer this worker's")
    if reply == _SAID_NO:
        raise SaidNo(f"somebody said no to {claim.remediation}")
    if reply == _FULL:
        raise JournalFull(f"the journal of {claim.remediation} is full: nothing is done that it does not hold")
