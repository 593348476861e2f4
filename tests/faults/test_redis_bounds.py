"""What our promise leaves open, measured: what a failover can cost, what a new Redis knows, what the dead leave."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.errors import LeaseLost, StoreUnavailable
from bridge.model.intake import Dispatch, Seen
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.stores import Link, Stores, connect
from bridge.telemetry import Metrics
from tests.support.alerts import claimed, fire, firing, resolved, step, transitions, wish
from tests.support.installation import Installation
from tests.support.processes import Processes, until
from tests.support.receiver import SENDER, Served, served
from tests.support.redis import OpenStores, RedisServer, fresh_options
from tests.support.valve import open_valve
from tests.support.webhooks import alert, body

LAG = 1
"""Seconds: `min-replicas-max-lag` of these tests."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path / "redis")
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
async def opened(server: RedisServer) -> AsyncIterator[OpenStores]:
    stores = OpenStores(fresh_options(server.url, claim=0.3))
    yield stores
    await stores.close()


# -- a failover


async def test_a_primary_that_is_cut_off_answers_no_longer_than_its_bound_and_only_that_is_lost(
    tmp_path: Path,
) -> None:
    """Faults 10 and 11, without WAIT: the loss is bounded by min-replicas-to-write, and is not zero."""
    bounds = {
        "min-replicas-to-write": "1",
        "min-replicas-max-lag": str(LAG),
        "repl-diskless-sync-delay": "0",
        "repl-ping-replica-period": "1",
    }
    old = RedisServer(tmp_path / "old", config=bounds)
    old.start()
    answered: dict[str, float] = {}
    async with open_valve(old.port) as line:
        follows = {"replicaof": f"127.0.0.1 {line.port}", "repl-diskless-sync-delay": "0"}
        new = RedisServer(tmp_path / "new", config=follows)
        options = fresh_options(old.url, deadline=1.0)
        before, after = OpenStores(options), OpenStores(msgspec.structs.replace(options, url=new.url))
        try:
            await asyncio.to_thread(new.start)
            first = await before.open()

            async def send(number: int) -> bool:
                try:
                    await first.intake.accept([firing(pod=str(number))])
                except StoreUnavailable:
                    return False
                answered[str(number)] = time.monotonic()
                return True

            async def replicated() -> bool:
                return await send(0)

            await until(replicated, seconds=20)
            await asyncio.sleep(0.2)
            line.close_there()
            line.close_back()
            cut, number = time.monotonic(), 0
            while await send(number := number + 1):
                await asyncio.sleep(0.01)
                assert time.monotonic() - cut < 20, "it goes on answering"
            # It looks once a second how long a replica has been silent; and it refuses for good.
            assert not [True for more in range(10) if await send(10_000 + more)]
            assert new.call("REPLICAOF", "NO", "ONE") == b"+OK"
            old.kill()
            second = await after.open()
            kept = {found.alert.labels["pod"] for found in await transitions(second)}
            lost = [at for pod, at in answered.items() if pod not in kept]
            assert lost, "the replica was not cut off"
            assert min(lost) >= cut - 0.5
            assert max(lost) - cut < LAG + 3.0, "longer than the bound, and the seconds of its own look"
            again = await second.intake.accept([firing(pod=pod) for pod in answered])
            seen = dict(zip(answered, again, strict=True))
            assert {pod for pod, what in seen.items() if what is Seen.NEW} == answered.keys() - kept
        finally:
            await before.close()
            await after.close()
            old.stop()
            new.stop()


# -- Redis comes back empty


async def test_a_redis_that_lost_its_disk_is_used_again_and_raises_the_alarm(
    server: RedisServer, opened: OpenStores
) -> None:
    """Fault 17: started again without its data, while a worker was at work."""
    stores = await opened.open()
    metrics = Metrics("test")
    await fire(stores, wish())
    claim = await claimed(stores)
    metrics.queue(await stores.work.depth())
    assert metrics.registry.get_sample_value("alertbridge_store_groups_recreated_total") == 0
    server.kill()
    shutil.rmtree(server.folder / "appendonlydir")
    server.start()

    async def answers() -> bool:
        try:
            return await stores.intake.accept([firing()]) == [Seen.NEW]
        except StoreUnavailable:
            return False

    await until(answers, seconds=10, what="the same stores at work again")
    # Whoever worked on something that is gone lets go of it, and changes nothing more.
    with pytest.raises(LeaseLost):
        await stores.journal.append(claim, step("applying"), writing=True)
    with pytest.raises(LeaseLost):
        await stores.work.renew(claim)
    again = wish()

    async def dispatched() -> bool:
        for transition in await transitions(stores):
            await stores.intake_queue.dispatch(Dispatch(transition=transition, assignments=(again,)))
        return await stores.work.get(again.remediation.id) is not None

    await until(dispatched, seconds=10)
    assert (await claimed(stores)).remediation == again.remediation.id
    metrics.queue(await stores.work.depth())
    recreated = metrics.registry.get_sample_value("alertbridge_store_groups_recreated_total")
    assert recreated is not None
    assert recreated >= 1


# -- the dead


async def test_of_forty_dead_processes_nothing_stays_and_nothing_is_lost(opened: OpenStores) -> None:
    """Fault 57: each had read alerts and claimed a remediation, and was never heard of again."""
    dead, mine = 40, await opened.open()
    for number in range(dead):
        process = await opened.open()
        await fire(process, wish(f"runbook{number}", f"target{number}"), alert=firing("Early", pod=str(number)))
        await claimed(process, f"dead{number}")
        await process.intake.accept([firing(pod=f"{number}-{each}") for each in range(3)])
        assert await process.intake_queue.read(f"dead{number}", count=10, block=0.01)
    assert (await mine.work.depth())["pending"] == dead
    await asyncio.sleep(0.35)

    pods, ended = Counter[str](), set[str]()
    while entries := await mine.intake_queue.reclaim("mine"):
        for entry in entries:
            pods.update(found.alert.labels["pod"] for found in entry.transitions)
        await mine.intake_queue.done([entry.id for entry in entries])
    while claim := await mine.work.reclaim("mine"):
        await mine.work.finish(claim, Outcome.SUCCEEDED, Reason.VERIFIED, step("finished"), escalated=False)
        ended.add(claim.remediation)
    assert pods == Counter(f"{number}-{each}" for number in range(dead) for each in range(3))
    assert len(ended) == dead
    figures = await mine.work.depth()
    assert (figures["pending"], figures["work"], figures["intake"], figures["dead"]) == (0, 0, 0, 0)

    link = mine.work._link
    for stream, group in (("work", "workers"), ("intake", "dispatch")):
        before = await link.command("XINFO", "CONSUMERS", link.key(stream), group)
        assert len(before) >= dead
    await mine.work._groups.script("consumers", 10)
    for stream, group in (("work", "workers"), ("intake", "dispatch")):
        names = {row[1] for row in await link.command("XINFO", "CONSUMERS", link.key(stream), group)}
        assert not [name for name in names if name.startswith(b"dead")]
        assert (await link.command("XPENDING", link.key(stream), group))[0] == 0


# -- clocks


@pytest.mark.parametrize("hours", [-1, 1])
async def test_when_the_clock_of_redis_jumps_an_hour_two_workers_never_hold_one_remediation(
    opened: OpenStores, hours: int
) -> None:
    """Fault 19: the one clock on which all agree is itself set: as after a failover to a host that is off."""
    stores = await opened.open()
    wanted = wish()
    await fire(stores, wanted)
    claim = await claimed(stores)
    assert await stores.locks.acquire(claim, ["web"], seconds=900) is None
    moved = await opened.later(hours * 3600)
    assert await moved.intake.accept([firing()]) == [Seen.DUPLICATE]
    await moved.work.renew(claim)
    assert await moved.work.reclaim("impatient") is None
    await asyncio.sleep(0.35)
    taken = await moved.work.reclaim("rightful")
    assert taken is not None
    with pytest.raises(LeaseLost):
        await moved.journal.append(claim, step("applying"), writing=True)
    await moved.journal.append(taken, step("applying"), writing=True)
    # Set forward, a lock may be over early: its objects are still written under preconditions alone.
    holder = await moved.locks.acquire(taken, ["web"], seconds=900)
    assert holder is None
    assert await moved.intake.accept([resolved()]) == [Seen.RESOLVED]
    assert await moved.intake.accept([firing()]) == [Seen.HELD]


# -- more than it can take


async def test_beyond_its_capacity_a_receiver_answers_503_and_loses_nothing_that_it_took(server: RedisServer) -> None:
    """Fault 51: 1,000 POSTs a second, while Redis stands still at times; and after that it is as it was."""
    stores: Stores = connect(Link(fresh_options(server.url, deadline=0.4)))
    answers: dict[str, int] = {}

    async def post(number: int) -> None:
        answers[f"gw-{number}"] = (await receiver.post(body(alert(number)))).status

    async def stumble() -> None:
        for _ in range(2):
            await asyncio.sleep(0.3)
            server.signal(signal.SIGSTOP)
            await asyncio.sleep(0.7)
            server.signal(signal.SIGCONT)

    try:
        async with served(SENDER, stores=stores) as receiver:
            stumbling = asyncio.create_task(stumble())
            began, posts = time.monotonic(), list[asyncio.Task[None]]()
            for number in range(2000):
                # By the clock and not one by one: who sends does not wait for who is slow.
                await asyncio.sleep(max(0.0, began + number / 1000 - time.monotonic()))
                posts.append(asyncio.create_task(post(number)))
            async with asyncio.timeout(60):
                await asyncio.gather(*posts)
                await stumbling
            tally = Counter(answers.values())
            assert set(tally) == {200, 503}, tally
            assert tally[200] > 0
            await until(lambda: takes(receiver, alert(5000)), what="a receiver that is as it was")
            taken = {pod for pod, status in answers.items() if status == 200}
            # What was answered 503 may be there as well; sent again it is still one.
            refused = sorted(int(pod.removeprefix("gw-")) for pod in answers.keys() - taken)
            await until(lambda: takes(receiver, *(alert(number) for number in refused)), what="all that was refused")
        kept = Counter(found.alert.labels["pod"] for found in await transitions(stores))
        assert kept == Counter([*answers, "gw-5000"])
    finally:
        await stores.close()


async def takes(receiver: Served, *alerts: dict[str, Any]) -> bool:
    """Whether a POST is answered 200; a sender tries again, and its deadline here is a busy machine's pause."""
    return (await receiver.post(body(*alerts))).status == 200


# -- a server that is none


async def test_the_command_refuses_to_start_on_a_redis_that_would_lose_alerts_and_says_why(
    tmp_path: Path, processes: Processes
) -> None:
    """Fault 14: the process itself; nothing listens."""
    unsafe = RedisServer(tmp_path / "redis", config={"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"})
    unsafe.start()
    try:
        installation = Installation(processes, kubernetes="http://127.0.0.1:1", redis=unsafe.url)
        with pytest.raises(AssertionError, match="maxmemory-policy is allkeys-lru") as refused:
            await installation.start()
        assert "ended with 2" in str(refused.value)
    finally:
        unsafe.stop()
