"""Collectors of databases, Redis and Sentinels, against real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.engine.context import RunContext
from bridge.errors import Hung, PermanentError
from bridge.evidence.registry import collectors
from bridge.model.target import Target
from bridge.outside.options import OutsideSettings, RedisPeer, SqlPeer
from bridge.outside.reach import Outside, Reach
from tests.support.clock import FakeClock
from tests.support.fake_cluster import FakeCluster
from tests.support.postgres import PostgresServer
from tests.support.processes import Processes, free_port, until
from tests.support.redis import RedisServer
from tests.support.sentinel import MASTER, SentinelSite
from tests.support.valve import open_valve


async def collect(name: str, settings: OutsideSettings, **params: Any) -> dict[str, Any]:
    clock = FakeClock()
    context = RunContext(
        remediation="rem-1",
        planned_at=clock.now(),
        target=Target("sim", "Deployment", "shop", "web"),
        reach=Reach(FakeCluster(), clock, Outside(settings)),
    )
    collector = collectors()[name]
    return await collector.collect(context, collector.params.model_validate(params))


def redis_at(port: int, **more: float) -> OutsideSettings:
    return OutsideSettings(redis={"cache": RedisPeer(address=f"127.0.0.1:{port}", **more)})


@pytest.fixture
async def database(postgres: PostgresServer) -> SqlPeer:
    return postgres.peer(await postgres.new_database())


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "own")
    server.start()
    yield server
    server.stop()


async def test_a_query_gives_its_rows(database: SqlPeer) -> None:
    settings = OutsideSettings(sql={"db": database})
    found = await collect(
        "sql",
        settings,
        connection="db",
        query="SELECT count(*) AS busy, max($1::int) AS asked FROM pg_stat_activity WHERE state = 'active'",
        arguments=[7],
    )
    assert found["row_count"] == 1
    assert found["value"] == found["rows"][0]["busy"] >= 1
    assert found["rows"][0]["asked"] == 7
    nothing = await collect("sql", settings, connection="db", query="SELECT 1 WHERE false")
    assert (nothing["row_count"], nothing["value"], nothing["rows"]) == (0, None, [])


async def test_evidence_writes_to_no_table(database: SqlPeer) -> None:
    settings = OutsideSettings(sql={"db": database})
    with pytest.raises(PermanentError, match="read-only"):
        await collect("sql", settings, connection="db", query="CREATE TABLE t (n int)")
    with pytest.raises(ValidationError, match="fixed text"):
        await collect("sql", settings, connection="db", query="SELECT * FROM ${labels.table}")


async def test_credentials_in_rows_are_masked(database: SqlPeer) -> None:
    found = await collect(
        "sql",
        OutsideSettings(sql={"db": database}),
        connection="db",
        query="SELECT 'hunter22' AS password, 'postgresql://u:hunter22@h/d' AS dsn",
    )
    assert "hunter22" not in str(found)


async def test_the_state_of_a_redis_is_told(own_redis: RedisServer) -> None:
    own_redis.call("SET", "subscription:1", '{"callback": "http://a/", "token": "s3cret-token"}')
    own_redis.call("SET", "subscription:2", "plain")
    own_redis.call("RPUSH", "subscription:3", "x")
    own_redis.call("SET", "other", "1")
    found = await collect("redis", redis_at(own_redis.port), connection="cache", match="subscription:*")
    assert (found["reachable"], found["role"], found["replicas"], found["keys"]) == (True, "master", 0, 4)
    assert found["save_ok"]
    assert found["used_memory"] > 0
    assert [item["key"] for item in found["items"]] == ["subscription:1", "subscription:2", "subscription:3"]
    assert found["items"][0]["value"]["callback"] == "http://a/"
    assert "s3cret" not in str(found)
    assert [item["value"] for item in found["items"][1:]] == ["plain", None]
    asked = await collect("redis", redis_at(own_redis.port), connection="cache", command=["GET", "other"])
    assert asked["reply"] == "1"


async def test_many_keys_are_cut(own_redis: RedisServer) -> None:
    for number in range(150):
        own_redis.call("SET", f"k:{number}", "v")
    found = await collect("redis", redis_at(own_redis.port), connection="cache", match="k:*")
    assert (len(found["items"]), found["truncated"]) == (100, True)


@pytest.mark.parametrize(
    "command", [["FLUSHALL"], ["SET", "a", "b"], ["CONFIG", "SET", "a", "b"], ["EVAL", "x", "0"]]
)
async def test_evidence_asks_redis_nothing_that_writes(command: list[str]) -> None:
    with pytest.raises(ValidationError, match="only reads"):
        await collect("redis", redis_at(1), connection="cache", command=command)


async def test_a_redis_that_refuses_is_an_answer_and_one_that_hangs_is_none(redis_server: RedisServer) -> None:
    """Fault 23."""
    found = await collect("redis", redis_at(free_port()), connection="cache")
    assert (found["reachable"], found["role"]) == (False, "")
    assert found["error"]
    async with open_valve(redis_server.port) as valve:
        valve.close_back()
        with pytest.raises(Hung):
            await collect("redis", redis_at(valve.port, deadline=0.3), connection="cache")


async def test_sentinels_tell_of_a_primary_that_is_down(tmp_path: Path, processes: Processes) -> None:
    site = SentinelSite(tmp_path, processes)
    settings = OutsideSettings(redis={"s": RedisPeer(sentinels=site.addresses, master=MASTER)})
    try:
        await site.start()
        found = await collect("sentinel", settings, connection="s")
        assert (found["master"], found["primary"]) == (MASTER, f"127.0.0.1:{site.primary.port}")
        assert (found["primary_down"], found["failing_over"], found["quorum_ok"]) == (False, False, True)
        assert (found["sentinels"], found["quorum"], found["good_replicas"]) == (3, 2, 2)
        for server in site.replicas:
            server.kill()

        async def seen() -> bool:
            return (await collect("sentinel", settings, connection="s"))["replicas_down"] == 2

        await until(seen, seconds=20)
        site.primary.kill()

        async def down() -> bool:
            now = await collect("sentinel", settings, connection="s")
            return bool(now["primary_down"]) and now["good_replicas"] == 0

        await until(down, seconds=20)
        # Two Sentinels less: the last one knows that it cannot decide.
        for process in processes.named("sentinel")[1:]:
            process.kill()

        async def alone() -> bool:
            return not (await collect("sentinel", settings, connection="s"))["quorum_ok"]

        await until(alone, seconds=20)
    finally:
        site.stop()
