"""The trail, the story and the report of what happened, told of real runs on a real Redis and a simulated cluster."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.api.audit import AuditRecord, TrailTeller
from bridge.demo.workloads import deployment
from bridge.model.alert import fingerprint
from bridge.model.intake import Pause
from bridge.model.report import report
from bridge.model.report_text import markdown
from bridge.model.sentences import story
from tests.support.redis import RedisServer
from tests.support.stage import Stage

AUTO = {"runbook": "test/restart", "mode": "auto"}


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path, alerts={"WebDown": AUTO}) as stage:
        stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop"))
        stage.clock.jump(10)
        yield stage


async def trail(stage: Stage, since: float = 0.0, until: float = math.inf) -> list[AuditRecord]:
    teller = TrailTeller(stage.stores.work, stage.stores.journal)
    return [one async for one in teller.tell(stage.stores.audit, since, until)]


async def test_every_write_is_in_the_trail_with_the_version_that_the_server_gave_it(stage: Stage) -> None:
    await stage.fire("WebDown", deployment="web")
    await stage.settle()
    told = await trail(stage)
    written = [one for one in told if one.object]
    assert len(written) == len(stage.writes) == 1
    (write,) = written
    assert (write.kind, write.object, write.operation) == ("applied", "deployment/shop/web", "patch")
    assert write.resource_version.isdigit()
    web = stage.cluster.get("deployments.apps", "shop", "web")
    assert web is not None
    assert int(write.resource_version) <= int(web["metadata"]["resourceVersion"])
    assert write.before != write.after
    assert "WebDown" in write.why
    kinds = [one.kind for one in told]
    assert kinds.index("decision") < kinds.index("planned") < kinds.index("applied") < kinds.index("finished")


async def test_what_was_not_done_and_why_is_told_in_sentences(stage: Stage) -> None:
    pause = Pause(scope="all", by="ann", why="upgrade", since=stage.clock.now(), until=stage.clock.now() + 3600)
    await stage.stores.guardbook.pause(pause)
    await stage.fire("WebDown", deployment="web")
    await stage.settle()
    await stage.stores.guardbook.resume("all")
    print_ = fingerprint({"alertname": "WebDown", "namespace": "shop", "deployment": "web"})
    told = story(await stage.stores.guardbook.explain(print_))
    assert any("fired; route" in line and "→ test/restart" in line for line in told)
    (nothing,) = [line for line in told if "nothing was done" in line]
    assert "paused" in nothing
    assert "ann" in nothing
    assert "upgrade" in nothing
    assert stage.writes == []


async def test_the_report_of_a_real_run_has_its_times_and_what_was_done(stage: Stage) -> None:
    start = stage.clock.now() - 60
    await stage.fire("WebDown", deployment="web", starts_at=start)
    await stage.settle()
    (run,) = await stage.runs()
    made = report(run, await stage.stores.journal.read(run.remediation.id), {})
    assert made.outcome == "succeeded"
    assert made.times.to_detect is not None
    assert made.times.to_detect >= 59
    assert made.times.to_respond is not None
    assert made.times.to_resolve is not None
    assert made.times.to_resolve >= made.times.to_detect
    assert made.done
    assert made.proved
    assert "## What was done" in markdown(made)


async def test_the_success_metrics_count_what_was_detected_and_mended(stage: Stage) -> None:
    await stage.fire("WebDown", deployment="web", starts_at=stage.clock.now() - 60)
    await stage.settle()
    value = stage.metrics.registry.get_sample_value
    labels = {"runbook": "test/restart"}
    assert value("alertbridge_time_to_detect_seconds_count") == 1
    assert value("alertbridge_time_to_respond_seconds_count", labels) == 1
    assert value("alertbridge_time_to_resolve_seconds_count", labels) == 1
    detect = value("alertbridge_time_to_detect_seconds_sum")
    assert detect is not None
    assert detect >= 59
