"""Workers that die, freeze, are asked to go, or are killed by what they work on. Real processes, real signals.

Every process is a whole `serve`; they share one Redis. What reached the cluster is counted by the proxy before it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from tests.support.installation import Installation, Redis, Server, holder_of, start_redis
from tests.support.processes import Processes, until
from tests.support.workshop import Workshop, open_workshop

WEB = {"namespace": "shop", "deployment": "web"}


@pytest.fixture
async def shop() -> AsyncIterator[Workshop]:
    async with open_workshop() as workshop:
        yield workshop


@pytest.fixture
async def redis(processes: Processes) -> Redis:
    return await start_redis(processes)


def kinds(journal: list[dict[str, object]]) -> list[object]:
    return [entry["kind"] for entry in journal]


def survivor(servers: list[Server], dead: Server) -> Server:
    """Return one that is not `dead`."""
    return next(server for server in servers if server is not dead)


async def test_a_worker_killed_before_its_write_reached_the_cluster_is_followed_by_one_that_makes_it(
    processes: Processes, shop: Workshop, redis: Redis
) -> None:
    """Fault 3: worker killed before its Kubernetes call; another worker reclaims and does it."""
    servers = await Installation(processes, kubernetes=shop.url, redis=redis.url).start_some(2)
    shop.proxy.hold_before = 1
    await servers[0].fire("GatewayDown", **WEB)
    await shop.proxy.holds()
    first = await holder_of(servers)
    first.process.kill()
    killed = time.monotonic()
    second = survivor(servers, first)
    done = await second.outcome()
    assert (done["outcome"], done["deaths"]) == ("succeeded", 1), done["detail"]
    assert time.monotonic() - killed < 8
    assert len(shop.proxy.applied()) == 1
    assert shop.restarts("web") == 1


async def test_a_worker_killed_after_its_write_is_followed_by_one_that_does_not_write_again(
    processes: Processes, shop: Workshop, redis: Redis
) -> None:
    """Fault 4: worker killed after the call, before it is acknowledged; reclaimed, no second effect."""
    servers = await Installation(processes, kubernetes=shop.url, redis=redis.url).start_some(2)
    shop.proxy.hold_after = 1
    await servers[0].fire("GatewayDown", **WEB)
    await shop.proxy.holds()
    first = await holder_of(servers)
    first.process.kill()
    done = await survivor(servers, first).outcome()
    assert (done["outcome"], done["deaths"]) == ("succeeded", 1), done["detail"]
    assert [entry.upstream_status for entry in shop.proxy.mutating()] == [200]
    assert shop.restarts("web") == 1


async def test_a_frozen_worker_that_thaws_finds_its_claim_gone_and_changes_nothing(
    processes: Processes, shop: Workshop, redis: Redis
) -> None:
    """Fault 5: worker frozen past its claim, then thawed; its late write is refused, and it lets go."""
    servers = await Installation(processes, kubernetes=shop.url, redis=redis.url).start_some(2)
    shop.proxy.hold_late = 1
    await servers[0].fire("GatewayDown", **WEB)
    await shop.proxy.holds()
    first = await holder_of(servers)
    first.process.freeze()
    second = survivor(servers, first)
    done = await second.outcome()
    assert (done["outcome"], done["deaths"]) == ("succeeded", 1), done["detail"]
    shop.proxy.pass_late.set()

    async def arrived_late() -> bool:
        return shop.proxy.held[0].upstream_status == 409

    await until(arrived_late, what="the refusal of the frozen worker's write")
    first.process.thaw()
    await until(lambda: let_go(first), what="the thawed worker letting go")
    assert await first.figure("alertbridge_worker_busy") == 0
    assert len(shop.proxy.applied()) == 1
    assert shop.restarts("web") == 1
    assert (await second.remediations())[0] == done


async def test_a_worker_frozen_before_it_planned_sends_no_write_when_it_thaws(
    processes: Processes, shop: Workshop, redis: Redis
) -> None:
    """Fault 5, earlier: it had only read; the journal refuses its plan, so no write is even sent."""
    servers = await Installation(processes, kubernetes=shop.url, redis=redis.url).start_some(2)
    shop.proxy.hold_late, shop.proxy.late_path = 1, "/deployments/web"
    await servers[0].fire("GatewayDown", **WEB)
    await shop.proxy.holds()
    first = await holder_of(servers)
    first.process.freeze()
    second = survivor(servers, first)
    done = await second.outcome()
    assert done["outcome"] == "succeeded", done["detail"]
    shop.proxy.pass_late.set()
    first.process.thaw()
    await until(lambda: let_go(first), what="the thawed worker letting go")
    assert len(shop.proxy.mutating()) == 1
    assert shop.restarts("web") == 1


async def let_go(server: Server) -> bool:
    return await server.figure("alertbridge_leases_lost_total") == 1


async def test_a_remediation_that_kills_every_worker_is_set_aside_for_a_person(
    processes: Processes, shop: Workshop, redis: Redis
) -> None:
    """Fault 56: always crashes its worker; a dead letter after N tries, and the rest is worked on as ever."""
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url, dead_letter_after=1)
    servers = await installation.start_some(3)
    shop.proxy.hold_before = 2
    fingerprint = await servers[0].fire("GatewayDown", **WEB)
    for deaths in (1, 2):
        await shop.proxy.holds(deaths)
        dying = await holder_of(servers)
        dying.process.kill()
        servers.remove(dying)
    (server,) = servers
    done = await server.outcome()
    assert (done["outcome"], done["reason"], done["deaths"]) == ("unknown", "dead_letter", 2), done["detail"]
    assert done["escalated"]
    assert "dead_letter" in await server.reasons(fingerprint)
    assert not shop.proxy.applied()
    shop.deploy("api")
    await server.fire("GatewayDown", namespace="shop", deployment="api")
    both = await server.finished(2)
    assert both[1]["outcome"] == "succeeded"


async def test_sigterm_lets_a_write_under_way_end_and_hands_the_rest_over(
    processes: Processes, shop: Workshop, redis: Redis
) -> None:
    """Fault 61: drains or hands over within the grace period; a cancellation is no breaker failure."""
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url, grace="8s", claim="30s")
    servers = await installation.start_some(2)
    shop.proxy.hold_late = 1
    await servers[0].fire("GatewayDown", **WEB)
    await shop.proxy.holds()
    first = await holder_of(servers)
    first.process.terminate()
    shop.proxy.pass_late.set()
    assert await first.process.wait(10) == 0
    second = survivor(servers, first)
    done = await second.outcome()
    assert (done["outcome"], done["deaths"]) == ("succeeded", 0), done["detail"]
    assert len(shop.proxy.mutating()) == 1
    assert shop.restarts("web") == 1
    assert await second.figure("alertbridge_breaker_state", state="open") == 0


async def test_sigterm_in_a_long_verification_hands_over_at_once(
    processes: Processes, shop: Workshop, redis: Redis
) -> None:
    """Fault 61: the other process carries on the verification; nothing waits for a claim to run out."""
    shop.cluster.set_behavior(ready_delay=2.0)
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url, claim="30s", grace="10s")
    servers = await installation.start_some(2)
    await servers[0].fire("GatewayDown", **WEB)

    async def written() -> bool:
        return bool(shop.proxy.applied())

    await until(written, what="the write")
    first = await holder_of(servers)
    first.process.terminate()
    assert await first.process.wait(5) == 0
    second = survivor(servers, first)
    done = await second.outcome()
    assert (done["outcome"], done["deaths"]) == ("succeeded", 0), done["detail"]
    assert "handed_over" in kinds(await second.journal(done["id"]))
    assert len(shop.proxy.mutating()) == 1
