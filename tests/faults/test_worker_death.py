"""Workers that die, freeze, are asked to go, or are killed by what they work on. Real processes, real signals.

Every process is a whole `serve`; they share one Redis. What reached the cluster is counted by the proxy before it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from tests.support.installation import Installation, Redis, Server, start_redis
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


async def test_a_worker_killed_before_its_write_reached_the_cluster_is_followed_by_one_that_makes_it(
    processes: Processes, shop: Workshop, redis: Redis
) -> None:
    """Fault 3: worker killed before its Kubernetes call; another worker reclaims and does it."""
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url)
    first = await installation.start()
    shop.proxy.hold_before = 1
    await first.fire("GatewayDown", **WEB)
    await shop.proxy.holds()
    second = await installation.start()
    first.process.kill()
    killed = time.monotonic()
    done = await second.outcome()
    assert (done["outcome"], done["deaths"]) == ("succeeded", 1), done["detail"]
    assert time.monotonic() - killed < 6
    assert len(shop.proxy.applied()) == 1
    assert shop.restarts("web") == 1


async def test_a_worker_killed_after_its_write_is_followed_by_one_that_does_not_write_again(
    processes: Processes, shop: Workshop, redis: Redis
) -> None:
    """Fault 4: worker killed after the call, before it is acknowledged; reclaimed, no second effect."""
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url)
    first = await installation.start()
    shop.proxy.hold_after = 1
    await first.fire("GatewayDown", **WEB)
    await shop.proxy.holds()
    assert shop.restarts("web") <= 1
    second = await installation.start()
    first.process.kill()
    done = await second.outcome()
    assert (done["outcome"], done["deaths"]) == ("succeeded", 1), done["detail"]
    assert len(shop.proxy.mutating()) == 1
    assert shop.restarts("web") == 1


async def test_a_frozen_worker_that_thaws_finds_its_claim_gone_and_changes_nothing(
    processes: Processes, shop: Workshop, redis: Redis
) -> None:
    """Fault 5: worker frozen past its claim, then thawed; its late write is refused, and it lets go."""
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url)
    first = await installation.start()
    late = shop.proxy.faults.delay(4.0, method="PATCH")
    await first.fire("GatewayDown", **WEB)

    async def on_its_way() -> bool:
        return late.hits == 1

    await until(on_its_way, what="the first write")
    first.process.freeze()
    second = await installation.start()
    done = await second.outcome()
    assert (done["outcome"], done["deaths"]) == ("succeeded", 1), done["detail"]
    assert shop.restarts("web") == 1

    async def arrived_late() -> bool:
        return shop.proxy.mutating()[0].forwarded

    await until(arrived_late, what="the frozen worker's write reaching the cluster")
    first.process.thaw()

    async def let_go() -> bool:
        return await first.figure("alertbridge_leases_lost_total") == 1

    await until(let_go, what="the thawed worker letting go")
    assert await first.figure("alertbridge_worker_busy") == 0
    assert [entry.upstream_status for entry in shop.proxy.mutating()] == [409, 200]
    assert shop.restarts("web") == 1
    assert (await second.remediations())[0] == done


async def test_a_worker_frozen_before_it_planned_writes_nothing_when_it_thaws(
    processes: Processes, shop: Workshop, redis: Redis
) -> None:
    """Fault 5, earlier: it had only read; the journal refuses its plan, so no write is even sent."""
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url)
    first = await installation.start()
    late = shop.proxy.faults.delay(3.0, method="GET", path="/deployments/web")
    await first.fire("GatewayDown", **WEB)

    async def reading() -> bool:
        return late.hits == 1

    await until(reading, what="the first look")
    first.process.freeze()
    second = await installation.start()
    done = await second.outcome()
    assert done["outcome"] == "succeeded", done["detail"]
    first.process.thaw()

    async def let_go() -> bool:
        return await first.figure("alertbridge_leases_lost_total") == 1

    await until(let_go, what="the thawed worker letting go")
    assert len(shop.proxy.mutating()) == 1
    assert shop.restarts("web") == 1


async def test_a_remediation_that_kills_every_worker_is_set_aside_for_a_person(
    processes: Processes, shop: Workshop, redis: Redis
) -> None:
    """Fault 56: always crashes its worker; a dead letter after N tries, and the count survives restarts."""
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url, dead_letter_after=1)
    server = await installation.start()
    shop.proxy.hold_before = 2
    fingerprint = await server.fire("GatewayDown", **WEB)
    for deaths in (1, 2):
        await shop.proxy.holds(deaths)
        server.process.kill()
        server = await installation.start()
    done = await server.outcome()
    assert (done["outcome"], done["reason"], done["deaths"]) == ("unknown", "dead_letter", 2), done["detail"]
    assert done["escalated"]
    assert "dead_letter" in await server.reasons(fingerprint)
    assert not shop.proxy.applied()
    # The next alert of another target is worked on as ever.
    shop.deploy("api")
    await server.fire("GatewayDown", namespace="shop", deployment="api")
    both = await server.finished(2)
    assert both[1]["outcome"] == "succeeded"


async def test_sigterm_lets_a_write_under_way_end_and_hands_the_rest_over(
    processes: Processes, shop: Workshop, redis: Redis
) -> None:
    """Fault 61: drains or hands over within the grace period; a cancellation is no breaker failure."""
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url, grace="8s")
    first, second = await installation.start(), None
    slow = shop.proxy.faults.delay(1.0, method="PATCH")
    await first.fire("GatewayDown", **WEB)

    async def on_its_way() -> bool:
        return slow.hits == 1

    await until(on_its_way, what="the write")
    second = await installation.start()
    first.process.terminate()
    assert await first.process.wait(10) == 0
    done = await second.outcome()
    assert (done["outcome"], done["deaths"]) == ("succeeded", 0), done["detail"]
    assert len(shop.proxy.mutating()) == 1
    assert shop.restarts("web") == 1
    assert await breakers_open(second) == 0


async def test_sigterm_in_a_long_verification_hands_over_at_once(
    processes: Processes, shop: Workshop, redis: Redis
) -> None:
    """Fault 61: the other process carries on the verification; nothing waits for a claim to run out."""
    shop.cluster.set_behavior(ready_delay=3.0)
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url, claim="30s", grace="10s")
    first = await installation.start()
    await first.fire("GatewayDown", **WEB)

    async def written() -> bool:
        return bool(shop.proxy.applied())

    await until(written, what="the write")
    second = await installation.start()
    first.process.terminate()
    assert await first.process.wait(5) == 0
    done = await second.outcome(seconds=12)
    assert (done["outcome"], done["deaths"]) == ("succeeded", 0), done["detail"]
    assert "handed_over" in kinds(await second.journal(done["id"]))
    assert len(shop.proxy.mutating()) == 1


async def breakers_open(server: Server) -> float:
    return await server.figure("alertbridge_breaker_state", state="open")
