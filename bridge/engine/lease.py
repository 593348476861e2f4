"""A worker's hold on the remediation it runs, and the news that it has to let go."""

from __future__ import annotations

import asyncio

from bridge.errors import LeaseLost, StoreUnavailable
from bridge.model.intake import Claim
from bridge.ports import Clock, WorkQueue


class Lease:
    """Wraps a Claim. Renewed by the worker's own event loop, so that a blocked loop loses it to another worker."""

    def __init__(
        self, claim: Claim, queue: WorkQueue, clock: Clock, *, seconds: float, stopping: asyncio.Event
    ) -> None:
        self.claim = claim
        self._queue = queue
        self._clock = clock
        self._seconds = seconds
        self._stopping = stopping
        self._renewed = clock.monotonic()
        self.settling = False
        """The run is over and its end is being recorded: that the claim is gone then is its own doing."""

    @property
    def stopping(self) -> bool:
        """Whether the process wants to stop: waits end, and the remediation is handed over."""
        return self._stopping.is_set()

    async def pause(self, seconds: float) -> None:
        """Wait; not longer than until the process wants to stop."""
        ends = {asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._stopping.wait())}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()

    async def confirm(self) -> None:
        """Call before each write: renews a claim that was not renewed lately. Raises LeaseLost.

        A process that was frozen finds out here, before it writes, that somebody else has taken over.
        """
        if self._clock.monotonic() - self._renewed > self._seconds / 2:
            await self.renew()

    async def renew(self) -> None:
        """Prolong the claim. Raises LeaseLost, StoreUnavailable."""
        asked = self._clock.monotonic()
        await self._queue.renew(self.claim)
        self._renewed = asked

    async def keep(self) -> None:
        """Renew until cancelled, or until the claim is settled.

        Raises LeaseLost; a store that is away is asked again until it answers.
        """
        while True:
            await self._clock.sleep(self._seconds / 3)
            try:
                await self.renew()
            except StoreUnavailable:
                continue
            except LeaseLost:
                if self.settling:
                    return
                raise
