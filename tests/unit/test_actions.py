"""What single actions refuse, clamp and report. What all of them promise is in tests/contract/test_actions.py."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.actions.certificate_renew import CertificateRenew, RenewParams
from bridge.actions.rollout_restart import RolloutRestart
from bridge.actions.rollout_undo import RolloutUndo, UndoParams
from bridge.actions.scale import Scale, ScaleParams
from bridge.actions.workloads import TargetParams
from bridge.engine.retry import RetryPolicy
from bridge.errors import InvalidInput, KubeForbidden, KubeNotFound, PlanError, TemporaryError
from bridge.model.verification import Answer
from bridge.model.workload import format_time
from tests.support.acting import DAY, context, web
from tests.support.clock import START
from tests.support.fake_cluster import FakeCluster


def hpa(name: str = "web") -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "auto"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 5},
    }


async def scaled(document: dict[str, Any], **params: Any) -> Any:
    plan = await Scale().plan(context(FakeCluster(document)), ScaleParams(**params))
    return plan.changes[0].fields[0].after if plan.changes else None


async def test_scaling_is_clamped_and_says_so() -> None:
    """Fault 66."""
    plan = await Scale().plan(context(FakeCluster(web(3))), ScaleParams(by=20, max=6))
    assert plan.changes[0].fields[0].after == 6
    assert plan.notes == ("clamped from 23 to 6 (limits 1, 6)",)


async def test_scaling_takes_a_count_a_difference_or_a_factor() -> None:
    assert await scaled(web(3), replicas=5) == 5
    assert await scaled(web(3), by=2) == 5
    assert await scaled(web(3), factor=1.5) == 5
    assert await scaled(web(3), replicas=3) is None


async def test_nothing_is_switched_off_unless_told() -> None:
    """Fault 66."""
    assert await scaled(web(3), replicas=0, min=0) == 1
    assert await scaled(web(3), replicas=0, min=0, allow_zero=True) == 0
    with pytest.raises(PlanError, match="limits"):
        await scaled(web(1), replicas=0, min=0)


@pytest.mark.parametrize(("replicas", "params"), [(6, {"by": 2, "max": 6}), (12, {"factor": 1.5, "max": 10})])
async def test_limits_that_leave_nothing_to_do_are_an_error_not_a_success(
    replicas: int, params: dict[str, Any]
) -> None:
    """Fault 66: above all, scaling up never scales down."""
    with pytest.raises(PlanError, match="raise `max`"):
        await scaled(web(replicas), **params)


async def test_an_autoscalers_count_is_left_to_it_with_a_hint() -> None:
    """Fault 66."""
    with pytest.raises(PlanError, match="kubectl patch hpa auto -n shop"):
        await Scale().plan(context(FakeCluster(web(), hpa())), ScaleParams(by=1))
    assert (await Scale().plan(context(FakeCluster(web(), hpa("other"))), ScaleParams(by=1))).changes


async def test_without_leave_to_see_autoscalers_nothing_is_scaled() -> None:
    cluster = FakeCluster(web())
    cluster.errors["list", "HorizontalPodAutoscaler"] = KubeForbidden("no")
    with pytest.raises(KubeForbidden):
        await Scale().plan(context(cluster), ScaleParams(by=1))


@pytest.mark.parametrize("params", [{}, {"by": 1, "factor": 2}, {"by": 1, "min": 5, "max": 2}, {"factor": 0}])
def test_wrong_parameters_of_scale_are_errors(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ScaleParams(**params)


@given(st.integers(0, 40), st.integers(-50, 50), st.integers(0, 10), st.integers(1, 30))
async def test_a_planned_count_is_within_its_limits_and_in_the_wanted_direction(
    current: int, by: int, least: int, extra: int
) -> None:
    """Fault 66."""
    most = least + extra
    try:
        planned = await scaled(web(current), by=by, min=least, max=most)
    except PlanError:
        return
    if planned is not None:
        assert max(least, 1) <= planned <= most
        assert (planned - current) * by > 0


async def test_disruption_counts_pods_that_are_ready_now() -> None:
    for ready, percent in ((3, 100.0), (1, 33.3), (0, 0.0)):
        plan = await RolloutRestart().plan(context(FakeCluster(web(3, ready))), TargetParams())
        assert (plan.disruption.ready_pods, plan.disruption.percent) == (ready, percent)
    down = await Scale().plan(context(FakeCluster(web(4, 3))), ScaleParams(replicas=2))
    assert down.disruption.ready_pods == 2
    up = await Scale().plan(context(FakeCluster(web(3, 3))), ScaleParams(by=1))
    assert up.disruption.ready_pods == 0


async def test_a_restart_is_marked_with_the_remediations_own_time() -> None:
    cluster = FakeCluster(web())
    plan = await RolloutRestart().plan(context(cluster), TargetParams())
    assert plan.changes[0].fields[0].after == format_time(START)
    document = cluster.objects["Deployment", "shop", "web"]
    document["spec"]["template"]["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/restartedAt": format_time(START)
    }
    assert (await RolloutRestart().plan(context(cluster), TargetParams())).empty


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
async def test_the_other_workloads_are_restarted_as_well(kind: str) -> None:
    document = {**web(), "kind": kind}
    document["status"] |= {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}
    plan = await RolloutRestart().plan(context(FakeCluster(document), kind), TargetParams())
    assert plan.changes[0].ref.kind == kind


async def test_a_restart_that_would_do_nothing_is_refused() -> None:
    with pytest.raises(PlanError, match="kubectl rollout resume"):
        await RolloutRestart().plan(context(FakeCluster(web(paused=True))), TargetParams())
    on_delete = {**web(updateStrategy={"type": "OnDelete"}), "kind": "StatefulSet"}
    with pytest.raises(PlanError, match="OnDelete"):
        await RolloutRestart().plan(context(FakeCluster(on_delete), "StatefulSet"), TargetParams())


async def test_an_unsupported_kind_or_a_bad_name_is_refused_before_any_request() -> None:
    """Fault 41."""
    cluster = FakeCluster(web())
    with pytest.raises(InvalidInput):
        await RolloutRestart().plan(context(cluster, "Pod"), TargetParams())
    with pytest.raises(InvalidInput):
        await RolloutRestart().plan(context(cluster, name=".."), TargetParams())
    with pytest.raises(InvalidInput):
        await RolloutUndo().plan(context(cluster, "CronJob"), UndoParams())
    assert cluster.calls == []


async def test_a_target_that_is_gone_is_not_found() -> None:
    with pytest.raises(KubeNotFound):
        await RolloutRestart().plan(context(FakeCluster()), TargetParams())


async def test_an_undo_without_a_healthy_revision_says_what_there_is() -> None:
    document = web()
    document["metadata"]["uid"] = "d1"
    document["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "1"}
    only = {
        "kind": "ReplicaSet",
        "metadata": {
            "name": "web-1",
            "labels": {"app": "web"},
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [{"uid": "d1", "controller": True}],
        },
        "spec": {"template": document["spec"]["template"]},
    }
    cluster = FakeCluster(document, only)
    with pytest.raises(PlanError, match=r"it has 1 \(current\)"):
        await RolloutUndo().plan(context(cluster), UndoParams())
    with pytest.raises(PlanError, match="no revision 7; it has 1"):
        await RolloutUndo().plan(context(cluster), UndoParams(to_revision=7))
    assert (await RolloutUndo().plan(context(cluster), UndoParams(to_revision=1))).empty


def restarted(cluster: FakeCluster) -> dict[str, Any]:
    document = cluster.objects["Deployment", "shop", "web"]
    notes = {"kubectl.kubernetes.io/restartedAt": format_time(START)}
    document["spec"]["template"]["metadata"]["annotations"] = notes
    return document


async def test_a_rollout_past_its_deadline_is_not_fixed_for_good() -> None:
    cluster = FakeCluster(web())
    plan = await RolloutRestart().plan(context(cluster), TargetParams())
    document = restarted(cluster)
    timed_out = {"type": "Progressing", "reason": "ProgressDeadlineExceeded"}
    document["status"]["conditions"] = [{**timed_out, "lastUpdateTime": format_time(START + 601)}]
    answer = await RolloutRestart().verify(context(cluster), plan, TargetParams())
    assert (answer.answer, answer.final) == (Answer.NOT_FIXED, True)
    assert "progress deadline" in answer.detail


async def test_the_deadline_that_the_bad_rollout_passed_does_not_end_the_one_that_mends_it() -> None:
    """The controller keeps the old condition until the new rollout makes progress, with the new generation."""
    cluster = FakeCluster(web(ready=0))
    plan = await RolloutRestart().plan(context(cluster), TargetParams())
    timed_out = {"type": "Progressing", "reason": "ProgressDeadlineExceeded"}
    document = restarted(cluster)
    document["status"]["conditions"] = [{**timed_out, "lastUpdateTime": format_time(START - 5)}]
    answer = await RolloutRestart().verify(context(cluster), plan, TargetParams())
    assert (answer.answer, answer.final) == (Answer.NOT_FIXED, False)


@pytest.mark.parametrize("action", [RolloutRestart(), RolloutUndo()])
async def test_what_is_switched_off_is_not_rolled_out_to_look_mended(action: Any) -> None:
    with pytest.raises(PlanError, match="switched off on purpose"):
        await action.plan(context(FakeCluster(web(0, 0))), action.params())


@pytest.mark.parametrize("params", [{"by": 2}, {"factor": 2.0}])
async def test_what_is_switched_off_is_not_switched_on_by_more_of_it(params: dict[str, Any]) -> None:
    """Fault 66."""
    with pytest.raises(PlanError, match="switched off"):
        await scaled(web(0, 0), **params)
    assert await scaled(web(0, 0), replicas=2) == 2


@pytest.mark.parametrize("action", [RolloutRestart(), RolloutUndo(), Scale()])
async def test_what_somebody_is_deleting_is_left_alone(action: Any) -> None:
    document = web()
    document["metadata"]["deletionTimestamp"] = format_time(START - 5)
    params = ScaleParams(by=1) if action.name == "scale" else action.params()
    with pytest.raises(PlanError, match="is being deleted"):
        await action.plan(context(FakeCluster(document)), params)


def replica_set(number: int, image: str, began: float, *, history: str = "") -> dict[str, Any]:
    notes = {"deployment.kubernetes.io/revision": str(number)}
    if history:
        notes["deployment.kubernetes.io/revision-history"] = history
    return {
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"web-{image}",
            "labels": {"app": "web"},
            "creationTimestamp": format_time(START + began),
            "annotations": notes,
            "ownerReferences": [{"uid": "d1", "controller": True}],
        },
        "spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}},
    }


def rolling_out(revision: int, image: str, *sets: dict[str, Any], pods: Any = ()) -> FakeCluster:
    """A Deployment whose newest revision has no ready pod, with its ReplicaSets and the states of its pods."""
    document = web(ready=0)
    document["metadata"] |= {"uid": "d1", "annotations": {"deployment.kubernetes.io/revision": str(revision)}}
    document["spec"]["template"] = {"spec": {"containers": [{"name": "main", "image": image}]}}
    document["status"]["conditions"] = [{"type": "Progressing", "reason": "ReplicaSetUpdated"}]
    cluster = FakeCluster(document, *sets)
    for number, (owner, status) in enumerate(pods):
        owners = [{"kind": "ReplicaSet", "name": owner, "controller": True}]
        meta = {"name": f"web-{number}", "labels": {"app": "web"}, "ownerReferences": owners}
        cluster.put({"kind": "Pod", "metadata": meta, "status": {"containerStatuses": [status]}})
    return cluster


STARTING = {"state": {"waiting": {"reason": "ContainerCreating"}}}
CRASHING = {"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
NO_IMAGE = {"state": {"waiting": {"reason": "ImagePullBackOff"}}}


@pytest.mark.parametrize("pods", [[], [("web-mend", STARTING), ("web-bad", CRASHING)]])
async def test_a_mend_that_somebody_has_just_rolled_out_is_not_undone(pods: Any) -> None:
    """The pods of the bad version before it still crash, and its own have not started yet."""
    sets = [replica_set(1, "good", -9 * DAY), replica_set(2, "bad", -700), replica_set(3, "mend", -10)]
    with pytest.raises(TemporaryError, match="may become ready yet") as caught:
        await RolloutUndo().plan(context(rolling_out(3, "mend", *sets, pods=pods)), UndoParams())
    # Longer than a step is tried again by itself: the evidence is gathered again, the scenario chosen again.
    assert caught.value.delay > RetryPolicy().total


@pytest.mark.parametrize(("began", "status"), [(-10, CRASHING), (-10, NO_IMAGE), (-61, STARTING)])
async def test_a_young_version_that_fails_and_one_that_had_its_time_are_undone(began: float, status: Any) -> None:
    sets = [replica_set(1, "good", -9 * DAY), replica_set(2, "bad", began)]
    plan = await RolloutUndo().plan(context(rolling_out(2, "bad", *sets, pods=[("web-bad", status)])), UndoParams())
    assert "back from revision 2 (bad) to 1 (good)" in plan.summary


async def test_what_was_rolled_back_is_not_rolled_back_further_by_the_next_alert() -> None:
    """Two alerts for one outage, or a cause that is none of the versions', would walk through the history."""
    sets = [
        replica_set(1, "old", -90 * DAY),
        replica_set(3, "bad", -700),
        replica_set(4, "good", -9 * DAY, history="2"),
    ]
    with pytest.raises(PlanError, match="rolled back already, to revision 4"):
        await RolloutUndo().plan(context(rolling_out(4, "good", *sets)), UndoParams())
    assert not (await RolloutUndo().plan(context(rolling_out(4, "good", *sets)), UndoParams(to_revision=1))).empty


async def test_a_version_that_its_controller_has_not_taken_up_is_looked_at_again() -> None:
    cluster = rolling_out(2, "bad", replica_set(2, "bad", -700))
    cluster.objects["Deployment", "shop", "web"]["metadata"]["generation"] = 9
    with pytest.raises(TemporaryError, match="not taken up"):
        await RolloutUndo().plan(context(cluster), UndoParams())


async def test_a_target_that_was_made_again_is_not_fixed_for_good() -> None:
    """Fault 27."""
    cluster = FakeCluster(web())
    plan = await Scale().plan(context(cluster), ScaleParams(by=1))
    cluster.objects["Deployment", "shop", "web"]["metadata"]["uid"] = "another"
    answer = await Scale().verify(context(cluster), plan, ScaleParams(by=1))
    assert (answer.answer, answer.final) == (Answer.NOT_FIXED, True)


def certificate(days: float, **conditions: str) -> dict[str, Any]:
    return {
        "kind": "Certificate",
        "metadata": {"name": "tls", "generation": 3},
        "spec": {"secretName": "tls"},
        "status": {
            "revision": 4,
            "notAfter": format_time(START + days * DAY),
            "conditions": [{"type": kind, "status": value} for kind, value in conditions.items()],
        },
    }


async def renewal(document: dict[str, Any], **params: Any) -> Any:
    return await CertificateRenew().plan(context(FakeCluster(document), "Certificate", "tls"), RenewParams(**params))


async def test_a_renewal_is_asked_for_as_cmctl_does() -> None:
    plan = await renewal(certificate(7, Ready="True"))
    change = plan.changes[0]
    assert change.subresource == "status"
    assert change.fields[0].after == [
        {"type": "Ready", "status": "True"},
        {
            "type": "Issuing",
            "status": "True",
            "reason": "ManuallyTriggered",
            "message": "Certificate re-issuance manually triggered",
            "lastTransitionTime": format_time(START),
            "observedGeneration": 3,
        },
    ]


async def test_a_certificate_that_lasts_or_is_being_issued_is_left_alone() -> None:
    assert (await renewal(certificate(60, Ready="True"))).empty
    assert (await renewal(certificate(7, Ready="True", Issuing="True"))).empty
    assert not (await renewal(certificate(60), unless_days_left=90)).empty


async def test_a_certificate_that_somebody_is_deleting_is_left_alone() -> None:
    document = certificate(7, Ready="True")
    document["metadata"]["deletionTimestamp"] = format_time(START)
    with pytest.raises(PlanError, match="is being deleted"):
        await renewal(document)


async def test_a_failed_issuance_is_not_fixed_for_good() -> None:
    cluster = FakeCluster(certificate(7, Ready="True"))
    run = context(cluster, "Certificate", "tls")
    plan = await CertificateRenew().plan(run, RenewParams())
    document = certificate(7, Ready="True", Issuing="False")
    document["metadata"]["uid"] = plan.changes[0].ref.uid
    document["status"]["lastFailureTime"] = format_time(START + 5)
    cluster.put(document)
    answer = await CertificateRenew().verify(run, plan, RenewParams())
    assert (answer.answer, answer.final) == (Answer.NOT_FIXED, True)
