"""The one time of the night: it stands still while anybody works, and goes on to what comes next when all wait."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from contextvars import ContextVar

_work: ContextVar[object | None] = ContextVar("work", default=None)
"""What a task sleeps for: the tasks that it starts sleep for the same."""


class NightClock:
    """Implements ports.Clock. A sleep ends when `go` gets there."""

    def __init__(self, start: float) -> None:
        self._now = start
        self._numbers = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None], object | None]] = []
        self._asleep: Counter[object | None] = Counter()
        self._changed = asyncio.Event()
        self.moving: list[Callable[[float], None]] = []
        """Told of each time that is gone to, before anybody wakes."""

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        work, woken = _work.get(), asyncio.get_running_loop().create_future()
        sleeper = (self._now + seconds, next(self._numbers), woken, work)
        heapq.heappush(self._sleepers, sleeper)
        self._asleep[work] += 1
        self._changed.set()
        try:
            await woken
        except asyncio.CancelledError:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)
                self._asleep[work] -= 1
            raise

    def begin(self, work: object) -> None:
        """What the current task and those that it starts do is `work`."""
        _work.set(work)

    async def until_all_wait(self, works: Iterable[asyncio.Task[None]]) -> None:
        """Return when each of these tasks, which began as works of their own, is done or asleep."""
        while awake := [task for task in works if not task.done() and not self._asleep[task]]:
            self._changed.clear()
            news = asyncio.ensure_future(self._changed.wait())
            await asyncio.wait({*awake, news}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()

    @property
    def next(self) -> float | None:
        """When the first sleeper wakes."""
        return self._sleepers[0][0] if self._sleepers else None

    def go(self, to: float) -> None:
        """Let time pass until `to`."""
        self._now = max(to, self._now)
        for tell in self.moving:
            tell(self._now)
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, woken, work = heapq.heappop(self._sleepers)
            self._asleep[work] -= 1
            if not woken.done():
                woken.set_result(None)
