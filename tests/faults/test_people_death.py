"""Messages to people, when what sends them dies: whole processes, a real Redis, a real HTTP server as the channel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.installation import Installation, Server, start_redis
from tests.support.processes import Processes, until
from tests.support.sink import Sink, open_sink
from tests.support.telling import webhook
from tests.support.workshop import Workshop, open_workshop

GONE = {"namespace": "shop", "deployment": "gone", "severity": "critical"}
NOTIFY = {
    "channels": {"team": {"url_env": "TEAM_URL", "timeout": "2s"}},
    "rules": [{"on": ["done", "escalated"], "channels": "team"}],
}


@pytest.fixture
async def shop() -> AsyncIterator[Workshop]:
    async with open_workshop() as workshop:
        yield workshop


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with open_sink() as opened:
        yield opened


async def notices(server: Server, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await server.get(f"/api/v1/remediations/{name}/notices"))["notices"]
    return found


async def test_what_was_not_told_yet_is_told_after_everything_died(
    processes: Processes, shop: Workshop, sink: Sink
) -> None:
    """Fault 6: the server and its Redis killed (-9); the person who is needed hears of it all the same."""
    sink.status = 503
    env = {"TEAM_URL": webhook(sink.url, "team")}
    installation = Installation(processes, kubernetes=shop.url, notify=NOTIFY)
    server = await installation.start(env=env)
    try:
        await server.fire("GatewayDown", **GONE)
        name = (await server.outcome())["id"]

        async def failed() -> bool:
            return any(each["error"] for each in await notices(server, name))

        await until(failed, seconds=15, what="a try that failed")
        tried = len(sink.requests)
        server.process.kill()
        installation.end_private_redis()
        sink.status = 200
        again = await installation.start(env=env)
        await sink.wait_for(lambda seen: len(seen.requests) > tried, seconds=30, what="the message")
        assert "a person is needed" in sink.requests[-1]["title"]

        async def sent() -> bool:
            return [each["state"] for each in await notices(again, name)] == ["sent"]

        await until(sent, what="its note")
        taken = await again.post(f"/api/v1/remediations/{name}/ack", {"why": "mine"})
        assert (taken["by"], taken["why"]) == ("operator", "mine")
        await sink.wait_for(lambda seen: "acknowledged" in seen.requests[-1]["title"], what="the acknowledgement")
    finally:
        installation.end_private_redis()


async def test_two_processes_tell_once(processes: Processes, shop: Workshop, sink: Sink) -> None:
    redis = await start_redis(processes)
    installation = Installation(
        processes, kubernetes=shop.url, redis=redis.url, notify=NOTIFY, external_url="https://bridge.example"
    )
    env = {"TEAM_URL": webhook(sink.url, "team")}
    first, second = await installation.start(env=env), await installation.start(env=env)
    await first.fire("GatewayDown", namespace="shop", deployment="web")
    done = await second.outcome()
    await sink.wait_for(lambda seen: bool(seen.requests), what="the message")
    assert f"https://bridge.example/r/{done['id']}" in sink.requests[0]["message"]

    async def counted() -> bool:
        both = [await server.figure("alertbridge_notices_total", result="sent") for server in (first, second)]
        return sum(both) == 1

    await until(counted, what="the figure")
    assert len(sink.requests) == 1
