"""What stops an undo, and what does not: the guards that would keep us from mending what we did ourselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.workloads import deployment
from bridge.engine.byhand import ByHand
from bridge.model.remediation import RemediationView
from tests.support.installation import runbook
from tests.support.redis import RedisServer
from tests.support.stage import Stage

MINUTE = 60.0
ENV = {"action": "set_env", "with": {"set": {"LOG_LEVEL": "debug"}}, "until": "15m"}
DEBUG = runbook("test/debug", scenarios=[{"name": "debug", "otherwise": True, "steps": [ENV]}])
ALERTS = {"Noisy": {"runbook": "test/debug", "mode": "auto"}}
DATES = {"begins": "2020-01-01T00:00:00Z", "ends": "2099-01-01T00:00:00Z"}


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path, runbooks_too=[DEBUG], alerts=ALERTS) as stage:
        stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop"))
        stage.clock.jump(10)
        await stage.fire("Noisy", deployment="web")
        await stage.settle()
        assert await stage.ends() == [("succeeded", "verified")]
        yield stage


def debug_is_on(stage: Stage) -> bool:
    found = stage.cluster.get("deployments.apps", "shop", "web")
    assert found is not None
    return bool(found["spec"]["template"]["spec"]["containers"][0].get("env"))


def mark(stage: Stage, **meta: Any) -> None:
    found: Any = stage.cluster.get("deployments.apps", "shop", "web")
    for name, value in meta.items():
        found["metadata"].setdefault(name, {}).update(value)
    stage.cluster.apply({key: found[key] for key in ("apiVersion", "kind", "metadata", "spec")})


async def undo(stage: Stage, how: str) -> RemediationView:
    """Have it undone by itself, or by a person; return the record of that."""
    if how == "by itself":
        await stage.advance(16 * MINUTE)
    else:
        view = (await stage.runs())[0]
        await ByHand(stage.stores.work, stage.stores.journal).undo(view, by="ann", why="")
        await stage.settle()
    return (await stage.runs())[-1]


WHATEVER: dict[str, dict[str, Any]] = {
    "maintenance": {"maintenance": [{"name": "night", **DATES}]},
    "run_limits": {"run_limits": {"target": {"hour": 1, "day": 1}, "alert": {"hour": 1}, "runbook": {"hour": 1}}},
    "budget": {"budgets": {"namespace": {"targets": 0}, "cluster": {"targets": 0}}},
    "changes": {"changes": {"rollout": "wait", "recent": "ask", "within": "1h"}},
    "mode of the route": {"alerts": {"Noisy": {"runbook": "test/debug", "mode": "observe"}}},
    "mode of the route: approve": {"alerts": {"Noisy": {"runbook": "test/debug", "mode": "approve"}}},
    "hold_off": {"alerts": {"Noisy": {"runbook": "test/debug", "mode": "auto", "hold_off": "8h"}}},
    "no route any more": {"alerts": {"Other": {"runbook": "test/restart"}}},
}


@pytest.mark.parametrize("how", ["by itself", "by hand"])
@pytest.mark.parametrize("guard", list(WHATEVER))
async def test_what_holds_up_repairs_does_not_hold_up_their_undo(stage: Stage, guard: str, how: str) -> None:
    stage.configure(**{"alerts": ALERTS, **WHATEVER[guard]})
    assert (await undo(stage, how)).outcome is not None
    assert not debug_is_on(stage)


@pytest.mark.parametrize("how", ["by itself", "by hand"])
async def test_an_owner_that_appeared_since_does_not_keep_our_change(stage: Stage, how: str) -> None:
    mark(stage, labels={"app.kubernetes.io/managed-by": "Helm"}, annotations={"meta.helm.sh/release-name": "web"})
    await undo(stage, how)
    assert not debug_is_on(stage)


@pytest.mark.parametrize("how", ["by itself", "by hand"])
async def test_a_runbook_that_was_stopped_still_puts_back_what_it_did(stage: Stage, how: str) -> None:
    stage.configure(alerts=ALERTS, trust={"stop_after": 1})
    await stage._link.command("LPUSH", stage._link.key("trust:runbook|test/debug"), "0")
    await undo(stage, how)
    assert not debug_is_on(stage)


@pytest.mark.parametrize("how", ["by itself", "by hand"])
@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"protected_namespaces": ["shop"]}, "protected_namespace"),
        ({"own": {"namespace": "shop", "workloads": ["web"]}}, "own_part"),
    ],
)
async def test_what_is_protected_by_now_is_left_and_a_person_is_told(
    stage: Stage, settings: dict[str, Any], reason: str, how: str
) -> None:
    stage.configure(alerts=ALERTS, **settings)
    view = await undo(stage, how)
    assert (view.reason, view.escalated, debug_is_on(stage)) == (reason, True, True)


@pytest.mark.parametrize("how", ["by itself", "by hand"])
async def test_the_mark_off_holds_for_an_undo(stage: Stage, how: str) -> None:
    mark(stage, annotations={"alertbridge.io/mode": "off"})
    view = await undo(stage, how)
    assert (view.reason, view.escalated, debug_is_on(stage)) == ("protected_object", True, True)


@pytest.mark.parametrize("how", ["by itself", "by hand"])
async def test_a_pause_and_mode_observe_put_an_undo_off_until_they_end(stage: Stage, how: str) -> None:
    await stage.pause()
    await undo(stage, how)
    assert debug_is_on(stage)
    stage.configure(alerts=ALERTS, mode="observe")
    await stage.resume()
    await stage.advance(10 * MINUTE)
    assert debug_is_on(stage)
    stage.configure(alerts=ALERTS)
    await stage.advance(15 * MINUTE)
    assert not debug_is_on(stage)
