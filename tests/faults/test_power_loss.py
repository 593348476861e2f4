"""The power fails: of the append-only file nothing is left but what the disk was made to keep."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from bridge.errors import StoreUnavailable
from bridge.model.intake import Dispatch, Seen
from bridge.model.remediation import State
from bridge.stores import Stores
from bridge.stores.append_file import last_file
from tests.support.alerts import claimed, firing, step, transitions, wish
from tests.support.processes import until
from tests.support.redis import OpenStores, RedisServer, fresh_options


class Plugged(RedisServer):
    """A Redis whose plug can be pulled."""

    def __init__(self, folder: Path, noting: Path, fsync: str) -> None:
        super().__init__(folder, config={"appendfsync": fsync})
        self._noting = noting
        self._log = folder / "synced.log"
        self._slow = folder / "slow"

    def slow_down(self, milliseconds: int) -> None:
        """Let each sync take so much longer from now on."""
        self.folder.mkdir(exist_ok=True)
        self._slow.write_text(str(milliseconds))

    def start(self, *, wait: bool = True) -> None:
        before = dict(os.environ)
        os.environ.update(LD_PRELOAD=str(self._noting), SYNCED_LOG=str(self._log), SYNCED_SLOW=str(self._slow))
        try:
            super().start(wait=wait)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def pull_the_plug(self, torn: float = 0.0) -> float:
        """Kill it and cut its file at the last sync, but for a part of what came after that made it by chance.

        Returns how many seconds the longest sync took.
        """
        self.kill()
        file = last_file(self.folder)
        assert file is not None
        syncs = [line.split(" ", 3) for line in self._log.read_text().splitlines()]
        kept = max(int(size) for _, size, _, name in syncs if name == str(file))
        lost = file.stat().st_size - kept
        os.truncate(file, kept + int(lost * torn))
        return max(float(took) for took, *_ in syncs)


async def flood(stores: Stores, answered: dict[str, float], over: asyncio.Event) -> None:
    """Send alerts, one at a time, until the store is gone; note when each was answered."""
    number = 0
    while not over.is_set():
        number += 1
        try:
            await stores.intake.accept([firing(pod=str(number))])
        except StoreUnavailable:
            return
        answered[str(number)] = time.monotonic()
        await asyncio.sleep(0.002)


async def rigged(server: Plugged, seconds: float) -> tuple[OpenStores, dict[str, float]]:
    """Return stores, and what they answered until the plug is to be pulled, while a worker journals beside."""
    opened = OpenStores(fresh_options(server.url))
    stores = await opened.open()
    answered: dict[str, float] = {}
    over = asyncio.Event()
    task = asyncio.create_task(flood(stores, answered, over))
    began = time.monotonic()

    async def long_enough() -> bool:
        return time.monotonic() - began > seconds and len(answered) > 100

    await until(long_enough, seconds=30)
    over.set()
    await task
    return opened, answered


async def look_at(opened: OpenStores, server: Plugged, answered: dict[str, float]) -> set[str]:
    """Start it again and return what is kept; what came as new is work, and nothing is there by halves."""
    server.start()
    stores = await opened.open()
    kept = {found.alert.labels["pod"] for found in await transitions(stores)}
    again = await stores.intake.accept([firing(pod=pod) for pod in answered])
    for pod, seen in zip(answered, again, strict=True):
        assert seen is (Seen.DUPLICATE if pod in kept else Seen.NEW), pod
    return kept


async def test_a_power_loss_costs_two_seconds_of_alerts_at_most(tmp_path: Path, noting: Path) -> None:
    """Fault 7: everysec. What is lost is the newest, lost whole, and taken when it comes again."""
    server = Plugged(tmp_path / "redis", noting, "everysec")
    server.start()
    opened, answered = await rigged(server, 2.4)
    try:
        slowest = server.pull_the_plug()
        pulled = time.monotonic()
        kept = await look_at(opened, server, answered)
        lost = [at for pod, at in answered.items() if pod not in kept]
        assert all(pulled - at < 2.0 + slowest for at in lost), f"{pulled - min(lost):.2f} s"
        newest = max((int(pod) for pod in kept), default=0)
        assert kept == {str(number) for number in range(1, newest + 1)}, "a gap"
        assert kept
    finally:
        await opened.close()
        server.stop()


async def test_a_power_loss_costs_nothing_that_was_answered_when_every_write_is_synced(
    tmp_path: Path, noting: Path
) -> None:
    """Fault 7: always."""
    server = Plugged(tmp_path / "redis", noting, "always")
    server.start()
    opened, answered = await rigged(server, 0.3)
    try:
        server.pull_the_plug()
        assert await look_at(opened, server, answered) >= answered.keys()
    finally:
        await opened.close()
        server.stop()


async def test_a_killed_redis_whose_disk_is_slow_loses_no_more_than_a_power_loss_does(
    tmp_path: Path, noting: Path
) -> None:
    """Fault 6, where a sync takes longer than a second: meanwhile Redis keeps what it answers to itself, for 2 s."""
    server = Plugged(tmp_path / "redis", noting, "everysec")
    server.slow_down(1200)
    server.start()
    opened, answered = await rigged(server, 2.2)
    try:
        server.kill()
        killed = time.monotonic()
        server.slow_down(0)
        kept = await look_at(opened, server, answered)
        lost = [at for pod, at in answered.items() if pod not in kept]
        assert all(killed - at < 2.0 + 1.0 for at in lost), f"{killed - min(lost):.2f} s"
    finally:
        await opened.close()
        server.stop()


async def test_a_run_stands_where_its_journal_says_after_a_power_loss(tmp_path: Path, noting: Path) -> None:
    """Fault 7: record, journal, trail and claim are cut together, wherever the cut is."""
    server = Plugged(tmp_path / "redis", noting, "everysec")
    server.start()
    opened = OpenStores(fresh_options(server.url, claim=0.3))
    try:
        stores = await opened.open()
        await stores.intake.accept([firing()])
        wanted = wish()
        for transition in await transitions(stores):
            await stores.intake_queue.dispatch(Dispatch(transition=transition, assignments=(wanted,)))
        claim = await claimed(stores)
        name = wanted.remediation.id
        for number in range(400):
            await stores.journal.append(claim, step("applying", str(number)), writing=True)
            await asyncio.sleep(0.004)
        server.pull_the_plug(torn=0.37)
        server.start()
        stores = await opened.open()
        entries = await stores.journal.read(name)
        view = await stores.work.get(name)
        told = [one.number async for one in stores.audit.read(since=0.0, until=1e12) if one.entry]
        assert told == list(range(len(entries)))
        assert 0 < len(entries) < 400, "there is nothing to see where all or nothing is lost"
        assert view is not None
        assert (view.writing, view.state) == (True, State.RUNNING)

        async def taken_over() -> bool:
            return await stores.work.reclaim("other") is not None

        await until(taken_over, seconds=10)
    finally:
        await opened.close()
        server.stop()
