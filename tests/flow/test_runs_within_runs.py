"""A step that runs another runbook for another target: on a real Redis and a simulated cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.workloads import deployment
from bridge.errors import LeaseLost
from bridge.model import kinds
from bridge.model.mode import Mode
from tests.support.installation import runbook
from tests.support.redis import RedisServer
from tests.support.stage import Stage

HEALTHY = {"rollout": {"collect": "rollout"}}
REDIS = {"action": "runbook", "id": "redis", "with": {"runbook": "test/redis", "labels": {"deployment": "redis"}}}


def gateway(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    scenario = {"name": "Redis is down", "otherwise": True, "steps": list(steps) or [REDIS], **more}
    last = {"name": "by itself", "otherwise": True, "steps": [{"action": "rollout_restart"}]}
    return runbook("test/gateway", scenarios=[scenario, last] if more else [scenario])


def both(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Redis' own runbook also restarts the gateway, which the run that waits for it has locked."""
    restart = {"action": "rollout_restart"}
    steps = steps or (restart, {"action": "rollout_restart", "with": {"name": "web"}})
    scenarios = [{"name": "always", "otherwise": True, "steps": list(steps)}]
    return runbook("test/redis", params={"grace": {"default": 1}}, scenarios=scenarios, **more)


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path) as stage:
        for name in ("web", "redis"):
            stage.cluster.apply(deployment(name, f"registry.example/{name}:1", namespace="shop", replicas=2))
        stage.clock.jump(60)
        yield stage


async def played(stage: Stage, *books: dict[str, Any], route: Any = None, **settings: Any) -> list[Any]:
    """The gateway's alert fires and everything that follows is done; return the runs, the gateway's first."""
    for book in books:
        stage.write_runbook(book)
    alerts = {"GatewayDown": {"runbook": "test/gateway", "mode": "auto", **(route or {})}}
    stage.configure(alerts={**alerts, **settings.pop("alerts", {})}, **settings)
    await stage.fire("GatewayDown", deployment="web")
    await stage.settle()
    for _ in range(20):
        await stage.advance(10)
    return await stage.runs()


async def told(stage: Stage, name: str, kind: str) -> list[str]:
    return [entry.text for entry in await stage.stores.journal.read(name) if entry.kind == kind]


async def test_another_runbook_is_run_for_its_own_target_and_the_parent_goes_on_after_it(stage: Stage) -> None:
    parent, child = await played(stage, gateway(REDIS, {"action": "rollout_status"}), both())
    assert (parent.outcome.value, child.outcome.value) == ("succeeded", "succeeded")
    assert (str(child.remediation.target), child.remediation.runbook) == ("sim:deployment/shop/redis", "test/redis")
    assert child.remediation.parents == (parent.remediation.id,)
    assert child.remediation.requested_by == f"remediation {parent.remediation.id}"
    assert len(stage.writes) == 2, "the child restarted Redis, and the gateway that its parent had locked"
    assert 'alertbridge_child_runs_total{outcome="succeeded"} 1.0' in stage.metrics.render()[0].decode()
    verified = await told(stage, parent.remediation.id, kinds.VERIFIED)
    assert f"test/redis is remediation {child.remediation.id}, which ended as succeeded" in verified[0]


async def test_what_the_other_run_could_not_mend_did_not_help_and_wakes_one_person(stage: Stage) -> None:
    never = {"fixed": "false", "within": "5s"}
    parent, child = await played(stage, gateway(on_not_fixed="next"), both(verify=never))
    assert (parent.outcome.value, parent.reason) == ("succeeded", "verified")
    assert (child.outcome.value, child.reason, child.escalated) == ("failed", "not_fixed", False)


async def test_what_is_not_known_of_the_other_run_is_not_known(stage: Stage) -> None:
    never = {
        "evidence": {"gone": {"collect": "rollout", "with": {"name": "gone"}}},
        "fixed": "evidence.gone.complete",
    }
    parent, child = await played(stage, gateway(on_not_fixed="next"), both(verify={**never, "within": "5s"}))
    assert [(each.outcome.value, each.escalated) for each in (parent, child)] == [
        ("unknown", True),
        ("unknown", False),
    ]


async def test_it_goes_no_further_than_its_parent_and_not_beyond_its_own_route(stage: Stage) -> None:
    """The route of its own alert says how far it goes."""
    own = {**REDIS, "with": {"runbook": "test/redis", "labels": {"deployment": "redis", "alertname": "RedisDown"}}}
    alerts = {"RedisDown": {"runbook": "test/redis", "mode": "observe", "params": {"grace": 5}}}
    parent, child = await played(stage, gateway(own), both(), alerts=alerts)
    assert (child.remediation.mode, child.remediation.params) == (Mode.OBSERVE, {"grace": 5})
    assert (child.outcome.value, parent.outcome.value, stage.writes) == ("observed", "failed", [])


async def test_limits_and_exceptions_of_the_parents_route_hold_where_it_has_none_of_its_own(stage: Stage) -> None:
    route = {"allow_irreversible": True, "allow_namespaces": ["kube-system"], "approvers": 2}
    _, child = await played(stage, gateway(), both(), route=route)
    made = child.remediation
    assert (made.allow_irreversible, made.allow_namespaces, made.allow_drift) == (True, ("kube-system",), False)


@pytest.mark.parametrize(
    ("book", "words"),
    [
        (
            both(target={"namespace": "shop", "name": "web"}),
            "put its scenarios into test/gateway by `use: test/redis`",
        ),
        (
            both({"action": "runbook", "with": {"runbook": "test/gateway", "labels": {"deployment": "web"}}}),
            "test/gateway would be about sim:deployment/shop/web, as the run that waits for it is",
        ),
    ],
)
async def test_a_run_waits_for_nothing_that_is_about_its_own_target(
    stage: Stage, book: dict[str, Any], words: str
) -> None:
    runs = await played(stage, gateway(), book)
    assert words in " ".join(run.detail for run in runs)
    assert {run.outcome.value for run in runs} == {"failed"}
    assert stage.writes == []


async def test_a_chain_of_runs_ends(stage: Stage) -> None:
    further = {
        "action": "runbook",
        "with": {"runbook": "test/redis", "labels": {"deployment": "${labels.deployment}x"}},
    }
    runs = await played(stage, gateway(), both(further))
    assert [str(run.remediation.target.name) for run in runs] == ["web", "redis", "redisx"]
    assert "at most 3 runs wait for one another" in runs[-1].detail


async def test_mode_observe_says_what_would_be_run_and_asks_for_nothing(stage: Stage) -> None:
    """Fault 70."""
    (parent,) = await played(stage, gateway(), both(), route={"mode": "observe"})
    assert await told(stage, parent.remediation.id, kinds.PLANNED) == [
        "would be made: run test/redis for sim:deployment/shop/redis"
    ]


async def test_a_run_that_is_under_way_for_that_target_is_joined(stage: Stage) -> None:
    for book in (gateway(), both()):
        stage.write_runbook(book)
    alerts = {name: {"runbook": f"test/{book}", "mode": "auto"} for name, book in
              (("GatewayDown", "gateway"), ("RedisDown", "redis"))}  # fmt: skip
    stage.configure(alerts=alerts)
    await stage.pause("runbook:test/redis")
    await stage.fire("RedisDown", deployment="redis")
    await stage.fire("GatewayDown", deployment="web")
    await stage.settle()
    await stage.resume("runbook:test/redis")
    for _ in range(40):
        await stage.advance(10)
    ends = {run.remediation.runbook: run.outcome.value for run in await stage.runs()}
    assert ends == {"test/gateway": "succeeded", "test/redis": "succeeded"}
    assert len(stage.writes) == 2, "Redis was mended once"


@pytest.mark.parametrize("dies_at", ["asked", "taken"])
async def test_a_worker_that_dies_around_the_order_leaves_one_other_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    """The order is made once, whatever dies in between."""
    runs = stage._parts.connections("sim").runs
    ask, deaths = type(runs).ask, []

    async def dies(self: Any, order: Any) -> None:
        if dies_at == "taken":
            await ask(self, order)
        if not deaths:
            deaths.append(1)
            raise LeaseLost("the worker died")
        await ask(self, order)

    monkeypatch.setattr(type(runs), "ask", dies)
    claim, claims = stage.stores.work.claim, []

    async def noted(*given: Any, **more: Any) -> Any:
        claims.append(await claim(*given, **more))
        return claims[-1]

    monkeypatch.setattr(stage.stores.work, "claim", noted)
    stage.write_runbook(gateway())
    stage.write_runbook(both())
    stage.configure(alerts={"GatewayDown": {"runbook": "test/gateway", "mode": "auto"}})
    await stage.fire("GatewayDown", deployment="web")
    with pytest.raises(LeaseLost):
        await stage.settle()
    await stage.stores.work.hand_over(claims[-1], _entry())
    for _ in range(20):
        await stage.advance(10)
    assert deaths == [1]
    assert [run.outcome.value for run in await stage.runs() if run.outcome] == ["succeeded", "succeeded"]
    assert len(stage.writes) == 2


def _entry() -> Any:
    from bridge.model.remediation import Entry

    return Entry(kind=kinds.HANDED_OVER, text="found by another worker")
