"""What is told as Kubernetes Events: on a simulated cluster that checks them, and through every way it can fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.demo.workloads import deployment
from bridge.engine.events import Events
from bridge.engine.worker import Worker, WorkerOptions
from bridge.errors import KubeForbidden, KubeUnavailable
from bridge.model.target import ObjectRef
from tests.support.clock import FakeClock
from tests.support.redis import RedisServer
from tests.support.stage import Stage

AUTO = {"runbook": "test/restart", "mode": "auto"}
WEB = ObjectRef("apps/v1", "Deployment", "shop", "web", uid="u1")


def with_events(stage: Stage, **options: Any) -> Events:
    """Let the stage's worker tell."""
    events = Events(stage.clock, **options)
    stage._parts = msgspec.structs.replace(stage._parts, events=events)
    stage._worker = Worker(stage._parts, WorkerOptions(name="stage"))
    return events


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path, alerts={"WebDown": AUTO, "WebSlow": "test/restart"}) as stage:
        stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop"))
        stage.clock.jump(10)
        yield stage


def ours(stage: Stage) -> list[dict[str, Any]]:
    found = stage.cluster.list("events", "shop")
    return [each for each in found if each.get("reportingComponent") == "alertbridge"]


async def test_a_write_and_the_end_are_told_on_the_object_that_was_changed(stage: Stage) -> None:
    events = with_events(stage)
    await stage.fire("WebDown", deployment="web")
    await stage.settle()
    await events.settle()
    assert await stage.ends() == [("succeeded", "verified")]
    web = stage.cluster.get("deployments.apps", "shop", "web")
    assert web is not None
    told = {each["reason"]: each for each in ours(stage)}
    assert told.keys() == {"ChangeApplied", "RemediationSucceeded"}
    about = told["ChangeApplied"]["involvedObject"]
    assert (about["kind"], about["name"], about["uid"]) == ("Deployment", "web", web["metadata"]["uid"])
    (run,) = await stage.runs()
    assert run.remediation.id in told["ChangeApplied"]["message"]
    assert all(each["type"] == "Normal" for each in told.values())


async def test_nothing_is_told_in_mode_observe_unless_that_is_wanted(stage: Stage) -> None:
    events = with_events(stage)
    await stage.fire("WebSlow", deployment="web")
    await stage.settle()
    await events.settle()
    assert ours(stage) == []
    assert stage.writes == []


async def test_what_would_have_been_done_is_told_where_that_is_wanted(stage: Stage) -> None:
    events = with_events(stage, observe=True)
    await stage.fire("WebSlow", deployment="web")
    await stage.settle()
    await events.settle()
    assert [each["reason"] for each in ours(stage)] == ["RemediationObserved"]


class Server:
    """A cluster that takes Events as it is told to."""

    name = "sim"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[str] = []

    async def create(self, ref: ObjectRef, manifest: Any, *, dry_run: bool = False) -> dict[str, Any]:
        self.asked.append(ref.name)
        if self.error is not None:
            raise self.error
        return dict(manifest)


def tell(events: Events, server: Server, key: str) -> None:
    events.tell(server, WEB, "ChangeApplied", "scaled", key=key, warning=False)  # type: ignore[arg-type]


async def test_a_cluster_that_forbids_it_is_left_alone_for_a_while() -> None:
    clock, server = FakeClock(), Server(KubeForbidden("no", what="create event"))
    events = Events(clock)
    for number in range(5):
        tell(events, server, str(number))
        await events.settle()
    assert len(server.asked) == 1
    clock.advance(601)
    tell(events, server, "later")
    await events.settle()
    assert len(server.asked) == 2


async def test_a_storm_of_events_is_bounded_and_no_error_gets_out() -> None:
    clock, server = FakeClock(), Server(KubeUnavailable("away", what="create event"))
    events = Events(clock, per_minute=20)
    for number in range(200):
        tell(events, server, str(number))
        await events.settle()
    assert len(server.asked) == 20
    clock.advance(61)
    tell(events, server, "again")
    await events.settle()
    assert len(server.asked) == 21


async def test_what_is_told_twice_has_one_name() -> None:
    events, server = Events(FakeClock()), Server()
    for _ in range(2):
        tell(events, server, "same")
        await events.settle()
    assert len(set(server.asked)) == 1
