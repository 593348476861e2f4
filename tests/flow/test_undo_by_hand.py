"""What a person asks to be put back, as time lines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.workloads import deployment
from bridge.engine.byhand import UNDO_ASKED, ByHand, NothingToUndo
from tests.support.installation import runbook
from tests.support.redis import RedisServer
from tests.support.stage import Stage

MINUTE = 60.0
SCALE = runbook(
    "test/scale",
    scenarios=[{"name": "more", "otherwise": True, "steps": [{"action": "scale", "with": {"by": 1, "max": 9}}]}],
)
ENV = {"action": "set_env", "with": {"set": {"LOG_LEVEL": "debug"}}, "until": "15m"}
DEBUG = runbook("test/debug", scenarios=[{"name": "debug", "otherwise": True, "steps": [ENV]}])
EVICT = {"action": "pod_evict", "with": {"only": "all", "at_most": 3}, "verify_within": "20s"}
GONE = runbook("test/evict", scenarios=[{"name": "evict", "otherwise": True, "steps": [EVICT]}])
ALERTS = {name: {"runbook": f"test/{book}", "mode": "auto", "allow_irreversible": True} for name, book in
          {"Slow": "scale", "TooQuiet": "debug", "WebDown": "restart", "Sick": "evict"}.items()}  # fmt: skip


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path, runbooks_too=[SCALE, DEBUG, GONE], alerts=ALERTS) as stage:
        stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop"))
        stage.clock.jump(10)
        yield stage


async def healed(stage: Stage, alertname: str) -> str:
    await stage.fire(alertname, deployment="web")
    await stage.settle()
    view = (await stage.runs())[-1]
    assert view.outcome is not None, view
    return view.remediation.id


async def undo(stage: Stage, run: str, by: str = "ann") -> tuple[str, bool]:
    view = await stage.stores.work.get(run)
    assert view is not None
    asked = await ByHand(stage.stores.work, stage.stores.journal).undo(view, by=by, why="it was not that")
    await stage.settle()
    return asked


def spec(stage: Stage) -> dict[str, Any]:
    found = stage.cluster.get("deployments.apps", "shop", "web")
    assert found is not None
    return dict(found["spec"])


def set_replicas(stage: Stage, count: int) -> None:
    found: Any = stage.cluster.get("deployments.apps", "shop", "web")
    found["spec"]["replicas"] = count
    stage.cluster.apply({key: found[key] for key in ("apiVersion", "kind", "metadata", "spec")})
    stage.clock.jump(5)


async def test_what_a_run_changed_is_put_back_by_a_run_of_its_own_that_names_who_asked(stage: Stage) -> None:
    run = await healed(stage, "Slow")
    assert spec(stage)["replicas"] == 4
    name, again = await undo(stage, run)
    assert not again
    assert spec(stage)["replicas"] == 3
    assert (await stage.ends())[-1] == ("undone", "undone_by_hand")
    view = (await stage.runs())[-1]
    assert (view.remediation.id, view.remediation.undo_of, view.remediation.requested_by) == (name, run, "ann")
    assert not view.escalated
    first = (await stage.stores.journal.read(name))[0]
    assert (first.kind, first.data["by"], first.data["why"]) == (UNDO_ASKED, "ann", "it was not that")


async def test_twice_is_once(stage: Stage) -> None:
    run = await healed(stage, "Slow")
    first, _ = await undo(stage, run)
    second, again = await undo(stage, run, by="bob")
    assert (second, again) == (first, True)
    assert spec(stage)["replicas"] == 3
    assert len(await stage.runs()) == 2


async def test_what_somebody_changed_since_stays_and_a_person_is_told(stage: Stage) -> None:
    run = await healed(stage, "Slow")
    set_replicas(stage, 7)
    await undo(stage, run)
    assert spec(stage)["replicas"] == 7
    assert (await stage.ends())[-1] == ("failed", "undo_refused")
    assert (await stage.runs())[-1].escalated


async def test_a_cooldown_and_spent_attempts_do_not_stop_it_and_a_pause_puts_it_off(stage: Stage) -> None:
    run = await healed(stage, "Slow")
    await stage.pause()
    await undo(stage, run)
    assert spec(stage)["replicas"] == 4
    await stage.resume()
    await stage.advance(5 * MINUTE)
    assert spec(stage)["replicas"] == 3


async def test_a_temporary_change_that_was_put_back_by_hand_is_not_put_back_again_when_its_time_is_over(
    stage: Stage,
) -> None:
    run = await healed(stage, "TooQuiet")
    await undo(stage, run)
    container = spec(stage)["template"]["spec"]["containers"][0]
    assert not container.get("env")
    await stage.advance(20 * MINUTE)
    assert len(await stage.runs()) == 2


async def test_what_its_time_put_back_already_is_refused(stage: Stage) -> None:
    run = await healed(stage, "TooQuiet")
    await stage.advance(16 * MINUTE)
    with pytest.raises(NothingToUndo, match="not put back already"):
        await undo(stage, run)


async def test_what_nothing_undoes_is_refused_with_why(stage: Stage) -> None:
    run = await healed(stage, "Sick")
    with pytest.raises(NothingToUndo, match="nothing undoes pod_evict"):
        await undo(stage, run)


async def test_a_question_about_the_same_target_keeps_nobody_from_an_undo(stage: Stage) -> None:
    """What waits for a person may wait for hours; who wants a change back wants it now."""
    run = await healed(stage, "Slow")
    stage.configure(alerts={**ALERTS, "WebDown": {"runbook": "test/restart", "mode": "approve"}})
    await stage.fire("WebDown", deployment="web")
    await stage.settle()
    assert (await stage.ends())[-1] == ("parked", "approval_needed")
    await undo(stage, run)
    assert (await stage.ends())[-1] == ("undone", "undone_by_hand")
    assert spec(stage)["replicas"] == 3
    assert ("parked", "approval_needed") in await stage.ends()


async def test_an_undo_and_what_is_not_over_are_refused(stage: Stage) -> None:
    run = await healed(stage, "Slow")
    name, _ = await undo(stage, run)
    with pytest.raises(NothingToUndo, match="an undo itself"):
        await undo(stage, name)
    stage.configure(alerts={"WebDown": {"runbook": "test/restart", "mode": "approve"}})
    await stage.fire("WebDown", deployment="web")
    await stage.settle()
    with pytest.raises(NothingToUndo, match="parked"):
        await undo(stage, (await stage.runs())[-1].remediation.id)
