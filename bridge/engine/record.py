"""The run's pen: journal entries, log lines and the state they add up to, kept in step. Used by execute alone."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from bridge.engine.ending import Ended, Park
from bridge.engine.gather import Evidence
from bridge.engine.journal import after, progress_of
from bridge.engine.lease import Lease
from bridge.engine.progress import Progress
from bridge.errors import SaidNo
from bridge.model import kinds
from bridge.model.reason import Reason
from bridge.model.remediation import Entry, Revert
from bridge.ports import Journal

log = structlog.get_logger(__name__)


class Record:
    """Appends to the journal under the lease's fencing token and mirrors it in `progress`."""

    def __init__(self, journal: Journal, lease: Lease, entries: list[Entry]) -> None:
        self._journal = journal
        self._lease = lease
        self.resumed = bool(entries)
        """Whether somebody worked on it before."""
        self.left_at = entries[-1].at if entries else 0.0
        """When it was worked on last (unix seconds)."""
        self._document: dict[str, Any] | None = None
        """The evidence that is kept, once it is known here."""
        self._written = any(entry.kind == kinds.APPLYING for entry in entries)
        """Whether a write was announced, though it may have been put back since."""
        self.progress: Progress = progress_of(entries)
        self.heard: Callable[[Entry, Progress], None] | None = None
        """Called with every entry once it is stored; must neither wait nor raise."""

    @property
    def written(self) -> bool:
        """Whether a write was announced, by whoever worked on it."""
        return self._written

    async def write(
        self,
        kind: str,
        text: str,
        *,
        reason: Reason | None = None,
        data: dict[str, Any] | None = None,
        revert: Revert | None = None,
    ) -> None:
        """Append one entry. The first that announces a write marks the remediation as writing.

        Raises LeaseLost, and Ended to look again where somebody said no meanwhile.
        """
        entry = self.entry(kind, text, reason=reason, data=data)
        writing = kind in (kinds.APPLYING, kinds.PUTTING_BACK, kinds.SETTLED)
        try:
            await self._journal.append(self._lease.claim, entry, writing=writing, revert=revert)
        except SaidNo as error:
            raise Ended(Park(0.0, Reason.APPROVAL_DENIED, f"{error}: it is not made")) from error
        self._appended(entry)

    def _appended(self, entry: Entry) -> None:
        self._written = self._written or entry.kind == kinds.APPLYING
        self.progress = after(self.progress, entry)
        if self.heard is not None:
            self.heard(entry, self.progress)
        log.info(entry.kind, text=entry.text, reason=entry.reason)

    def entry(
        self, kind: str, text: str, *, reason: Reason | None = None, data: dict[str, Any] | None = None
    ) -> Entry:
        return Entry(
            kind=kind,
            worker=self._lease.claim.worker,
            text=text,
            reason=reason.value if reason else "",
            data=msgspec.to_builtins(data or {}),
        )

    async def keep_evidence(self, found: Evidence, *, at: float) -> None:
        """Keep the evidence, compressed, and tell of it in the journal. Raises LeaseLost.

        What the first write rested on stays kept beside what is gathered after it.
        """
        values, missing = found.values, found.missing
        named = ", ".join(values) or "nothing"
        lacking = "".join(f"; {each}" for each in found.lacking())
        data = {"names": list(values), "missing": missing, **({"cut": found.cut} if found.cut else {})}
        entry = self.entry(kinds.EVIDENCE, f"gathered {named}{lacking}", data=data)
        kept = await self._kept()
        if self._written and "evidence" in kept and "first" not in kept:
            kept = {**kept, "first": {name: kept[name] for name in _GATHERED if name in kept}}
        await self._keep({**kept, **_gathered(found, at)}, entry)

    async def keep_proof(self, found: Evidence, entry: Entry, *, at: float) -> None:
        """Keep what the last look of a verification saw, and append the entry that tells of it. Raises LeaseLost."""
        await self._keep({**await self._kept(), "proof": _gathered(found, at)}, entry)

    async def kept_evidence(self) -> dict[str, Any]:
        """Return what `keep_evidence` kept last, empty when that is gone."""
        return dict((await self._kept()).get("evidence", {}))

    async def _kept(self) -> dict[str, Any]:
        if self._document is None:
            packed = await self._journal.evidence(self._lease.claim.remediation) if self.resumed else None
            self._document = dict(msgspec.json.decode(gzip.decompress(packed))) if packed else {}
        return self._document

    async def _keep(self, document: dict[str, Any], entry: Entry) -> None:
        blob = msgspec.json.encode(document)
        packed = (
            await asyncio.to_thread(gzip.compress, blob, mtime=0)
            if len(blob) > 65536
            else gzip.compress(blob, mtime=0)
        )
        await self._journal.keep_evidence(self._lease.claim, packed, entry)
        self._document = document
        self._appended(entry)


_GATHERED = ("at", "evidence", "missing", "cut")


def _gathered(found: Evidence, at: float) -> dict[str, Any]:
    return {"at": at, "evidence": found.values, "missing": found.missing, "cut": found.cut}
