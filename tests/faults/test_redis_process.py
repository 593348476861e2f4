"""What happens to alerts when the process of Redis dies, hangs, fills up or comes back empty."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bridge.errors import ConfigurationError, StoreUnavailable
from bridge.model.intake import Seen
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.stores import StoreOptions, Stores, open_stores
from tests.support.alerts import claimed, fire, firing, resolved, step, transitions, wish
from tests.support.processes import until
from tests.support.redis import OpenStores, RedisServer, fresh_options
from tests.support.valve import open_valve


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test's own: it may be broken."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.asynccontextmanager
async def stores_of(server: RedisServer, **changes: object) -> AsyncIterator[Stores]:
    opened = OpenStores(fresh_options(server.url, claim=0.3, **changes))
    try:
        yield await opened.open()
    finally:
        await opened.close()


async def recovered(stores: Stores) -> None:
    for _ in range(200):
        try:
            return await stores.health.ping()
        except StoreUnavailable:
            await asyncio.sleep(0.02)
    raise AssertionError("the store did not come back")


async def test_nothing_that_was_answered_is_lost_when_redis_is_killed(server: RedisServer) -> None:
    """Fault 6: Redis killed (-9) under load, everysec; the same stores go on by themselves when it is back."""
    async with stores_of(server) as stores:
        answered: set[str] = set()
        refused = 0

        async def enough() -> bool:
            return len(answered) >= 500

        async def sender(lane: int) -> None:
            nonlocal refused
            for nr in range(10_000):
                pod = f"{lane}-{nr}"
                try:
                    await stores.intake.accept([firing(pod=pod)])
                except StoreUnavailable:
                    refused += 1
                    return
                answered.add(pod)

        senders = [asyncio.create_task(sender(lane)) for lane in range(16)]
        await until(enough)
        server.kill()
        await asyncio.gather(*senders)
        assert refused == 16
        server.start()
        await recovered(stores)
        stored = {t.alert.labels["pod"] for t in await transitions(stores)}
        assert answered <= stored
        assert await stores.intake.accept([firing(pod=min(answered))]) == [Seen.DUPLICATE]


async def test_count_of_deaths_survives_a_restart_of_redis(server: RedisServer) -> None:
    """Fault 56: dead letter after N tries; the count survives restarts."""
    async with stores_of(server) as stores:
        wanted = wish()
        await fire(stores, wanted)
        await claimed(stores)
        for nr in range(3):
            await until(server.has_written)
            server.kill()
            server.start()
            await recovered(stores)
            await asyncio.sleep(0.35)
            taken = await stores.work.reclaim(f"worker{nr}")
            assert taken is not None
            assert taken.deaths == nr + 1
        await asyncio.sleep(0.35)
        assert await stores.work.reclaim("last") is None
        view = await stores.work.get(wanted.remediation.id)
        assert view is not None
        assert (view.outcome, view.escalated) == (Outcome.UNKNOWN, True)


async def test_full_redis_refuses_new_alerts_and_running_work_still_ends(server: RedisServer) -> None:
    """Fault 13: out of memory, noeviction."""
    async with stores_of(server) as stores:
        await fire(stores, wish("first"), wish("second", "elsewhere"))
        claim = await claimed(stores)
        server.call("CONFIG", "SET", "maxmemory", "1mb")
        with pytest.raises(StoreUnavailable, match=r"OOM|memory"):
            await stores.intake.accept([firing(pod="1")])
        with pytest.raises(StoreUnavailable):
            await stores.health.ping()
        await stores.journal.append(claim, step("applying"), writing=True)
        await stores.work.renew(claim)
        await stores.locks.acquire(claim, ["k"], seconds=60)
        await stores.work.finish(claim, Outcome.SUCCEEDED, Reason.VERIFIED, step("finished"), escalated=False)
        await stores.work.finish(
            await claimed(stores), Outcome.FAILED, Reason.NOT_FIXED, step("finished"), escalated=True
        )
        assert (await stores.work.depth())["work"] == 0
        server.call("CONFIG", "SET", "maxmemory", "0")
        assert await stores.intake.accept([firing(pod="1")]) == [Seen.NEW]


async def test_hanging_redis_is_answered_within_our_own_deadline(server: RedisServer) -> None:
    """Fault 15."""
    async with stores_of(server, deadline=1.5) as stores:
        await stores.health.ping()
        server.signal(signal.SIGSTOP)
        began = time.monotonic()
        calls = (
            stores.intake.accept([firing()]),
            stores.intake.accept([firing(pod="1")]),
            stores.health.ping(),
            stores.work.claim("w", block=0.1),
            stores.work.list(limit=1),
        )
        failed = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in failed] == [StoreUnavailable] * 5
        assert time.monotonic() - began < 3.0
        server.signal(signal.SIGCONT)
        assert (await stores.intake.accept([firing(pod="2")]))[0] is Seen.NEW


async def test_redis_that_comes_back_empty_works_again_and_raises_an_alarm(server: RedisServer) -> None:
    """Fault 17: consumer groups are made again."""
    async with stores_of(server) as stores:
        await fire(stores, wish())
        await claimed(stores)
        server.call("FLUSHALL")
        await stores.intake.accept([firing()])
        assert await stores.intake_queue.read("w", count=10, block=0) == []
        (entry,) = await stores.intake_queue.read("w", count=10, block=0)
        assert entry.transitions[0].seen is Seen.NEW
        assert await stores.work.reclaim("w") is None
        assert (await stores.work.depth())["groups_recreated"] >= 1
        assert await stores.work.claim("w", block=0) is None


async def test_lost_answer_of_the_intake_leads_to_one_stored_alert(server: RedisServer) -> None:
    """Faults 18, 2 and 55: the reply to an intake is lost; the sender tries again."""
    async with open_valve(server.port) as valve, stores_of(server, deadline=1.5) as stores:
        async with stores_of_port(stores, valve.port) as cut:
            await cut.intake.accept([firing(pod="warm")])
            valve.close_back()
            waiting = asyncio.ensure_future(cut.intake.accept([firing(), firing(pod="1")]))
            await valve.held.wait()
            valve.sever()
            with pytest.raises(StoreUnavailable):
                await waiting
            valve.open()
            again = await cut.intake.accept([firing(), firing(pod="1"), firing(pod="2")])
            assert again == [Seen.DUPLICATE, Seen.DUPLICATE, Seen.NEW]
        pods = [t.alert.labels.get("pod", "") for t in await transitions(stores)]
        assert sorted(pods) == ["", "1", "2", "warm"]


async def test_request_that_never_arrived_is_stored_by_the_next_try(server: RedisServer) -> None:
    """Fault 1, between receiver and Redis."""
    async with (
        open_valve(server.port) as valve,
        stores_of(server, deadline=1.5) as stores,
        stores_of_port(stores, valve.port) as cut,
    ):
        await cut.intake.accept([firing(pod="warm")])
        valve.close_there()
        with pytest.raises(StoreUnavailable):
            await cut.intake.accept([firing()])
        valve.sever()
        valve.open()
        assert await cut.intake.accept([firing()]) == [Seen.NEW]


@contextlib.asynccontextmanager
async def stores_of_port(stores: Stores, port: int) -> AsyncIterator[Stores]:
    """The same installation through another port."""
    options = stores.work._link.options
    opened = OpenStores(options)
    try:
        yield await opened.open(url=f"redis://127.0.0.1:{port}")
    finally:
        await opened.close()


@pytest.mark.parametrize("hours", [-1, 1])
async def test_clock_an_hour_off_changes_neither_claims_nor_dedup(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """Fault 19: leases and dedup go by Redis's clock; a host's own is never asked."""
    real = time.time
    async with stores_of(server) as stores:
        await fire(stores, wish())
        monkeypatch.setattr(time, "time", lambda: real() + hours * 3600)
        opened = OpenStores(stores.work._link.options)
        other = await opened.open()
        assert await other.intake.accept([firing()]) == [Seen.DUPLICATE]
        claim = await claimed(other)
        assert await stores.work.reclaim("impatient") is None
        await asyncio.sleep(0.35)
        taken = await stores.work.reclaim("rightful")
        assert taken is not None
        assert taken.token > claim.token
        await other.intake.accept([resolved()])
        assert await other.intake.accept([firing()]) == [Seen.HELD]
        await opened.close()


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"appendonly": "no"}, "keeps nothing on disk"),
        ({"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}, "maxmemory-policy is allkeys-lru"),
        ({"maxmemory": "100mb", "maxmemory-policy": "volatile-ttl"}, "maxmemory-policy is volatile-ttl"),
    ],
)
async def test_start_refuses_a_redis_that_would_lose_alerts(
    tmp_path: Path, config: dict[str, str], problem: str
) -> None:
    """Fault 14."""
    server = RedisServer(tmp_path, config=config)
    server.start()
    try:
        with pytest.raises(ConfigurationError, match=problem):
            await open_stores(fresh_options(server.url))
        stores = await open_stores(fresh_options(server.url, allow_unsafe=True))
        assert problem in stores.warnings[0]
        await stores.close()
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"appendonly": "no", "save": "60 1"}, "appendonly is off"),
        ({"maxmemory-policy": "allkeys-lru"}, "no maxmemory is set"),
        ({"appendfsync": "no"}, "appendfsync is no"),
    ],
)
async def test_start_warns_of_a_redis_that_could_lose_alerts(
    tmp_path: Path, config: dict[str, str], problem: str
) -> None:
    """Fault 14, where refusal would be wrong."""
    server = RedisServer(tmp_path, config=config)
    server.start()
    try:
        stores = await open_stores(fresh_options(server.url))
        assert problem in stores.warnings[0]
        await stores.close()
    finally:
        server.stop()


async def test_start_refuses_a_replica_and_names_its_primary(server: RedisServer, tmp_path: Path) -> None:
    """Fault 14: a replica as target."""
    replica = RedisServer(tmp_path / "replica", config={"replicaof": f"127.0.0.1 {server.port}"})
    replica.start()
    try:
        with pytest.raises(ConfigurationError, match=f"replica: name its primary \\(127.0.0.1:{server.port}\\)"):
            await open_stores(fresh_options(replica.url))
        async with stores_of(replica) as stores:
            with pytest.raises(StoreUnavailable, match=r"READONLY|read only"):
                await stores.intake.accept([firing()])
    finally:
        replica.stop()


async def test_with_min_replicas_an_alert_counts_only_when_a_replica_has_it(
    server: RedisServer, tmp_path: Path
) -> None:
    """Faults 9 to 11 rest on it: 2xx only after WAIT confirms, else 503."""
    server.call("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    replica = RedisServer(tmp_path / "replica", config={"replicaof": f"127.0.0.1 {server.port}"})
    replica.start()
    try:

        async def linked() -> bool:
            return replica.info("replication").get("master_link_status") == "up"

        await until(linked)
        async with stores_of(server, min_replicas=1, deadline=2.0) as stores:
            assert await stores.intake.accept([firing()]) == [Seen.NEW]
            replica.signal(signal.SIGSTOP)
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
                await stores.intake.accept([firing(pod="1")])
            replica.signal(signal.SIGCONT)
            assert await stores.intake.accept([firing(pod="1")]) == [Seen.DUPLICATE]
    finally:
        replica.stop()


async def test_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        await open_stores(StoreOptions(mode="url", url="redis://127.0.0.1:1"))
