"""Which entries of the intake this process is getting on with, so that nobody else takes them. Used by intake_queue.

Tied to progress and not to a timer: entries that were read together are held as long as their alerts are being
dispatched. A dispatcher that is stuck, or that gave a batch up when Redis was away, loses it after a claim's length.
"""

from __future__ import annotations

from bridge.model.intake import IntakeEntry


class _Batch:
    __slots__ = ("entries", "renewed", "worker")

    def __init__(self, worker: str, entries: set[str], now: float) -> None:
        self.worker = worker
        self.entries = entries
        self.renewed = now


class Holds:
    """Times are the event loop's seconds."""

    def __init__(self, claim: float) -> None:
        self._claim = claim
        self._by_seq: dict[int, _Batch] = {}
        self._by_entry: dict[str, _Batch] = {}

    def add(self, worker: str, entries: list[IntakeEntry], now: float) -> None:
        """Begin to hold entries that were read together."""
        self._forget(now)
        batch = _Batch(worker, {entry.id for entry in entries}, now)
        for entry in entries:
            self._by_entry[entry.id] = batch
            for transition in entry.transitions:
                self._by_seq[transition.seq] = batch

    def progress(self, seq: int, now: float) -> tuple[str, list[str]] | None:
        """An alert is dispatched: return worker and entries when it is time to prolong the hold on its batch."""
        batch = self._by_seq.pop(seq, None)
        if batch is None or not batch.entries or now - batch.renewed < self._claim / 4:
            return None
        batch.renewed = now
        return batch.worker, sorted(batch.entries)

    def done(self, entry: str) -> None:
        batch = self._by_entry.pop(entry, None)
        if batch is not None:
            batch.entries.discard(entry)

    def _forget(self, now: float) -> None:
        """Drop batches that were given up: others have taken them by now."""
        long_ago = now - 10 * self._claim
        if any(batch.renewed < long_ago for batch in self._by_entry.values()):
            self._by_entry = {entry: batch for entry, batch in self._by_entry.items() if batch.renewed >= long_ago}
            self._by_seq = {seq: batch for seq, batch in self._by_seq.items() if batch.renewed >= long_ago}
