"""A clock that stands still until a test moves it, or that jumps to the next sleeper by itself."""

from __future__ import annotations

import asyncio
import heapq
import itertools

START = 1_700_000_000.0
_SPINS = 25
"""Turns of the event loop without a new sleeper after which everybody is taken to wait for time."""


class FakeClock:
    """Implements ports.Clock.

    By itself (`auto=True`) it jumps to the earliest sleeper as soon as the event loop has nothing else to do, so
    that an hour passes in no time. That looks at the event loop alone: with real sockets or threads use `pass_time`.
    """

    def __init__(self, now: float = START, *, auto: bool = False) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._auto = auto
        self._numbers = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._mover: asyncio.Task[None] | None = None
        self.slept: list[float] = []
        """Every duration that somebody asked to sleep, in order."""

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Return when the clock was moved past `seconds` from now."""
        self.slept.append(seconds)
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._numbers), done))
        if self._auto and (self._mover is None or self._mover.done()):
            self._mover = asyncio.create_task(self._jump())
        await done

    @property
    def sleepers(self) -> int:
        """How many wait for time to pass."""
        return sum(not done.done() for _, _, done in self._sleepers)

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once; whoever slept until then wakes at the event loop's next turn."""
        self._now += seconds
        self._monotonic += seconds
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            _, _, done = heapq.heappop(self._sleepers)
            if not done.done():
                done.set_result(None)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator or NTP does: no time passes."""
        self._now += seconds

    async def pass_time(self, seconds: float) -> None:
        """Let `seconds` pass from sleeper to sleeper; each does what it has to do at its own time."""
        end = self._monotonic + seconds
        await settle()
        while (due := self._next()) is not None and due <= end:
            self.advance(due - self._monotonic)
            await settle()
        self.advance(end - self._monotonic)
        await settle()

    def _next(self) -> float | None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    async def _jump(self) -> None:
        while True:
            seen = next(self._numbers)
            await settle()
            if next(self._numbers) != seen + 1:
                continue  # somebody came while we waited: look again
            if (due := self._next()) is None:
                return
            self.advance(due - self._monotonic)


async def settle(turns: int = _SPINS) -> None:
    """Let every task that can go on do so."""
    for _ in range(turns):
        await asyncio.sleep(0)
