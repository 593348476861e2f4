"""What somebody else is changing, or just changed, is left to him; what mends a bad change is not held up."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.engine.context import RunContext
from bridge.guards.changes import ChangesGuard, last_change
from bridge.guards.own_part import OwnPartGuard, OwnParts
from bridge.guards.protected import ProtectedGuard
from bridge.model.changes import ChangeSettings
from bridge.model.mode import Mode
from bridge.model.plan import Change, Field, Operation, Plan
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation
from bridge.model.target import ObjectRef, Target
from bridge.model.workload import format_time
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from bridge.ports import PlanGuard
from tests.support.clock import FakeClock
from tests.support.fake_cluster import FakeCluster

CLOCK = FakeClock()
NOW = CLOCK.now()
WAIT = ChangeSettings(rollout="wait")


def workload(
    kind: str = "Deployment", *, status: dict[str, Any] | None = None, managed: Any = (), **meta: Any
) -> dict[str, Any]:
    whole = {"replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "readyReplicas": 3, "observedGeneration": 2}
    about = {"name": "web", "namespace": "shop", "generation": 2, "managedFields": list(managed), **meta}
    return {"kind": kind, "metadata": about, "spec": {"replicas": 3}, "status": {**whole, **(status or {})}}


def managed(manager: str, ago: float, **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "time": format_time(NOW - ago), **more}


async def check(
    document: dict[str, Any] | None,
    settings: ChangeSettings | None = None,
    *,
    action: str = "rollout_restart",
    guard: PlanGuard | None = None,
    operation: Operation = Operation.PATCH,
    **fields: Any,
) -> Verdict:
    kind = document["kind"] if document else "Deployment"
    ref = ObjectRef("apps/v1", kind, "shop", "web", "u", "test")
    change = Change(ref=ref, operation=operation, fields=(Field("/spec/template", 1, 2),), summary="s")
    target = Target("test", kind, "shop", "web")
    rem = Remediation(id="rem-1", runbook="r", target=target, mode=Mode.AUTO, **fields)
    cluster = FakeCluster(document) if document else FakeCluster()
    reach = Reach(cluster, CLOCK, Outside(OutsideSettings()))
    context = RunContext(remediation=rem.id, planned_at=0, target=target, reach=reach)
    plan = Plan(action=action, summary="s", changes=(change,))
    return await (guard or ChangesGuard(settings or ChangeSettings())).check(rem, plan, context)


@pytest.mark.parametrize("status", [{"updatedReplicas": 1}, {"observedGeneration": 1}])
async def test_rollout_in_progress_is_waited_for(status: dict[str, Any]) -> None:
    verdict = await check(workload(status=status), WAIT)
    assert (verdict.decision, verdict.reason) == ("defer", Reason.ROLLOUT_IN_PROGRESS)
    assert verdict.retry_at == NOW + 120
    assert (await check(workload(status=status))).allowed


async def test_pods_that_are_not_ready_are_no_rollout() -> None:
    down = {"availableReplicas": 0, "readyReplicas": 0}
    assert (await check(workload(status=down), WAIT)).allowed


async def test_rollout_that_is_stuck_is_not_waited_for() -> None:
    failed = [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    assert (await check(workload(status={"updatedReplicas": 1, "conditions": failed}), WAIT)).allowed


async def test_our_own_rollout_and_what_we_put_back_are_not_waited_for() -> None:
    half = {"updatedReplicas": 1}
    ours = workload(status=half, annotations={"alertbridge.io/remediation": "rem-1"})
    assert (await check(ours, WAIT)).allowed
    others = workload(status=half, annotations={"alertbridge.io/remediation": "rem-0"})
    assert not (await check(others, WAIT)).allowed
    assert (await check(others, WAIT, undo_of="rem-0")).allowed


@pytest.mark.parametrize("action", ["rollout_undo", "helm_rollback"])
async def test_rollback_of_a_bad_change_does_not_wait_for_it(action: str) -> None:
    document = workload(status={"updatedReplicas": 1}, managed=[managed("kubectl", 5)])
    assert (await check(document, ChangeSettings(rollout="wait", within=600), action=action)).allowed


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
async def test_rollouts_of_other_workloads_are_seen_too(kind: str) -> None:
    status = {"updatedReplicas": 1, "desiredNumberScheduled": 3, "updatedNumberScheduled": 1, "numberAvailable": 3}
    revisions = {"currentRevision": "a", "updateRevision": "b"}
    assert (await check(workload(kind, status={**status, **revisions}), WAIT)).reason is Reason.ROLLOUT_IN_PROGRESS


async def test_recent_change_by_somebody_else_asks_a_person() -> None:
    document = workload(managed=[managed("helm", 60), managed("kubectl-edit", 30)])
    verdict = await check(document, ChangeSettings(within=600))
    assert (verdict.decision, verdict.reason, verdict.retry_at) == ("deny", Reason.CHANGED_RECENTLY, NOW + 570)
    assert "kubectl-edit 30 s ago" in verdict.detail
    waits = await check(document, ChangeSettings(within=600, recent="wait"))
    assert (waits.decision, waits.retry_at) == ("defer", NOW + 570)
    assert (await check(document, ChangeSettings(within=20))).allowed
    assert (await check(document)).allowed
    assert (await check(document, ChangeSettings(within=600, recent="allow"))).allowed


def test_what_we_and_the_controllers_change_is_nobody_elses_change() -> None:
    entries = [
        managed("alertbridge", 1),
        managed("kube-controller-manager", 1, subresource="status"),
        managed("kube-controller-manager", 2),
        managed("argocd-controller", 3, subresource="scale"),
        managed("kubectl", 500),
    ]
    assert last_change(workload(managed=entries)) == (NOW - 500, "kubectl")
    assert last_change(workload()) == (0.0, "")


async def test_what_is_not_there_is_no_change() -> None:
    assert (await check(None)).allowed
    assert (await check(workload(status={"updatedReplicas": 1}), WAIT, operation=Operation.CREATE)).allowed


async def test_label_off_protects_as_the_annotation_does() -> None:
    verdict = await check(workload(labels={"alertbridge.io/mode": "off"}), guard=ProtectedGuard())
    assert (verdict.decision, verdict.reason) == ("deny", Reason.PROTECTED_OBJECT)


async def test_own_part_is_known_by_its_uid_whatever_it_is_called() -> None:
    """Fault 63."""
    assert (await check(workload(), guard=OwnPartGuard(OwnParts(uids=("u",))))).reason is Reason.OWN_PART
    assert (await check(workload(), guard=OwnPartGuard(OwnParts(uids=("v",))))).allowed
