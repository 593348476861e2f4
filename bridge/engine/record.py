"""The run's pen: journal entries, log lines and the state they add up to, kept in step. Used by execute alone."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import msgspec
import structlog

from bridge.engine import journal as kinds
from bridge.engine.journal import Progress, after, progress_of
from bridge.engine.lease import Lease
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
        self.progress: Progress = progress_of(entries)

    async def write(
        self,
        kind: str,
        text: str,
        *,
        reason: Reason | None = None,
        data: dict[str, Any] | None = None,
        revert: Revert | None = None,
    ) -> None:
        """Append one entry. The first that announces a write marks the remediation as writing. Raises LeaseLost."""
        entry = self.entry(kind, text, reason=reason, data=data)
        writing = kind in (kinds.APPLYING, kinds.PUTTING_BACK, kinds.SETTLED)
        await self._journal.append(self._lease.claim, entry, writing=writing, revert=revert)
        self._appended(entry)

    def _appended(self, entry: Entry) -> None:
        self.progress = after(self.progress, entry)
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

    async def keep_evidence(self, values: dict[str, Any], missing: dict[str, str]) -> None:
        """Keep the evidence, compressed, and tell of it in the journal. Raises LeaseLost."""
        found = ", ".join(values) or "nothing"
        lacking = "".join(f"; {name} is missing: {why}" for name, why in missing.items())
        entry = self.entry(
            kinds.EVIDENCE, f"gathered {found}{lacking}", data={"names": list(values), "missing": missing}
        )
        blob = msgspec.json.encode({"evidence": values, "missing": missing})
        packed = (
            await asyncio.to_thread(gzip.compress, blob, mtime=0)
            if len(blob) > 65536
            else gzip.compress(blob, mtime=0)
        )
        await self._journal.keep_evidence(self._lease.claim, packed, entry)
        self._appended(entry)

    async def kept_evidence(self) -> dict[str, Any]:
        """Return what `keep_evidence` kept last, empty when that is gone."""
        packed = await self._journal.evidence(self._lease.claim.remediation)
        kept = msgspec.json.decode(gzip.decompress(packed)) if packed else {}
        return dict(kept.get("evidence", {}))
