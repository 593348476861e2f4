"""StatefulSets and DaemonSets are rolled back by less than Deployments show, and never to what is known to be bad."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.actions.rollout_pause import RolloutPause, RolloutResume
from bridge.actions.rollout_status import RolloutStatus
from bridge.actions.rollout_undo import RolloutUndo, UndoParams
from bridge.actions.workloads import TargetParams
from bridge.errors import PlanError, TemporaryError
from bridge.model.controller_revisions import controller_revisions_of, never_complete
from bridge.model.plan import Operation, Plan
from bridge.model.verification import Answer
from bridge.model.workload import format_time
from tests.support.acting import DAY, context, pod, web
from tests.support.clock import START
from tests.support.fake_cluster import FakeCluster


def template(image: str, **meta: Any) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"app": "web"}, **meta},
        "spec": {"containers": [{"name": "main", "image": image}]},
    }


def revision(number: int, image: str, born: float, **meta: Any) -> dict[str, Any]:
    """A ControllerRevision called after its image."""
    return {
        "kind": "ControllerRevision",
        "revision": number,
        "metadata": {
            "name": f"web-{image}",
            "labels": {"app": "web"},
            "creationTimestamp": format_time(START + born),
            "ownerReferences": [{"uid": "web-uid", "controller": True}],
        },
        "data": {"spec": {"template": {**template(image, **meta), "$patch": "replace"}}},
    }


def workload(image: str, *, kind: str = "StatefulSet", current: str = "", ready: int = 2) -> dict[str, Any]:
    """A workload whose newest template has that image; `current` is what the last complete rollout had."""
    document = {**web(ready=ready), "kind": kind}
    document["spec"]["template"] = template(image)
    if kind == "StatefulSet":
        document["status"] |= {"updateRevision": f"web-{image}", "currentRevision": f"web-{current or image}"}
    else:
        document["status"] |= {"desiredNumberScheduled": 3, "numberReady": ready}
    return document


def pod_of(name: str, image: str, *, kind: str = "StatefulSet", ready: bool = True, **more: Any) -> dict[str, Any]:
    mark = f"web-{image}" if kind == "StatefulSet" else image
    labels = {"controller-revision-hash": mark}
    return pod(name, owner=(kind, "web", "web-uid"), labels=labels, ready=ready, **more)


async def undone(*documents: Any, kind: str = "StatefulSet", **params: Any) -> Plan:
    return await RolloutUndo().plan(context(FakeCluster(*documents), kind), UndoParams(**params))


def judged(document: dict[str, Any], *kept: dict[str, Any], pods: Any = ()) -> list[tuple[int, str]]:
    return [(r.number, r.judgement) for r in controller_revisions_of(document, kept, list(pods))]


def test_what_has_ready_pods_or_was_complete_is_healthy_and_what_was_left_is_not() -> None:
    kept = [
        revision(1, "old", -90 * DAY),
        revision(2, "left", -50 * DAY),
        revision(5, "good", -60 * DAY),
        revision(6, "bad", -600),
        revision(7, "worse", -300),
    ]
    present = workload("worse", current="good")
    assert judged(present, *kept) == [
        (7, "current"),
        (6, "unproven"),
        (5, "complete"),
        (2, "abandoned"),
        (1, "proven"),
    ]
    ready = [pod_of("web-0", "bad")]
    assert judged(present, *kept, pods=ready)[1] == (6, "ready")
    others = [{**found, "metadata": {**found["metadata"], "ownerReferences": []}} for found in kept]
    assert judged(present, *others) == []


def test_the_first_revision_is_not_complete_for_being_named_so() -> None:
    """`currentRevision` begins with the first one, whether it ever ran or not."""
    assert judged(workload("bad", current="first"), revision(1, "first", -900), revision(2, "bad", -600)) == [
        (2, "current"),
        (1, "unproven"),
    ]


def test_whether_a_version_ever_ran_is_known_of_statefulsets_alone() -> None:
    def known(document: dict[str, Any], number: int = 2, pods: Any = ()) -> bool | None:
        found = controller_revisions_of(document, [revision(number, "new", -60)], list(pods))
        return never_complete(document, found[0])

    assert known(workload("new", current="old")) is True
    assert known(workload("new", current="old"), pods=[pod_of("web-2", "new")]) is False
    assert known(workload("new")) is False
    assert known(workload("new"), 1) is None
    assert known(workload("new", kind="DaemonSet")) is None


async def test_a_statefulset_goes_back_to_what_was_complete_and_its_stuck_pod_goes() -> None:
    """A StatefulSet does not replace a pod that never got ready: Kubernetes calls that a forced rollback."""
    kept = [revision(1, "old", -90 * DAY), revision(2, "good", -60 * DAY), revision(3, "bad", -600)]
    pods = [pod_of("web-0", "good"), pod_of("web-1", "good", ready=False), pod_of("web-2", "bad", ready=False)]
    plan = await undone(workload("bad", current="good", ready=1), *kept, *pods)
    assert [(c.operation, c.ref.name) for c in plan.changes] == [
        (Operation.PATCH, "web"),
        (Operation.DELETE, "web-2"),
    ]
    assert plan.changes[0].fields[0].after == template("good")
    assert "from revision 3 (bad) to 2 (good): it has 1 ready pods" in plan.summary
    # The pod that is ready is of the good revision already.
    assert plan.disruption.ready_pods == 0
    assert plan.notes == ()


async def test_going_back_to_what_is_not_known_to_be_healthy_says_so() -> None:
    plan = await undone(workload("bad", ready=0), revision(4, "before", -700), revision(5, "bad", -600))
    assert "to 4 (before)" in plan.summary
    assert "whether revision 4 was ever healthy is not known" in plan.notes[0]
    chosen = await undone(
        workload("bad", ready=0), revision(4, "before", -700), revision(5, "bad", -600), to_revision=4
    )
    assert chosen.notes == ()


async def test_what_was_left_by_going_back_is_never_gone_back_to() -> None:
    kept = [revision(3, "broken", -800), revision(4, "good", -9 * DAY), revision(5, "bad", -600)]
    assert "to 4 (good)" in (await undone(workload("bad", ready=0), *kept)).summary
    only = [revision(3, "good", -9 * DAY), revision(2, "broken", -800)]
    with pytest.raises(PlanError, match="rolled back already, to revision 3"):
        await undone(workload("good", ready=0), *only)
    first = [revision(1, "bad", -800)]
    with pytest.raises(PlanError, match=r"no healthy revision to go back to; it has 1 \(current\)"):
        await undone(workload("bad", ready=0), *first)


async def test_a_restart_of_the_bad_version_is_not_the_version_before() -> None:
    stamp = {"annotations": {"kubectl.kubernetes.io/restartedAt": "2030-01-01T00:00:00Z"}}
    document = workload("bad", ready=0)
    document["spec"]["template"] = template("bad", **stamp)
    restart = revision(3, "bad", -600, **stamp)
    same = {
        **revision(2, "bad", -700),
        "metadata": {**revision(2, "bad", -700)["metadata"], "name": "web-bad-before"},
    }
    plan = await undone(document, revision(1, "good", -9 * DAY), same, restart)
    assert "to 1 (good)" in plan.summary


async def test_a_daemonset_goes_back_and_counts_the_pods_that_it_replaces() -> None:
    kept = [revision(1, "good", -9 * DAY), revision(2, "bad", -600)]
    pods = [
        pod_of("web-a", "good", kind="DaemonSet"),
        pod_of("web-b", "bad", kind="DaemonSet"),
        pod_of("web-c", "bad", kind="DaemonSet", ready=False),
    ]
    plan = await undone(workload("bad", kind="DaemonSet", ready=2), *kept, *pods, kind="DaemonSet")
    assert (len(plan.changes), plan.disruption.ready_pods) == (1, 1)
    assert plan.changes[0].fields[1].pointer == "/metadata/generation"


async def test_a_young_version_is_given_its_time_and_a_failing_one_is_not() -> None:
    kept = [revision(1, "good", -9 * DAY), revision(2, "mend", -10)]
    document = workload("mend", current="good", ready=0)
    with pytest.raises(TemporaryError, match="may become ready yet"):
        await undone(document, *kept)
    crashing = pod_of("web-2", "mend", ready=False, state={"waiting": {"reason": "CrashLoopBackOff"}})
    assert (await undone(document, *kept, crashing)).changes


async def test_what_its_controller_has_not_taken_up_is_looked_at_again() -> None:
    document = workload("bad")
    document["status"]["updateRevision"] = "web-other"
    with pytest.raises(TemporaryError, match="not taken up"):
        await undone(document, revision(1, "good", -9 * DAY), revision(2, "bad", -600))


async def test_a_template_that_is_there_already_is_not_rolled_out_again() -> None:
    kept = [revision(1, "good", -9 * DAY), revision(2, "bad", -600)]
    assert (await undone(workload("bad"), *kept, to_revision=2)).empty
    with pytest.raises(PlanError, match="no revision 9; it has 2, 1"):
        await undone(workload("bad"), *kept, to_revision=9)


async def test_nulls_of_older_servers_are_not_taken_for_a_difference() -> None:
    kept = [revision(1, "good", -9 * DAY, creationTimestamp=None), revision(2, "bad", -600)]
    assert (await undone(workload("bad"), *kept)).changes[0].fields[0].after == template("good")
    document = workload("bad")
    document["spec"]["template"] = template("bad", creationTimestamp=None)
    after = (await undone(document, *kept)).changes[0].fields[0].after
    assert after == template("good", creationTimestamp=None)


# -- status, pause and resume


async def test_a_rollout_is_waited_for_until_it_is_complete() -> None:
    document = web(3, 1)
    plan = await RolloutStatus().plan(context(FakeCluster(document)), TargetParams())
    assert (plan.empty, plan.waits) == (True, True)
    answer = await RolloutStatus().verify(context(FakeCluster(document)), plan, TargetParams())
    assert (answer.answer, answer.final) == (Answer.NOT_FIXED, False)
    assert (await RolloutStatus().verify(context(FakeCluster(web())), plan, TargetParams())).answer is Answer.FIXED
    assert not (await RolloutStatus().plan(context(FakeCluster(web())), TargetParams())).waits


async def test_a_rollout_that_is_never_complete_by_itself_is_not_waited_for() -> None:
    with pytest.raises(PlanError, match="is paused"):
        await RolloutStatus().plan(context(FakeCluster(web(3, 1, paused=True))), TargetParams())


async def test_a_partition_is_complete_when_the_pods_above_it_are_new() -> None:
    document = workload("new", current="old", ready=3)
    document["status"]["updatedReplicas"] = 1
    document["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    assert not (await RolloutStatus().plan(context(FakeCluster(document), "StatefulSet"), TargetParams())).waits
    document["spec"]["updateStrategy"]["rollingUpdate"]["partition"] = 0
    assert (await RolloutStatus().plan(context(FakeCluster(document), "StatefulSet"), TargetParams())).waits


@pytest.mark.parametrize(("action", "before", "after"), [(RolloutPause(), None, True), (RolloutResume(), True, None)])
async def test_a_pause_and_a_resume_change_one_switch(action: Any, before: Any, after: Any) -> None:
    document = web(**({"paused": before} if before else {}))
    plan = await action.plan(context(FakeCluster(document)), TargetParams())
    assert [(f.pointer, f.before, f.after) for f in plan.changes[0].fields] == [("/spec/paused", before, after)]
    assert plan.disruption.ready_pods == 0
    other = web(**({"paused": after} if after else {}))
    assert (await action.plan(context(FakeCluster(other)), TargetParams())).empty
    assert (await action.verify(context(FakeCluster(document)), plan, TargetParams())).final
