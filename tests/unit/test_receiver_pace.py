"""The dispatcher lets the receiver go first, and always gets on."""

from __future__ import annotations

import asyncio

from bridge.ingest.counters import Counters
from bridge.ingest.pace import BUSY, PAUSE, GiveWay


async def test_a_quiet_receiver_delays_nothing() -> None:
    counters = Counters()
    counters.in_progress = BUSY - 1
    begin = asyncio.get_running_loop().time()
    for _ in range(1000):
        await GiveWay(counters)()
    assert asyncio.get_running_loop().time() - begin < PAUSE


async def test_a_busy_receiver_delays_for_a_bounded_time() -> None:
    counters = Counters()
    counters.in_progress = 1000
    begin = asyncio.get_running_loop().time()
    async with asyncio.timeout(PAUSE * 20):
        await GiveWay(counters)()
    assert asyncio.get_running_loop().time() - begin >= PAUSE * 0.9
