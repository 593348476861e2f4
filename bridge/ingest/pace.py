"""Let the receiver go first. Called by the dispatcher of the same process, before every few alerts.

A storm is to be taken in at the speed of the intake, and its senders wait for their answers; what was taken in can
wait. So the dispatcher pauses while requests are in progress, for a bounded time: it always gets on.
"""

from __future__ import annotations

import asyncio

from bridge.ingest.counters import Counters

BUSY = 4
"""Webhooks in progress at a time. At some hundred a second there are one or two; a storm fills all connections."""
PAUSE = 0.1
"""Seconds. With 32 alerts side by side, hundreds a second go on even while the receiver has no rest."""


class GiveWay:
    """Awaited, it returns at once while the receiver is not busy."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    async def __call__(self) -> None:
        if self._counters.in_progress >= BUSY:
            await asyncio.sleep(PAUSE)
