"""A disk that is really full, two primaries, a failover under load: what was answered is kept, the rest refused."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bridge.errors import StoreUnavailable
from bridge.model.alert import Alert
from bridge.model.intake import Seen
from bridge.stores import Endpoint, StoreOptions, Stores
from tests.support.alerts import firing, transitions
from tests.support.need import need
from tests.support.processes import Processes, until
from tests.support.receiver import SENDER, served
from tests.support.redis import OpenStores, RedisServer, fresh_options
from tests.support.sentinel import MASTER, SentinelSite
from tests.support.webhooks import alert, body


class CrampedServer(RedisServer):
    """One whose files may be bounded while it runs; it gets the error of a full disk, not the signal."""

    def start(self, *, wait: bool = True) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        program = self.folder / "redis.sh"
        program.write_text(f"#!/bin/sh\ntrap '' XFSZ\nexec {need('redis-server')} \"$@\"\n")
        program.chmod(0o755)
        self._program = str(program)
        super().start(wait=wait)

    def fill_disk(self) -> None:
        """Leave no room for what is to come."""
        used = max(file.stat().st_size for file in self.folder.rglob("*.aof"))
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (used + 2048, resource.RLIM_INFINITY))

    def make_room(self) -> None:
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.fixture
def cramped(tmp_path: Path) -> Iterator[CrampedServer]:
    server = CrampedServer(tmp_path / "redis")
    server.start()
    try:
        yield server
    finally:
        server.stop()


async def accept(stores: Stores, alert: Alert, answered: set[str]) -> bool:
    """Send one alert; note it when it was answered, and say whether it was."""
    try:
        seen = await stores.intake.accept([alert])
    except StoreUnavailable:
        return False
    assert seen in ([Seen.NEW], [Seen.DUPLICATE])
    answered.add(alert.labels["pod"])
    return True


async def test_a_full_disk_refuses_alerts_and_loses_none_that_were_answered(cramped: CrampedServer) -> None:
    """Fault 16: a real limit on the append-only file, as a full disk sets it."""
    opened = OpenStores(fresh_options(cramped.url))
    stores = await opened.open()
    answered: set[str] = set()
    try:
        assert await accept(stores, firing(pod="before"), answered)
        cramped.fill_disk()
        refused = 0
        for number in range(500):
            refused += not await accept(stores, firing(pod=f"p{number}", filler="x" * 200), answered)
            if refused >= 3:
                break
        assert refused >= 3, "a full disk was not noticed"
        assert cramped.info("persistence")["aof_last_write_status"] == "err"
        with pytest.raises(StoreUnavailable):
            await stores.health.ping()
        async with served(SENDER, stores=stores) as receiver:
            assert (await receiver.post(body(alert(1)))).status == 503

        cramped.make_room()

        async def taken_again() -> bool:
            return await accept(stores, firing(pod="after"), answered)

        await until(taken_again, seconds=20, what="recovery without a restart")
        await stores.health.ping()
        assert cramped.info("persistence")["aof_last_write_status"] == "ok"
        cramped.kill()
        cramped.start()

        async def back() -> bool:
            return await accept(stores, firing(pod="after"), answered)

        await until(back, seconds=20)
        kept = {found.alert.labels["pod"] for found in await transitions(stores)}
        assert answered <= kept
    finally:
        await opened.close()


async def test_of_two_primaries_the_old_one_refuses_and_what_was_answered_is_with_the_new_one(tmp_path: Path) -> None:
    """Faults 10 and 11: the old primary freezes, its replica is promoted, and the old one thaws beside it."""
    bounds = {"min-replicas-to-write": "1", "min-replicas-max-lag": "1", "repl-diskless-sync-delay": "0"}
    old = RedisServer(tmp_path / "old", config=bounds)
    new = RedisServer(
        tmp_path / "new", config={"replicaof": f"127.0.0.1 {old.port}", "repl-diskless-sync-delay": "0"}
    )
    options = fresh_options(old.url, min_replicas=1, deadline=1.0)
    promoted = msgspec.structs.replace(options, url=new.url, min_replicas=0, deadline=3.0)
    before, after = OpenStores(options), OpenStores(promoted)
    answered: set[str] = set()
    try:
        old.start()
        new.start()
        first = await before.open()

        async def replicated() -> bool:
            return await accept(first, firing(pod="before"), answered)

        await until(replicated, seconds=20)
        os.kill(old.pid, signal.SIGSTOP)
        assert not await accept(first, firing(pod="frozen"), answered), "answered within its own deadline"
        assert new.call("REPLICAOF", "NO", "ONE") == b"+OK"
        os.kill(old.pid, signal.SIGCONT)

        second = await after.open()
        for number in range(6):
            assert not await accept(first, firing(pod=f"old{number}"), answered), "two primaries take alerts"
            assert await accept(second, firing(pod=f"new{number}"), answered)
        assert old.info("replication")["role"] == new.info("replication")["role"] == "master"
        with pytest.raises(StoreUnavailable):
            await first.health.ping()

        # It rejoins: what it alone had is gone, and that was never answered.
        assert old.call("REPLICAOF", "127.0.0.1", str(new.port)) == b"+OK"

        async def follows() -> bool:
            return old.info("replication").get("master_link_status") == "up"

        await until(follows, seconds=20)
        kept = {found.alert.labels["pod"] for found in await transitions(second)}
        assert answered <= kept
        assert answered == {"before", *(f"new{number}" for number in range(6))}
    finally:
        await before.close()
        await after.close()
        old.stop()
        new.stop()


async def test_a_failover_under_load_loses_nothing_that_was_answered(tmp_path: Path, processes: Processes) -> None:
    """Fault 9: the primary is killed while four senders send; what a replica confirmed is with the new primary."""
    site = SentinelSite(tmp_path, processes)
    endpoints = tuple(Endpoint("127.0.0.1", port) for port in site.ports)
    opened = OpenStores(
        StoreOptions(
            mode="sentinel", sentinels=endpoints, sentinel_service=MASTER, min_replicas=1, deadline=1.0, claim=1.0
        )
    )
    answered: set[str] = set()
    tally, posted = Counter[str](), Counter[int]()
    over = asyncio.Event()
    try:
        await site.start()

        async def send(sender: int) -> None:
            stores, number = await opened.open(), 0
            while not over.is_set():
                number += 1
                taken = await accept(stores, firing(pod=f"s{sender}-{number}"), answered)
                tally["refused" if not taken else "after" if tally["killed"] and tally["refused"] else "before"] += 1
                await asyncio.sleep(0.01)

        async def post() -> None:
            """One of them over HTTP: nothing but 200 and 503."""
            number = 0
            async with served(SENDER, stores=await opened.open()) as receiver:
                while not over.is_set():
                    number += 1
                    status = (await receiver.post(body(alert(number)))).status
                    posted[status] += 1
                    if status == 200:
                        answered.add(f"gw-{number}")
                    await asyncio.sleep(0.02)

        senders = [asyncio.create_task(send(number)) for number in range(4)]
        senders.append(asyncio.create_task(post()))

        async def before() -> bool:
            return tally["before"] >= 40

        await until(before, seconds=20, what="alerts before the failover")
        site.primary.kill()
        tally["killed"] = 1

        async def recovered() -> bool:
            return tally["refused"] > 0 and tally["after"] >= 40

        await until(recovered, seconds=60, what="alerts that are taken again")
        over.set()
        await asyncio.gather(*senders)
        late = await opened.open()
        kept = {found.alert.labels["pod"] for found in await transitions(late)}
        assert answered <= kept
        assert tally["refused"] > 0
        assert posted.keys() == {200, 503}
    finally:
        over.set()
        await opened.close()
        site.stop()
