"""A real Redis Cluster of three shards, and a real Sentinel that fails over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import StoreUnavailable
from bridge.model.intake import Dispatch, Seen
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.stores import Endpoint, StoreOptions, open_stores
from tests.support.alerts import claimed, fire, firing, step, transitions, wish
from tests.support.need import need
from tests.support.processes import Processes, free_port, until
from tests.support.redis import OpenStores, RedisServer, cluster_nodes_of


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """Three primaries with all slots between them."""
    nodes = cluster_nodes_of(tmp_path_factory.mktemp("cluster"), 3)
    try:
        for node in nodes:
            node.start()
        for node in nodes[1:]:
            nodes[0].call("CLUSTER", "MEET", "127.0.0.1", str(node.port), str(node.bus_port))
        for nr, node in enumerate(nodes):
            first, last = nr * 5461, (nr + 1) * 5461 if nr < 2 else 16384
            node.call("CLUSTER", "ADDSLOTS", *(str(slot) for slot in range(first, last)))
        deadline = time.monotonic() + 20
        while any(b"cluster_state:ok" not in node.call("CLUSTER", "INFO") for node in nodes):
            assert time.monotonic() < deadline, "the cluster did not form"
            time.sleep(0.02)
        yield nodes
    finally:
        for node in nodes:
            node.stop()


def slot_of(node: RedisServer, key: str) -> int:
    return int(node.call("CLUSTER", "KEYSLOT", key)[1:])


async def test_everything_works_on_a_cluster_whichever_node_is_named(cluster: list[RedisServer]) -> None:
    """Fault 12: all coordination state of an installation shares one hash tag."""
    for nr, node in enumerate(cluster):
        options = StoreOptions(mode="cluster", url=node.url, installation=f"on{nr}", claim=0.3)
        stores = await open_stores(options)
        wanted = wish()
        await fire(stores, wanted, wait="paused")
        await stores.intake.accept([firing(pod=str(nr)) for nr in range(50)])
        for transition in await transitions(stores):
            await stores.intake_queue.dispatch(Dispatch(transition=transition, assignments=(wish(),)))
        claim = await claimed(stores)
        await asyncio.sleep(0.35)
        taken = await stores.work.reclaim("other")
        assert taken is not None
        await stores.work.renew(taken)
        await stores.journal.append(taken, step("applying"), writing=True)
        assert await stores.locks.acquire(taken, ["a", "b"], seconds=10) is None
        await stores.work.finish(taken, Outcome.SUCCEEDED, Reason.VERIFIED, step("finished"), escalated=False)
        assert taken.remediation == claim.remediation == wanted.remediation.id
        assert await stores.intake_queue.wake([Reason.PAUSED]) == 1
        await stores.intake_queue.expire(limit=10)
        assert len((await stores.guardbook.facts(wanted.remediation)).attempts) == 1
        assert await stores.work.list(limit=10)
        await stores.health.ping()
        await stores.close()


async def test_slot_that_moves_to_another_node_is_found_there(cluster: list[RedisServer]) -> None:
    """Fault 12: resharding."""
    options = StoreOptions(mode="cluster", url=cluster[0].url, installation="moving")
    stores = await open_stores(options)
    await stores.intake.accept([firing()])
    key = stores.work._link.key("intake")
    slot = str(slot_of(cluster[0], key))
    source = next(node for node in cluster if b"stream" in node.call("TYPE", key))
    target = next(node for node in cluster if node is not source)
    ids = {node: node.call("CLUSTER", "MYID").decode() for node in cluster}
    target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
    source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
    for found in source.keys_in_slot(slot):
        assert source.call("MIGRATE", "127.0.0.1", str(target.port), found, "0", "5000") == b"+OK"
    for node in (target, source, *cluster):
        node.call("CLUSTER", "SETSLOT", slot, "NODE", ids[target])

    async def stored() -> bool:
        try:
            return await stores.intake.accept([firing(pod="after")]) != []
        except StoreUnavailable:
            return False

    await until(stored)
    assert await stores.intake.accept([firing()]) == [Seen.DUPLICATE]
    assert len(await transitions(stores)) == 2
    await stores.close()


async def test_part_of_a_cluster_is_not_taken_for_a_single_server(cluster: list[RedisServer]) -> None:
    """Fault 14."""
    with pytest.raises(Exception, match="set the mode to cluster"):
        await open_stores(StoreOptions(mode="url", url=cluster[0].url))


async def test_min_replicas_counts_on_a_cluster_too(cluster: list[RedisServer]) -> None:
    options = StoreOptions(mode="cluster", url=cluster[0].url, installation="lonely", min_replicas=1, deadline=3.0)
    opened = OpenStores(options)
    stores = await opened.open()
    with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
        await stores.intake.accept([firing()])
    await opened.close()


async def test_after_a_sentinel_failover_alerts_are_taken_again_by_themselves(
    tmp_path: Path, processes: Processes
) -> None:
    """Fault 9: 503 meanwhile, then recovery by itself; nothing that a replica confirmed is lost."""
    program = need("redis-sentinel")
    primary = RedisServer(tmp_path / "primary", config={"repl-diskless-sync-delay": "0"})
    replica = RedisServer(tmp_path / "replica", config={"replicaof": f"127.0.0.1 {primary.port}"})
    ports = [free_port() for _ in range(3)]
    opened = OpenStores(
        StoreOptions(
            mode="sentinel",
            sentinels=tuple(Endpoint("127.0.0.1", port) for port in ports),
            sentinel_service="mine",
            min_replicas=1,
            deadline=2.0,
        )
    )
    try:
        primary.start()
        replica.start()
        await until(lambda: linked(replica))
        for port in ports:
            await start_sentinel(processes, program, tmp_path, port, primary.port)
        await until(lambda: known(ports[0]), what="three sentinels that know the replica", seconds=20)
        stores = await opened.open()
        assert await stores.intake.accept([firing(pod="before")]) == [Seen.NEW]
        primary.kill()
        with pytest.raises(StoreUnavailable):
            await stores.intake.accept([firing(pod="meanwhile")])
        safe = await opened.open(min_replicas=0)

        async def stored() -> bool:
            try:
                return bool(await safe.intake.accept([firing(pod="after")]))
            except StoreUnavailable:
                return False

        await until(stored, seconds=20)
        assert await safe.intake.accept([firing(pod="before")]) == [Seen.DUPLICATE]
        assert {t.alert.labels["pod"] for t in await transitions(safe)} >= {"before", "after"}
    finally:
        await opened.close()
        primary.stop()
        replica.stop()


async def linked(replica: RedisServer) -> bool:
    return replica.info("replication").get("master_link_status") == "up"


async def known(port: int) -> bool:
    server = RedisServer.at(port)
    about = server.info("sentinel").get("master0", "")
    return "slaves=1" in about and "sentinels=3" in about


async def start_sentinel(processes: Processes, program: str, folder: Path, port: int, primary: int) -> None:
    config = folder / f"sentinel-{port}.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor mine 127.0.0.1 {primary} 2\n"
        "sentinel down-after-milliseconds mine 300\nsentinel failover-timeout mine 2000\n"
    )

    async def ready() -> bool:
        try:
            return RedisServer.at(port).call("PING") == b"+PONG"
        except OSError:
            return False

    await processes.start(f"sentinel-{port}", [program, str(config)], ready=ready)
