"""The clock of the real world, set by the store's: hosts whose own clocks are wrong agree on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


class SystemClock:
    """Implements ports.Clock: the host's clocks, and what its wall clock is off from the store's."""

    def __init__(self) -> None:
        self._off = 0.0

    def now(self) -> float:
        return time.time() + self._off

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def set_by(self, ask: Callable[[], Awaitable[float]]) -> float:
        """Set it by the unix seconds that `ask` returns, taken at the middle of the question's time.

        Returns by how many seconds the host's clock is behind. Raises what `ask` raises, and stays as it was.
        """
        before = time.time()
        told = await ask()
        self._off = told - (before + time.time()) / 2
        return self._off
