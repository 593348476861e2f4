"""The words of runbooks as time lines: attempts in order, waits, loops, lists and several targets, on a real Redis
and a simulated cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.workloads import deployment
from bridge.model import kinds
from tests.support.installation import runbook
from tests.support.redis import RedisServer
from tests.support.stage import Stage

AUTO = {"mode": "auto", "cooldown": "0s", "max_attempts": 20}
VERIFY = {
    "evidence": {"rollout": {"collect": "rollout"}},
    "fixed": "evidence.rollout.complete && evidence.rollout.desired > 0",
    "within": "30s",
    "every": "1s",
}
ROLLOUT = {"rollout": {"collect": "rollout"}}


def attempt(name: str, action: str, **params: Any) -> dict[str, Any]:
    return {"name": name, "steps": [{"action": action, "with": params, "verify_within": "40s"}]}


QUICK_FIXES = runbook(
    "test/quick-fixes",
    evidence=ROLLOUT,
    scenarios=[
        {
            "name": "service down",
            "when": "!evidence.rollout.complete",
            "try": [
                attempt("restart", "rollout_restart"),
                attempt("scale out", "scale", replicas=5),
                attempt("go back", "rollout_undo"),
                attempt("never reached", "scale", replicas=1),
            ],
        }
    ],
    verify=VERIFY,
)
EVERY_TARGET = runbook(
    "test/every-target",
    target={"namespace": "${labels.namespace}", "name": "${labels.deployment}", "at_most": 5},
    scenarios=[
        {
            "name": "all of them",
            "otherwise": True,
            "steps": [
                {
                    "action": "rollout_restart",
                    "with": {"namespace": "${item.namespace}", "name": "${item.name}"},
                    "for_each": "${targets}",
                    "parallel": 2,
                    "verify_within": "40s",
                }
            ],
        }
    ],
)


def applied(stage: Stage, name: str, tag: str = "1", replicas: int = 2) -> None:
    image = f"registry.example/{name}:{tag}"
    stage.cluster.apply(deployment(name, image, namespace="shop", replicas=replicas))
    stage.clock.jump(60)


def broken_release(stage: Stage, name: str = "web") -> None:
    """Its first version was fine for long, its second never becomes ready."""
    applied(stage, name)
    stage.clock.jump(7200)
    applied(stage, name, "2-bad")


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path) as stage:
        stage.write_runbook(QUICK_FIXES)
        stage.write_runbook(EVERY_TARGET)
        alerts = {
            "ServiceDown": {"runbook": "test/quick-fixes", **AUTO},
            "Degraded": {"runbook": "test/every-target", "group_by": ["zone"], **AUTO},
        }
        stage.configure(alerts=alerts)
        yield stage


async def journal(stage: Stage, at: int = 0) -> list[Any]:
    run = (await stage.runs())[at]
    return await stage.stores.journal.read(run.remediation.id)


def told(entries: list[Any], *names: str) -> list[str]:
    return [f"{entry.kind}: {entry.text}" for entry in entries if entry.kind in names]


async def test_quick_fixes_are_tried_in_order_until_one_works(stage: Stage) -> None:
    broken_release(stage)
    await stage.fire("ServiceDown", deployment="web")
    await stage.settle()
    for _ in range(40):
        await stage.advance(10)
    assert await stage.ends() == [("succeeded", "verified")]
    entries = await journal(stage)
    assert [entry.text for entry in entries if entry.kind == kinds.TRYING] == [
        "trying: restart",
        "trying: scale out",
        "trying: go back",
    ]
    # A restart stays, a count that did not help goes back, and what helped is the last word.
    (web,) = stage.cluster.list("deployments.apps", "shop")
    assert web["spec"]["replicas"] == 2
    assert web["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/web:1"
    assert len(stage.writes) == 4, "a restart, a count, the count as it was, an undo"


async def test_what_a_step_keeps_is_not_put_back_though_it_did_not_help(stage: Stage) -> None:
    kept = {**attempt("scale out", "scale", replicas=5)}
    kept["steps"] = [{**kept["steps"][0], "keep": True}]
    (scenario,) = QUICK_FIXES["scenarios"]
    stage.write_runbook({**QUICK_FIXES, "scenarios": [{**scenario, "try": [kept]}]})
    stage.configure(alerts={"ServiceDown": {"runbook": "test/quick-fixes", **AUTO}})
    broken_release(stage)
    await stage.fire("ServiceDown", deployment="web")
    await stage.settle()
    for _ in range(20):
        await stage.advance(10)
    ((outcome, _reason),) = await stage.ends()
    assert outcome == "failed"
    (web,) = stage.cluster.list("deployments.apps", "shop")
    assert web["spec"]["replicas"] == 5
    assert len(stage.writes) == 1


async def test_observe_plans_every_attempt_and_writes_nothing(stage: Stage) -> None:
    """Fault 70."""
    broken_release(stage)
    stage.configure(alerts={"ServiceDown": {"runbook": "test/quick-fixes", "mode": "observe"}})
    await stage.fire("ServiceDown", deployment="web")
    await stage.settle()
    assert await stage.ends() == [("observed", "observe_only")]
    planned = [entry.data["step"] for entry in await journal(stage) if entry.kind == kinds.PLANNED]
    assert planned == [f"service down/{name}/0" for name in ("restart", "scale out", "go back", "never reached")]
    assert stage.proxy.mutating(dry_runs=True) == []


async def test_recovery_is_waited_for_and_forced_when_it_does_not_come(stage: Stage) -> None:
    wait = {"until": "evidence.rollout.complete", "within": "60s", "otherwise": "continue"}
    steps = [
        {"id": "itself", "wait": wait},
        {"when": "!steps.itself.met", "action": "rollout_undo", "verify_within": "40s"},
    ]
    scenarios = [{"name": "down", "when": "!evidence.rollout.complete", "steps": steps}]
    stage.write_runbook(runbook("test/patient", evidence=ROLLOUT, scenarios=scenarios, verify=VERIFY))
    stage.configure(alerts={"Down": {"runbook": "test/patient", **AUTO}})
    broken_release(stage)
    broken_release(stage, "api")
    await stage.fire("Down", deployment="web")
    await stage.settle()
    assert await stage.ends() == [("parked", "")]
    assert stage.writes == []
    for _ in range(15):
        await stage.advance(10)
    assert await stage.ends() == [("succeeded", "verified")]
    assert len(stage.writes) == 1

    await stage.fire("Down", deployment="api")
    await stage.settle()
    applied(stage, "api", "3")
    await stage.advance(10)
    assert (await stage.ends())[1] == ("succeeded", "nothing_to_do")
    assert len(stage.writes) == 1


async def test_a_loop_scales_step_by_step_and_stops_at_its_bound(stage: Stage) -> None:
    loop = {"until": "evidence.rollout.ready >= 4", "at_most": 3, "every": "30s"}
    scenarios = [
        {"name": "grow", "otherwise": True, "steps": [{"action": "scale", "with": {"by": 1, "max": 9}, "loop": loop}]}
    ]
    stage.write_runbook(runbook("test/grow", evidence=ROLLOUT, scenarios=scenarios, verify=VERIFY))
    stage.configure(alerts={"Load": {"runbook": "test/grow", **AUTO}})
    applied(stage, "web")
    await stage.fire("Load", deployment="web")
    for _ in range(6):
        await stage.advance(10)
    assert await stage.ends() == [("succeeded", "verified")]
    assert stage.cluster.list("deployments.apps", "shop")[0]["spec"]["replicas"] == 4
    await stage.resolve("Load", deployment="web")
    await stage.settle()

    loop["until"] = "evidence.rollout.ready >= 40"
    stage.write_runbook(runbook("test/grow", evidence=ROLLOUT, scenarios=scenarios, verify=VERIFY))
    stage.configure(alerts={"Load": {"runbook": "test/grow", **AUTO}})
    await stage.fire("Load", deployment="web")
    for _ in range(20):
        await stage.advance(10)
    assert (await stage.ends())[1] == ("undone", "not_fixed")
    assert stage.cluster.list("deployments.apps", "shop")[0]["spec"]["replicas"] == 4


async def test_three_things_one_at_a_time_end_with_the_one_that_fails(stage: Stage) -> None:
    each = {"action": "rollout_restart", "for_each": ["a", "b", "c"], "with": {"name": "${item}"}}
    steps = [{**each, "verify_within": "30s"}]
    scenarios = [{"name": "all", "otherwise": True, "steps": steps}]
    stage.write_runbook(runbook("test/three", scenarios=scenarios))
    stage.configure(alerts={"All": {"runbook": "test/three", **AUTO}})
    applied(stage, "a")
    broken_release(stage, "b")
    applied(stage, "c")
    await stage.fire("All", deployment="a")
    for _ in range(10):
        await stage.advance(10)
    assert [outcome for outcome, _ in await stage.ends()] == ["failed"]
    assert [write.rpartition("/")[2] for write in stage.writes] == ["a", "b"]


async def test_five_alerts_of_one_group_become_one_remediation_for_their_targets(stage: Stage) -> None:
    names = ["a", "b", "c", "d", "e"]
    for name in [*names, "f"]:
        applied(stage, name)
    for name in names:
        await stage.fire("Degraded", deployment=name, zone="z1")
    await stage.fire("Degraded", deployment="f", zone="z2")
    await stage.settle()
    await stage.advance(60)
    assert await stage.ends() == [("succeeded", "verified")] * 2
    (first, other) = await stage.runs()
    assert [target.name for target in first.remediation.targets] == names
    assert [target.name for target in other.remediation.targets] == ["f"]
    assert sorted(write.rpartition("/")[2] for write in stage.writes) == [*names, "f"]


async def test_targets_beyond_what_one_run_takes_become_a_further_one(stage: Stage) -> None:
    names = ["a", "b", "c", "d", "e", "f", "g"]
    for name in names:
        applied(stage, name)
    for name in names:
        await stage.fire("Degraded", deployment=name, zone="z1")
    await stage.settle()
    await stage.advance(60)
    runs = await stage.runs()
    assert [[target.name for target in run.remediation.targets] for run in runs] == [names[:5], names[5:]]
    assert await stage.ends() == [("succeeded", "verified")] * 2


async def test_a_restart_in_a_later_attempt_is_one_more(redis_server: RedisServer, tmp_path: Path) -> None:
    """What the first attempt restarted for did not help; what the second one changed is to be taken up as well."""
    book = runbook(
        "test/again",
        scenarios=[
            {
                "name": "try",
                "otherwise": True,
                "try": [
                    {"name": "first", "steps": [{"action": "rollout_restart"}]},
                    {"name": "second", "steps": [{"action": "rollout_restart"}]},
                ],
            }
        ],
        verify={"fixed": "alert.resolved", "within": "10s"},
    )
    alerts = {"WebDown": {"runbook": "test/again", "mode": "auto"}}
    async with Stage.open(redis_server, tmp_path, runbooks_too=[book], alerts=alerts) as stage:
        stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop"))
        stage.clock.jump(10)
        await stage.fire("WebDown", deployment="web")
        await stage.settle()
        for _ in range(20):
            await stage.advance(10)
        assert await stage.ends() == [("failed", "not_fixed")]
        assert [each.split()[0] for each in stage.writes] == ["PATCH", "PATCH"]


async def test_what_is_well_without_a_change_gets_the_time_to_show_it(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Where nothing was changed and more could be tried it is looked at for as long as it has to hold."""
    book = runbook(
        "test/well",
        scenarios=[
            {
                "name": "try",
                "otherwise": True,
                "try": [attempt("five pods", "scale", replicas=5), attempt("restart", "rollout_restart")],
            }
        ],
        verify={**VERIFY, "within": "3m", "settle": "1m", "every": "15s"},
    )
    alerts = {"WebDown": {"runbook": "test/well", "mode": "auto"}}
    async with Stage.open(redis_server, tmp_path, runbooks_too=[book], alerts=alerts) as stage:
        applied(stage, "web", replicas=5)
        await stage.fire("WebDown", deployment="web")
        await stage.settle()
        for _ in range(20):
            await stage.advance(7)
        assert await stage.ends() == [("succeeded", "nothing_to_do")]
        assert stage.writes == []
