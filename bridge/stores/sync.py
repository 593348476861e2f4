"""Makes the disk keep what the embedded Redis has written, and says when that is behind. Used by embedded.

The private Redis only writes, before each answer, and leaves the syncing to us: with `everysec` it holds back what
it has answered already while a sync is under way, and a kill in that moment would lose it (docs/adr/0013).
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from bridge.errors import StoreUnavailable

log = structlog.get_logger(__name__)

BOUND = 2.0
"""Seconds of alerts that a power loss may cost."""
EVERY = 1.0
"""Seconds from the start of one sync to that of the next: together with what one takes less than BOUND."""
REWRITE = 10.0
"""Seconds between two attempts to have files written anew that the disk failed to keep."""
_FLUSH: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
_File = tuple[str, int, int]
"""Name, device, inode: a number alone is soon that of another file."""


class Synced(msgspec.Struct, frozen=True):
    """How syncing goes, for the metrics."""

    behind: float
    """Seconds: all that was written before that is kept."""
    took: float
    """Seconds that the last sync took."""
    failures: int
    """Since the start."""


class Syncer:
    """Syncs the append-only files in a data directory, in a thread: a slow disk holds up nobody.

    `rewrite` asks Redis to write its files anew; `now` is a monotonic clock; `flush` syncs a descriptor.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rewrite: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
        flush: Callable[[int], None] = _FLUSH,
    ) -> None:
        self._folder = folder
        self._rewrite = rewrite
        self._now = now
        self._flush = flush
        self._began = now()
        self._kept_until: float | None = None
        """All that was written before is kept. None: not known, as after an adoption."""
        self._known: dict[_File, tuple[int, int]] = {}
        """Size and time of change that a file had when its last good sync began."""
        self._failed: set[_File] = set()
        self._failures = 0
        self._why = ""
        """What went wrong with the last sync; empty when nothing did."""
        self._took = 0.0
        self._rewrite_at = -REWRITE
        self._over = threading.Event()
        self._first = threading.Event()
        # A daemon: a sync that never returns must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="store-sync", daemon=True)

    async def start(self) -> None:
        """Begin, and wait for the first sync, but not for a disk that is too slow for us anyway."""
        self._thread.start()
        await asyncio.to_thread(self._first.wait, BOUND)

    async def stop(self) -> None:
        """Sync once more and end."""
        self._over.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 2 * BOUND)

    def check(self) -> None:
        """Raise StoreUnavailable when so much is not kept yet that no more may be answered 2xx."""
        behind = self._behind()
        if self._kept_until is None or behind > BOUND:
            why = self._why or "a sync takes so long"
            raise StoreUnavailable(f"the disk of the private Redis has kept nothing for {behind:.1f} s: {why}")

    def figures(self) -> Synced:
        """Return how it goes. Callable from any thread, as check is."""
        return Synced(self._behind(), self._took, self._failures)

    def _behind(self) -> float:
        since = self._began if self._kept_until is None else self._kept_until
        return max(self._now() - since, 0.0)

    def _run(self) -> None:
        over = False
        while not over:
            # One sync more after the end was asked for: it has all that was written until then.
            over = self._over.is_set()
            began = self._now()
            self.sync()
            self._first.set()
            if not over:
                self._over.wait(max(EVERY - (self._now() - began), 0.0))

    def sync(self) -> None:
        """Sync all that is not kept yet; what fails is logged and counted. Called by the thread (and by tests)."""
        began = self._now()
        try:
            found = self._sync_all()
        except Exception as error:
            self._note(error)
            return
        finally:
            self._time(self._now() - began)
        # The kernel takes for clean what the disk failed to take, so that a later success says nothing about that
        # file. Redis has all of it in memory and can write it anew.
        self._failed &= found
        if self._failed:
            self._have_rewritten()
            return
        if self._why:
            log.info("the disk keeps what the private Redis writes again")
            self._why = ""
        self._kept_until = began

    def _sync_all(self) -> set[_File]:
        """Return the files that there are."""
        found: set[_File] = set()
        if self._kept_until is None:
            _sync_folder(self._folder)
        # Redis 6.2 replaces its file: what is there in the end must be among what was synced.
        while fresh := [path for path in _files(self._folder) if _which(path) not in found]:
            found.update(which for path in fresh if (which := self._sync_one(path)))
        self._known = {which: state for which, state in self._known.items() if which in found}
        return found

    def _sync_one(self, path: Path) -> _File | None:
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            about = os.fstat(file)
            which, state = (path.name, about.st_dev, about.st_ino), (about.st_size, about.st_mtime_ns)
            if which in self._failed or self._known.get(which) == state:
                return which
            try:
                self._flush(file)
            except OSError as error:
                self._failed.add(which)
                self._note(error)
                return which
        finally:
            os.close(file)
        if which not in self._known:
            _sync_folder(path.parent)
        self._known[which] = state
        return which

    def _have_rewritten(self) -> None:
        if self._now() - self._rewrite_at < REWRITE:
            return
        self._rewrite_at = self._now()
        try:
            self._rewrite()
        except OSError as error:
            log.warning("the private Redis cannot be asked to write its files anew", error=str(error))

    def _note(self, error: Exception) -> None:
        self._failures += 1
        if not self._why:
            log.error(
                "the disk does not keep what the private Redis writes: alerts are answered 503", error=str(error)
            )
        self._why = f"{type(error).__name__}: {error}"

    def _time(self, seconds: float) -> None:
        if seconds > EVERY >= self._took:
            log.warning("the disk of the private Redis is slow", sync_seconds=round(seconds, 2))
        self._took = seconds


def _files(folder: Path) -> list[Path]:
    """Return the files that Redis appends to: 7 has several in a folder, the newest in use, and 6.2 has one.

    What else there is (the base that a rewrite made, the list of the files) Redis syncs before it uses it.
    """
    older = folder / "appendonly.aof"
    newer = [path for path in folder.glob("appendonlydir/*.incr.aof") if _which(path)]
    return [*newer, older] if _which(older) else newer


def _which(path: Path) -> _File | None:
    try:
        about = path.stat()
    except OSError:
        return None
    return path.name, about.st_dev, about.st_ino


def _sync_folder(folder: Path) -> None:
    """Have the names in it kept, without which the files are not found again."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
