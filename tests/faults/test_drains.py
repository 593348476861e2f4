"""Nodes are emptied one at a time, within every budget, and take pods again when that fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.actions import waiting
from bridge.demo.workloads import deployment
from tests.support.redis import RedisServer
from tests.support.stage import Stage


def drain(**params: Any) -> dict[str, Any]:
    return {
        "name": "test/drain",
        "summary": "Empty a node.",
        "target": {"kind": "Node", "api_version": "v1", "name": "${labels.node}"},
        "scenarios": [
            {
                "name": "drain",
                "otherwise": True,
                "steps": [{"action": "drain", "with": params, "verify_within": "2m"}],
            }
        ],
    }


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    # Nothing happens in this cluster while somebody watches: its time is moved by the test.
    monkeypatch.setattr(waiting, "MOMENT", 0.02)
    async with Stage.open(redis_server, tmp_path, runbooks_too=[drain()]) as stage:
        # That one node is disturbed at a time is shown by the lease alone; what the budget adds, by its own tests.
        budgets = {"cluster": {"nodes": 3, "targets": 20}}
        stage.configure(alerts={"NodeBad": {"runbook": "test/drain", "mode": "auto"}}, budgets=budgets)
        stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop", replicas=6))
        stage.clock.jump(10)
        assert ready(stage) == 6
        yield stage


def ready(stage: Stage) -> int:
    return int(stage.cluster.get("deployments.apps", "shop", "web")["status"].get("readyReplicas", 0))  # type: ignore[index]


def pods_on(stage: Stage, node: str) -> list[str]:
    pods = stage.cluster.list("pods", "shop")
    return [pod["metadata"]["name"] for pod in pods if pod["spec"].get("nodeName") == node]


def cordoned(stage: Stage) -> list[str]:
    nodes = stage.cluster.list("nodes")
    return [node["metadata"]["name"] for node in nodes if node["spec"].get("unschedulable")]


def budget(stage: Stage, allowed: int) -> None:
    spec = {"maxUnavailable": allowed, "selector": {"matchLabels": {"app": "web"}}}
    meta = {"name": "web", "namespace": "shop"}
    stage.cluster.apply({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": spec})
    stage.cluster.step()


async def told(stage: Stage, number: int = 0) -> list[str]:
    run = (await stage.runs())[number]
    return [f"{e.kind}: {e.text}" for e in await stage.stores.journal.read(run.remediation.id)]


async def test_a_node_is_emptied_and_its_workloads_are_ready_elsewhere(stage: Stage) -> None:
    assert pods_on(stage, "node-1")
    await stage.fire("NodeBad", node="node-1")
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified")], await told(stage)
    assert pods_on(stage, "node-1") == []
    assert (cordoned(stage), ready(stage)) == (["node-1"], 6)


async def test_two_drains_are_made_one_after_the_other(stage: Stage) -> None:
    """Fault 67: one lease for all drains of a cluster."""
    budget(stage, 0)
    await stage.fire("NodeBad", node="node-1")
    await stage.settle()
    await stage.fire("NodeBad", node="node-2")
    await stage.settle()
    assert cordoned(stage) == ["node-1"]
    assert pods_on(stage, "node-2"), "the second one waits for the first"
    assert any("holds a lock on" in line and "one node at a time" in line for line in await told(stage, 1))
    budget(stage, 1)
    await stage.advance(120)
    await stage.advance(600)
    assert await stage.ends() == [("succeeded", "verified")] * 2, await told(stage, 1)
    assert (cordoned(stage), ready(stage)) == (["node-1", "node-2"], 6)
    assert set(pods_on(stage, "node-0")) == {pod["metadata"]["name"] for pod in stage.cluster.list("pods", "shop")}


async def test_the_last_node_that_takes_pods_is_never_drained(stage: Stage) -> None:
    """Fault 67."""
    for node in ("node-1", "node-2"):
        await stage.fire("NodeBad", node=node)
        await stage.settle()
    stage.proxy.clear()
    await stage.fire("NodeBad", node="node-0")
    await stage.settle()
    assert (await stage.ends())[-1] == ("failed", "plan_failed"), await told(stage, 2)
    assert stage.writes == []
    assert len(pods_on(stage, "node-0")) == 6


async def test_a_budget_that_never_gives_way_ends_in_an_uncordoned_node(stage: Stage) -> None:
    """Faults 21 and 67: it is waited for, never got round, and the node takes pods again."""
    budget(stage, 0)
    before = pods_on(stage, "node-1")
    await stage.fire("NodeBad", node="node-1")
    for _ in range(60):
        await stage.advance(120)
        if (await stage.runs())[0].outcome is not None:
            break
    assert await stage.ends() == [("failed", "disruption_budget")], await told(stage)
    assert pods_on(stage, "node-1") == before
    assert cordoned(stage) == []
    assert (await stage.runs())[0].escalated


async def test_a_workload_that_does_not_get_ready_elsewhere_has_its_node_back(stage: Stage) -> None:
    """Fault 67: uncordon on failure."""
    stage.cluster.set_behavior(images={"registry.example/web:*": "never"})
    await stage.fire("NodeBad", node="node-1")
    await stage.settle()
    await stage.advance(300)
    assert (await stage.ends())[0][0] == "undone", await told(stage)
    assert cordoned(stage) == []


async def test_a_node_that_a_person_cordoned_stays_so_when_its_drain_fails(stage: Stage) -> None:
    node = stage.cluster.get("nodes", "", "node-1")
    assert node is not None
    stage.cluster.apply({**node, "spec": {**node["spec"], "unschedulable": True}})
    stage.cluster.set_behavior(images={"registry.example/web:*": "never"})
    await stage.fire("NodeBad", node="node-1")
    await stage.settle()
    await stage.advance(300)
    assert (await stage.ends())[0][0] == "failed", await told(stage)
    assert cordoned(stage) == ["node-1"]


async def test_the_node_that_alertbridge_runs_on_is_left_alone(stage: Stage) -> None:
    """Fault 63."""
    stage.configure(
        alerts={"NodeBad": {"runbook": "test/drain", "mode": "auto"}},
        own={"namespace": "shop", "workloads": ["web"]},
    )
    await stage.fire("NodeBad", node="node-1")
    await stage.settle()
    assert await stage.ends() == [("denied", "own_part")], await told(stage)
    assert stage.writes == []


async def test_a_person_can_stop_a_drain_between_two_pods(stage: Stage) -> None:
    """Fault 67. What waits for a budget waits for the end of a pause as well; nothing more goes meanwhile."""
    budget(stage, 0)
    before = pods_on(stage, "node-1")
    await stage.fire("NodeBad", node="node-1")
    await stage.settle()
    await stage.pause()
    budget(stage, 6)
    await stage.advance(1800)
    assert pods_on(stage, "node-1") == before
    assert (await stage.ends())[0][0] == "parked", await told(stage)
    assert any("half made: " in line and "paused by ann" in line for line in await told(stage))
    await stage.resume()
    await stage.advance(120)
    assert await stage.ends() == [("succeeded", "verified")], await told(stage)
    assert pods_on(stage, "node-1") == []


async def test_a_workload_that_is_kept_out_while_a_drain_waits_keeps_its_pods(stage: Stage) -> None:
    """Faults 64 and 67. The guards are asked again before what was waited with goes on; the node is given back."""
    budget(stage, 0)
    before = pods_on(stage, "node-1")
    await stage.fire("NodeBad", node="node-1")
    await stage.settle()
    assert cordoned(stage) == ["node-1"]
    web = stage.cluster.get("deployments.apps", "shop", "web")
    assert web is not None
    meta = {**web["metadata"], "annotations": {"alertbridge.io/mode": "off"}}
    stage.cluster.apply({**{key: web[key] for key in ("apiVersion", "kind", "spec")}, "metadata": meta})
    budget(stage, 6)
    await stage.advance(600)
    assert await stage.ends() == [("failed", "protected_object")], await told(stage)
    assert (pods_on(stage, "node-1"), cordoned(stage)) == (before, [])


def nodes_at_once(action: str, **more: Any) -> dict[str, Any]:
    each = {"action": action, "with": {"name": "${item}"}, "for_each": ["node-0", "node-1", "node-2"], **more}
    return {
        **drain(),
        "name": f"test/all-{action}",
        "scenarios": [{"name": "all", "otherwise": True, "steps": [each]}],
    }


@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("action", ["drain", "cordon"])
async def test_one_step_does_not_take_several_nodes(stage: Stage, action: str, parallel: int) -> None:
    """Fault 67. Items are planned together: each plan would count on the nodes that the others take away."""
    stage.write_runbook(nodes_at_once(action, parallel=parallel))
    stage.configure(alerts={"AllBad": {"runbook": f"test/all-{action}", "mode": "auto"}})
    await stage.fire("AllBad", node="node-1")
    await stage.settle()
    assert await stage.ends() == [("failed", "plan_failed")], await told(stage)
    assert "a step of its own" in (await stage.runs())[0].detail
    assert (cordoned(stage), stage.writes) == ([], [])
    assert ready(stage) == 6


async def test_two_runs_do_not_both_cordon_when_each_counted_on_the_others_node(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 67. The other one is over before this one has the lock: what was planned before does not count."""
    stage.write_runbook({**drain(), "name": "test/cordon", "scenarios": [CORDON]})
    stage.configure(alerts={"NodeOdd": {"runbook": "test/cordon", "mode": "auto"}})
    acquire = OthersFirst(stage)
    monkeypatch.setattr(stage.stores.locks, "acquire", acquire)
    await stage.fire("NodeOdd", node="node-1")
    await stage.settle()
    assert await stage.ends() == [("failed", "plan_failed")], await told(stage)
    assert cordoned(stage) == ["node-0", "node-2"]


class OthersFirst:
    """Just before the first lock is taken, somebody else cordons the other nodes and is done."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._acquire = stage.stores.locks.acquire

    async def __call__(self, *args: Any, **more: Any) -> Any:
        for name in ("node-0", "node-2"):
            node = self._stage.cluster.get("nodes", "", name)
            assert node is not None
            self._stage.cluster.apply({**node, "spec": {**node["spec"], "unschedulable": True}})
        return await self._acquire(*args, **more)


CORDON = {"name": "cordon", "otherwise": True, "steps": [{"action": "cordon"}]}
