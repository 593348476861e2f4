"""What an alert does, and what it does not, told as time lines on a real Redis and a simulated cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.workloads import deployment
from bridge.model.intake import Seen
from tests.support.redis import RedisServer
from tests.support.stage import Stage

AUTO = {"runbook": "test/restart", "mode": "auto"}
MakeStage = Callable[..., AbstractAsyncContextManager[Stage]]
HOUR = 3600.0


def with_deployment(stage: Stage, name: str, namespace: str = "shop", **changes: Any) -> None:
    manifest = deployment(name, f"registry.example/{name}:1", namespace=namespace)
    manifest["metadata"].update(changes)
    stage.cluster.apply(manifest)
    stage.clock.jump(10)


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path, alerts={"WebDown": AUTO}) as stage:
        with_deployment(stage, "web")
        yield stage


async def test_a_firing_is_healed_its_repeats_run_nothing_and_its_resolve_closes_it(stage: Stage) -> None:
    start = stage.clock.now()
    assert await stage.fire("WebDown", deployment="web", starts_at=start) is Seen.NEW
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified")]
    assert len(stage.writes) == 1

    for _ in range(5):
        await stage.advance(HOUR)
        assert await stage.fire("WebDown", deployment="web", starts_at=start) is Seen.DUPLICATE
        await stage.settle()
    assert len(await stage.runs()) == 1, "still firing after a finished run is nothing new"

    assert await stage.resolve("WebDown", deployment="web") is Seen.RESOLVED
    await stage.settle()
    assert await stage.reasons("WebDown", deployment="web") == ["created", "verified", "resolved"]
    assert len(stage.writes) == 1


async def test_an_alert_that_flaps_acts_once_until_the_cooldown_and_then_until_its_attempts_are_spent(
    stage: Stage,
) -> None:
    """Fault 52."""
    for _ in range(20):
        await stage.fire("WebDown", deployment="web")
        await stage.settle()
        await stage.advance(5)
        await stage.resolve("WebDown", deployment="web")
        await stage.advance(5)
    assert len(stage.writes) == 1
    assert (await stage.ends())[1:] == [("suppressed", "cooldown")] * 19

    for _ in range(8):
        await stage.advance(601)
        await stage.fire("WebDown", deployment="web")
        await stage.settle()
        await stage.resolve("WebDown", deployment="web")
        await stage.settle()
    # Three attempts in an hour, whichever hour.
    reasons = [reason for _, reason in (await stage.ends())[20:]]
    assert reasons.count("verified") + reasons.count("attempts_spent") == 8
    assert reasons.count("attempts_spent") >= 3
    spent = [run for run in await stage.runs() if run.reason == "attempts_spent"]
    assert 1 <= sum(run.escalated for run in spent) < len(spent), "a person is told once, not for each flap"


async def test_a_cooldown_that_ends_looks_again_at_what_still_fires(stage: Stage) -> None:
    await stage.fire("WebDown", deployment="web")
    await stage.settle()
    await stage.advance(60)
    await stage.fire("WebDown", deployment="web")  # a later start: another incident
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified"), ("suppressed", "cooldown")]

    await stage.advance(300)
    assert len(stage.writes) == 1
    await stage.advance(300)
    assert (await stage.ends())[2:] == [("succeeded", "verified")]
    assert len(stage.writes) == 2


async def test_observe_plans_and_writes_nothing_and_a_reload_to_auto_looks_again(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    """Fault 70: a dry run sends no mutating verb."""
    async with Stage.open(redis_server, tmp_path, alerts={"WebDown": "test/restart"}) as stage:
        with_deployment(stage, "web")
        await stage.fire("WebDown", deployment="web")
        await stage.settle()
        assert await stage.ends() == [("observed", "observe_only")]
        (run,) = await stage.runs()
        kinds = [entry.kind for entry in await stage.stores.journal.read(run.remediation.id)]
        assert "planned" in kinds
        assert "applying" not in kinds
        assert stage.proxy.mutating(dry_runs=True) == []

        await stage.reload(alerts={"WebDown": AUTO})
        await stage.settle()
        assert (await stage.ends())[1:] == [("succeeded", "verified")]
        assert len(stage.writes) == 1


async def test_the_process_mode_caps_every_route(redis_server: RedisServer, tmp_path: Path) -> None:
    async with Stage.open(redis_server, tmp_path, mode="observe", alerts={"WebDown": AUTO}) as stage:
        with_deployment(stage, "web")
        await stage.fire("WebDown", deployment="web")
        await stage.settle()
        assert await stage.ends() == [("observed", "observe_only")]
        assert stage.writes == []


@pytest.mark.parametrize("scope", ["all", "namespace:shop", "runbook:test/restart", "cluster:sim"])
async def test_a_pause_stops_and_its_end_looks_again_at_what_still_fires(stage: Stage, scope: str) -> None:
    await stage.pause(scope)
    await stage.fire("WebDown", deployment="web")
    await stage.settle()
    assert await stage.ends() == [("suppressed", "paused")]
    assert stage.writes == []

    await stage.resume(scope)
    await stage.settle()
    assert (await stage.ends())[1:] == [("succeeded", "verified")]


async def test_the_end_of_a_pause_replays_nothing_that_has_resolved_meanwhile(stage: Stage) -> None:
    await stage.pause()
    await stage.fire("WebDown", deployment="web")
    await stage.settle()
    await stage.resolve("WebDown", deployment="web")
    await stage.settle()
    await stage.resume()
    await stage.settle()
    assert len(await stage.runs()) == 1
    assert stage.writes == []


async def test_a_late_firing_after_its_resolve_is_held_and_reopens_only_when_it_is_seen_again(stage: Stage) -> None:
    """Fault 53: a slow peer's old firing restarts nothing; a real outage with an old start is not ignored."""
    start = stage.clock.now()
    await stage.fire("WebDown", deployment="web", starts_at=start)
    await stage.settle()
    await stage.advance(60)
    await stage.resolve("WebDown", deployment="web")
    await stage.settle()

    assert await stage.fire("WebDown", deployment="web", starts_at=start) is Seen.HELD
    await stage.settle()
    assert len(await stage.runs()) == 1

    await stage.advance(700)
    assert await stage.fire("WebDown", deployment="web", starts_at=start) is Seen.REOPENED
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified")] * 2


async def test_a_resolve_that_comes_first_leaves_a_tombstone_and_its_firing_is_held(stage: Stage) -> None:
    """Fault 53."""
    start = stage.clock.now() - 60
    assert await stage.resolve("WebDown", deployment="web") is Seen.TOMBSTONE
    assert await stage.fire("WebDown", deployment="web", starts_at=start) is Seen.HELD
    await stage.settle()
    assert await stage.runs() == []


async def test_what_resolves_before_the_first_write_is_cancelled(stage: Stage) -> None:
    await stage.fire("WebDown", deployment="web")
    await stage.dispatch()
    await stage.resolve("WebDown", deployment="web")
    await stage.settle()
    assert await stage.ends() == [("cancelled", "resolved")]
    assert stage.writes == []


async def test_two_alerts_for_one_runbook_and_target_are_one_run_that_only_both_resolves_cancel(stage: Stage) -> None:
    await stage.fire("WebDown", deployment="web")
    await stage.fire("WebDown", deployment="web", source="other")
    await stage.dispatch()
    (run,) = await stage.runs()
    assert len(run.incidents) == 2
    await stage.resolve("WebDown", deployment="web")
    await stage.dispatch()
    assert (await stage.runs())[0].outcome is None, "one of two still fires"
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified")]


async def test_two_rules_for_one_target_run_one_after_the_other(redis_server: RedisServer, tmp_path: Path) -> None:
    """Fault 68."""
    from tests.support.installation import runbook

    alerts = {"WebDown": AUTO, "WebSlow": {"runbook": "test/again", "mode": "auto"}}
    async with Stage.open(redis_server, tmp_path) as stage:
        stage.write_runbook(runbook("test/again"))
        stage.configure(alerts=alerts)
        with_deployment(stage, "web")
        with_deployment(stage, "shop")
        await stage.fire("WebDown", deployment="web")
        await stage.fire("WebSlow", deployment="web")
        await stage.fire("WebSlow", deployment="shop")
        await stage.dispatch()
        claims = [await stage.stores.work.claim("a", block=0.0) for _ in range(3)]
        held = [claim for claim in claims if claim is not None]
        assert len(held) == 2, "the second run for web waits for the first, the one for shop doesn't"
        for claim in held:
            from bridge.model.remediation import Entry

            await stage.stores.work.hand_over(claim, Entry(kind="handed_over"))
        await stage.settle()
        # The second run for web may find the restart that it was asked for made by the first.
        assert [outcome for outcome, _ in await stage.ends()] == ["succeeded"] * 3


async def test_what_waited_too_long_for_a_worker_is_skipped_and_what_still_fires_is_run_afresh(stage: Stage) -> None:
    """Fault 69: the workers were down for six hours."""
    with_deployment(stage, "shop")
    await stage.fire("WebDown", deployment="web")
    await stage.fire("WebDown", deployment="shop")
    await stage.dispatch()
    stage.clock.jump(6 * HOUR)
    await stage.resolve("WebDown", deployment="shop")
    await stage.settle()
    await stage.advance(2)
    ends = await stage.ends()
    assert ("suppressed", "out_of_date") in ends
    assert ("cancelled", "resolved") in ends
    assert ends[-1] == ("succeeded", "verified"), "web still fires"
    assert len(stage.writes) == 1


@pytest.mark.parametrize(
    ("namespace", "changes", "reason"),
    [
        ("kube-system", {}, "protected_namespace"),
        (
            "shop",
            {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "web"}},
            "owner_would_revert",
        ),
    ],
)
async def test_what_must_not_be_touched_is_denied_and_told_to_a_person(
    stage: Stage, namespace: str, changes: dict[str, Any], reason: str
) -> None:
    """Fault 64, and what an owner would revert."""
    with_deployment(stage, "dns", namespace, **changes)
    await stage.fire("WebDown", deployment="dns", namespace=namespace)
    await stage.settle()
    assert await stage.ends() == [("denied", reason)]
    assert (await stage.runs())[0].escalated
    assert stage.writes == []


async def test_a_cluster_label_without_a_connection_is_denied(stage: Stage) -> None:
    await stage.fire("WebDown", deployment="web", cluster="elsewhere")
    await stage.settle()
    assert await stage.reasons("WebDown", deployment="web", cluster="elsewhere") == [
        "created",
        "unknown_cluster",
    ]
    assert [(view.reason, view.escalated) for view in await stage.runs()] == [("unknown_cluster", True)]
    assert stage.proxy.requests == []


async def test_names_that_are_no_names_reach_no_api_server(stage: Stage) -> None:
    """Fault 41."""
    for name in ("..", ".", "a/b", "%2e%2e", "A", "-"):
        await stage.fire("WebDown", deployment=name)
        await stage.settle()
        assert await stage.reasons("WebDown", deployment=name) == ["created", "invalid_target"]
    assert stage.proxy.requests == []


async def test_a_target_that_does_not_exist_is_told_and_nothing_is_written(stage: Stage) -> None:
    await stage.fire("WebDown", deployment="nothing")
    await stage.settle()
    ((outcome, _reason),) = await stage.ends()
    assert outcome == "failed"
    assert (await stage.runs())[0].escalated
    assert stage.writes == []


@pytest.mark.parametrize("name", ["TestAlert", "DatasourceNoData", "DatasourceError"])
async def test_what_senders_say_of_themselves_never_acts(
    redis_server: RedisServer, tmp_path: Path, name: str
) -> None:
    async with Stage.open(redis_server, tmp_path, alerts={name: AUTO}) as stage:
        await stage.fire(name, deployment="web")
        await stage.settle()
        assert await stage.reasons(name, deployment="web") == ["test_alert"]
        assert await stage.runs() == []


@pytest.mark.parametrize(
    "runbook", ["../../etc/passwd", "/etc/passwd", "test/../test/restart", "test/restart.yml", "."]
)
async def test_a_runbook_named_by_hand_is_looked_up_in_a_map_and_never_in_the_file_system(
    stage: Stage, runbook: str
) -> None:
    """Fault 46."""
    await stage.fire("AdHoc", deployment="web", runbook=runbook)
    await stage.settle()
    assert await stage.reasons("AdHoc", deployment="web") == ["no_route"]
    assert await stage.runs() == []


async def test_a_runbook_named_by_hand_runs_under_every_guard(stage: Stage) -> None:
    await stage.fire("AdHoc", deployment="web", runbook="test/restart")
    await stage.settle()
    await stage.fire("AdHoc", deployment="web", runbook="test/restart")
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified"), ("suppressed", "cooldown")]
