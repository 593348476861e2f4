"""Commands to somebody's Redis and Sentinels, real ones: where they go, what comes back, what is not known."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge.errors import Hung, InvalidInput, OutcomeUnknown, PermanentError, TemporaryError, Unreachable
from bridge.outside.options import OutsideSettings, RedisPeer
from bridge.outside.reach import Outside
from tests.support.processes import Processes, free_port, until
from tests.support.redis import RedisServer
from tests.support.sentinel import MASTER, SentinelSite
from tests.support.valve import open_valve


def outside_of(**peers: RedisPeer) -> Outside:
    return Outside(OutsideSettings(redis=peers))


def at(port: int, **more: object) -> RedisPeer:
    return RedisPeer(address=f"127.0.0.1:{port}", **more)  # type: ignore[arg-type]


async def test_replies_are_plain_values(redis_server: RedisServer) -> None:
    outside = outside_of(cache=at(redis_server.port))
    key = "test_connections_redis"
    try:
        assert await outside.redis("cache", ["RPUSH", key, "a", "b"], address="") == 2
        assert await outside.redis("cache", ["LRANGE", key, "0", "-1"], address="") == ["a", "b"]
        assert await outside.redis("cache", ["LINDEX", key, "9"], address="") is None
        assert "redis_version:" in await outside.redis("cache", ["INFO", "server"], address="")
        with pytest.raises(PermanentError, match="WRONGTYPE"):
            await outside.redis("cache", ["GET", key], address="")
    finally:
        redis_server.call("DEL", key)


async def test_only_configured_servers_are_asked(redis_server: RedisServer) -> None:
    outside = outside_of(cache=at(redis_server.port))
    with pytest.raises(InvalidInput, match="`redis_peers`"):
        await outside.redis("other", ["PING"], address="")
    with pytest.raises(InvalidInput, match="not its address"):
        await outside.redis("cache", ["PING"], address="127.0.0.1:1")
    with pytest.raises(InvalidInput):
        await outside.redis("cache", [], address="")


async def test_a_refused_connection_is_told_apart_from_a_hung_one(redis_server: RedisServer) -> None:
    """Fault 23."""
    outside = outside_of(gone=at(free_port()))
    with pytest.raises(Unreachable):
        await outside.redis("gone", ["PING"], address="")
    async with open_valve(redis_server.port) as valve:
        valve.close_back()
        with pytest.raises(Hung):
            await outside_of(hung=at(valve.port, deadline=0.3)).redis("hung", ["PING"], address="")


async def test_a_write_without_an_answer_is_an_unknown_outcome(redis_server: RedisServer) -> None:
    """Faults 4 and 23; a read that got none has changed nothing."""
    key = "test_connections_redis_lost"
    async with open_valve(redis_server.port) as valve:
        outside = outside_of(cache=at(valve.port, deadline=1.5))
        valve.trap(b"INCR", arrives=True)
        with pytest.raises(OutcomeUnknown):
            await outside.redis("cache", ["INCR", key], address="")
        assert redis_server.call("GET", key) == b"1"
        valve.trap(b"INCR", arrives=True)
        asked = asyncio.create_task(outside.redis("cache", ["INCR", key], address=""))
        await asyncio.wait_for(valve.held.wait(), 10)
        valve.sever()
        with pytest.raises(OutcomeUnknown):
            await asked
        valve.trap(b"STRLEN", arrives=True)
        asked = asyncio.create_task(outside.redis("cache", ["STRLEN", key], address=""))
        await asyncio.wait_for(valve.held.wait(), 10)
        valve.sever()
        with pytest.raises(TemporaryError):
            await asked
    redis_server.call("DEL", key)


async def test_a_wrong_password_is_final_and_is_not_told(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, config={"requirepass": "right-s3cret"})
    server.start(wait=False)
    try:

        async def listening() -> bool:
            try:
                return server.call("PING").startswith(b"-NOAUTH")
            except OSError:
                return False

        await until(listening)
        peers = {
            "right": at(server.port, password="right-s3cret"),
            "wrong": at(server.port, password="wr0ng-s3cret"),
            "none": at(server.port),
        }
        outside = outside_of(**peers)
        assert await outside.redis("right", ["PING"], address="") == "PONG"
        for peer in ("wrong", "none"):
            with pytest.raises(PermanentError) as caught:
                await outside.redis(peer, ["PING"], address="")
            assert "s3cret" not in str(caught.value)
        assert "s3cret" not in repr(peers)
    finally:
        server.stop()


async def test_sentinels_lead_to_the_primary_and_to_whoever_they_name(tmp_path: Path, processes: Processes) -> None:
    site = SentinelSite(tmp_path, processes, password="inner-s3cret")
    outsider = RedisServer(tmp_path / "outsider")
    try:
        await site.start()
        outsider.start()
        # The first one of the list is dead: the next is asked.
        peer = RedisPeer(
            sentinels=(f"127.0.0.1:{free_port()}", *site.addresses), master=MASTER, password="inner-s3cret"
        )
        outside = outside_of(gateway=peer)
        [role, *_] = await outside.redis("gateway", ["ROLE"], address="")
        assert role == "master"
        named = await outside.redis("gateway", ["SENTINEL", "get-master-addr-by-name", MASTER], address="")
        assert named == ["127.0.0.1", str(site.primary.port)]
        replica = f"127.0.0.1:{site.replicas[0].port}"
        assert (await outside.redis("gateway", ["ROLE"], address=replica))[0] == "slave"
        with pytest.raises(TemporaryError, match="read only"):
            await outside.redis("gateway", ["SET", "a", "b"], address=replica)
        with pytest.raises(InvalidInput, match="has named"):
            await outside.redis("gateway", ["PING"], address=f"127.0.0.1:{outsider.port}")
        assert await outside.redis("gateway", ["PING"], address=site.addresses[1]) == "PONG"
        unknown = outside_of(gateway=RedisPeer(sentinels=site.addresses, master="other"))
        with pytest.raises(PermanentError, match="'other'"):
            await unknown.redis("gateway", ["PING"], address="")
    finally:
        site.stop()
        outsider.stop()
