"""The budget and a pause, when those that keep to them die: whole processes, a real Redis, the API that shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.installation import Installation, Server, holder_of, start_redis
from tests.support.processes import Processes, until
from tests.support.workshop import Workshop, open_workshop

BUDGETS = {"cluster": {"targets": 1}, "namespace": {}, "halt_after": None}


@pytest.fixture
async def shop() -> AsyncIterator[Workshop]:
    async with open_workshop() as workshop:
        workshop.deploy("api")
        yield workshop


async def used(server: Server) -> tuple[int, int]:
    """Return how many targets of the cluster count, and how many of their runs are under way."""
    guards = await server.get("/api/v1/guards")
    (scope,) = [one for one in guards["budget"]["scopes"] if one["scope"] == "cluster:simulated"]
    assert scope["targets_limit"] == 1
    return scope["targets"], scope["under_way"]


async def shows(server: Server, name: str, value: float, **labels: str) -> None:
    async def there() -> bool:
        return await server.figure(f"alertbridge_{name}", **labels) == value

    await until(there, seconds=15, what=f"{name} {value:g}")


async def test_what_a_dead_worker_had_reserved_is_the_budgets_until_another_one_has_ended_it(
    processes: Processes, shop: Workshop
) -> None:
    """Fault 3, for the budget: killed between the reservation and the write, which nobody pays for twice."""
    redis = await start_redis(processes)
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url, budgets=BUDGETS)
    servers = await installation.start_some(2)
    shop.proxy.hold_before = 1
    await servers[0].fire("GatewayDown", namespace="shop", deployment="web")
    await shop.proxy.holds()
    first = await holder_of(servers)
    (second,) = [server for server in servers if server is not first]
    assert await used(second) == (1, 1)
    first.process.kill()

    other = await second.fire("GatewayDown", namespace="shop", deployment="api")
    await second.decided(other, "budget_spent", seconds=20)
    done = {run["target"]["name"]: run for run in await second.finished(2, seconds=20)}
    assert (done["web"]["outcome"], done["web"]["deaths"]) == ("succeeded", 1)
    assert (done["api"]["outcome"], done["api"]["reason"]) == ("suppressed", "budget_spent")
    assert await used(second) == (1, 0)
    assert (shop.restarts("web"), shop.restarts("api")) == (1, 0)
    await shows(second, "budget_used", 1, scope="cluster:simulated", what="targets")
    await shows(second, "budget_limit", 1, scope="cluster:simulated", what="targets")
    await shows(second, "alerts_waiting", 1, reason="budget_spent")


async def test_pause_and_budget_hold_when_everything_was_killed(processes: Processes, shop: Workshop) -> None:
    """Fault 6, for the guards: the server and its private Redis killed (-9), and started again."""
    installation = Installation(processes, kubernetes=shop.url, budgets=BUDGETS)
    server = await installation.start()
    try:
        await server.fire("GatewayDown", namespace="shop", deployment="web")
        assert (await server.outcome())["outcome"] == "succeeded"
        said: dict[str, Any] = {"scope": "namespace:shop", "why": "we move", "seconds": 3600}
        await server.post("/api/v1/pause", said)
        # The private Redis syncs every second; what came before is not what this is about.
        await shows(server, "paused", 1, scope="namespace:shop")
        server.process.kill()
        installation.end_private_redis()
        again = await installation.start()
        guards = await again.get("/api/v1/guards")
        (pause,) = guards["paused"]
        assert (pause["scope"], pause["by"], pause["why"]) == ("namespace:shop", "operator", "we move")
        assert await used(again) == (1, 0)
        name = await again.fire("GatewayDown", namespace="shop", deployment="api")
        await again.decided(name, "paused")
        await again.post("/api/v1/resume", {"scope": "namespace:shop"})
        await again.decided(name, "budget_spent")
        assert shop.restarts("api") == 0
    finally:
        installation.end_private_redis()
