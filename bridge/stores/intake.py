"""The receiver's side of the intake: dedup and durable storing of alerts. Called by ingest for each request.

Requests that come at the same time share one script call (a group commit): a call of its own for each would cost
more than all the rest of a request. Nothing waits for company: whatever has come while a call is out goes with
the next one.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

import structlog

from bridge.errors import StoreUnavailable
from bridge.model.alert import Alert
from bridge.model.intake import Seen
from bridge.model.remediation import SCHEMA
from bridge.stores.codec import ANSWERS, ENCODER
from bridge.stores.keys import DIGEST
from bridge.stores.lane import Lane
from bridge.stores.link import Link

log = structlog.get_logger(__name__)

BATCH = 1000
"""Alerts of one script call: a few milliseconds of Redis's time, in which it serves nobody else."""
MOST_WAITING = 100_000
"""Alerts that may wait for a call before the receiver answers 503 at once."""

_META = struct.Struct(">BB12sBdd")


class _Request:
    """Alerts that wait to be stored together, and who waits for them."""

    __slots__ = ("answer", "count", "lines", "meta")

    def __init__(self, meta: bytes, lines: bytes, count: int, answer: asyncio.Future[str]) -> None:
        self.meta = meta
        self.lines = lines
        self.count = count
        self.answer = answer


class RedisIntake:
    """Implements ports.Intake.

    `kept` raises StoreUnavailable when the disk is so far behind that no more may be promised.
    """

    def __init__(self, link: Link, *, kept: Callable[[], None] | None = None) -> None:
        self._link = link
        self._kept = kept
        self._lane = Lane(link)
        self._waiting: deque[_Request] = deque()
        self._count = 0
        self._flusher: asyncio.Task[None] | None = None
        options = link.options
        self._keys: tuple[Any, ...] = (1, link.key("intake"), link.key("seen:"), link.key("seq"))
        self._limits: tuple[Any, ...] = (options.skew, options.refresh, options.max_backlog, SCHEMA)

    async def accept(self, alerts: Sequence[Alert]) -> list[Seen]:
        """Store the alerts; see ports.Intake. A large request goes in parts, all of which must succeed.

        Raises StoreUnavailable: some may be stored then, and the sender's next attempt finds those known.
        """
        if not alerts:
            return []
        if self._count + len(alerts) > MOST_WAITING:
            raise StoreUnavailable("too many alerts wait to be stored")
        if len(alerts) <= BATCH:
            parts = [self._enqueue(alerts)]
        else:
            parts = [self._enqueue(alerts[at : at + BATCH]) for at in range(0, len(alerts), BATCH)]
        # They are encoded: while a storm waits for Redis, nothing but the bytes is kept of it.
        del alerts
        letters = await parts[0] if len(parts) == 1 else "".join(await asyncio.gather(*parts))
        return [ANSWERS[letter] for letter in letters]

    def _enqueue(self, alerts: Sequence[Alert]) -> asyncio.Future[str]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        self._waiting.append(_Request(_meta_of(alerts), ENCODER.encode_lines(alerts), len(alerts), answer))
        self._count += len(alerts)
        if self._flusher is None:
            self._flusher = loop.create_task(self._flush())
        return answer

    async def _flush(self) -> None:
        batch: list[_Request] = []
        try:
            while self._waiting:
                batch = self._take()
                try:
                    await self._store(batch)
                except StoreUnavailable as error:
                    # Those that wait behind it would only find the same, one deadline after another.
                    self._fail_all(batch, str(error))
        except Exception as error:
            log.exception("the intake itself failed")
            self._fail_all(batch, f"{type(error).__name__}: {error}")
        finally:
            self._flusher = None
            # Something is left only when this task was cancelled: nobody may wait for ever.
            self._fail_all(batch, "the store is being closed")

    def _take(self) -> list[_Request]:
        batch = [self._waiting.popleft()]
        count = batch[0].count
        while self._waiting and count + self._waiting[0].count <= BATCH:
            count += self._waiting[0].count
            batch.append(self._waiting.popleft())
        self._count -= count
        return batch

    async def _store(self, batch: list[_Request]) -> None:
        meta = b"".join([request.meta for request in batch])
        lines = b"".join([request.lines for request in batch])
        count = sum([request.count for request in batch])
        fixed = (*self._keys, self._link.clock_offset_ms, *self._limits)
        if self._kept is not None:
            self._kept()
        letters = (await self._lane.script("intake", *fixed, count, meta, lines[:-1])).decode()
        if self._kept is not None:
            # The call may have taken long. What it stored is known when it is sent again.
            self._kept()
        at = 0
        for request in batch:
            if not request.answer.done():
                request.answer.set_result(letters[at : at + request.count])
            at += request.count

    def _fail_all(self, batch: list[_Request], why: str) -> None:
        """Refuse the batch, as far as it was not answered, and all that wait."""
        for request in (*batch, *self._waiting):
            if not request.answer.done():
                request.answer.set_exception(StoreUnavailable(why))
        self._waiting.clear()
        self._count = 0

    async def close(self) -> None:
        """Let what waits be stored, then let go of the connection."""
        if self._flusher is not None:
            await asyncio.wait([self._flusher], timeout=self._link.options.deadline)
        if self._flusher is not None:
            self._flusher.cancel()
        await self._lane.close()


def _meta_of(alerts: Sequence[Alert]) -> bytes:
    parts = []
    for alert in alerts:
        raw = blake2b(
            f"{alert.source}/{alert.fingerprint}".encode("utf-8", "surrogatepass"), digest_size=DIGEST
        ).digest()
        fires = alert.status == "firing"
        parts.append(_META.pack(raw[0], raw[1] & 0x3F, raw[2:], fires, alert.starts_at, alert.ends_at))
    return b"".join(parts)
