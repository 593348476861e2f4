"""Which pods are taken away, and that no pod goes for good or by a selector that somebody else wrote."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.actions.pod_choice import PodParams
from bridge.actions.pod_remove import PodDelete, PodEvict
from bridge.errors import InvalidInput, PlanError
from bridge.kube.paths import label_selector
from bridge.model.plan import Operation, Plan, Undo
from bridge.model.verification import Answer
from tests.support.acting import context, pod, web
from tests.support.fake_cluster import FakeCluster

CRASHING = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}
OOM = {"lastState": {"terminated": {"reason": "OOMKilled"}}}
PODS = (
    pod("web-a", born=-50),
    pod("web-b", ready=False, born=-40, **CRASHING),
    pod("web-c", ready=False, born=-90),
    pod("web-d", born=-80, **OOM),
    pod("web-e", ready=False, leaving=True),
)


async def evicted(*documents: Any, **params: Any) -> Plan:
    cluster = FakeCluster(web(), *(documents or PODS))
    return await PodEvict().plan(context(cluster), PodParams(**params))


def names(plan: Plan) -> list[str]:
    return [change.ref.name for change in plan.changes]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (None, ["web-c", "web-b"]),
        ("not_ready", ["web-c", "web-b"]),
        ("crashlooping", ["web-b"]),
        ("oom_killed", ["web-d"]),
        ("all", ["web-c", "web-d", "web-a", "web-b"]),
    ],
)
async def test_pods_are_chosen_by_what_is_wrong_with_them_the_oldest_first(only: Any, expected: list[str]) -> None:
    plan = await evicted(only=only, at_most=9)
    assert names(plan) == expected
    assert {change.operation for change in plan.changes} == {Operation.EVICT}
    assert plan.notes == ("1 are ending already",)


async def test_no_more_pods_go_than_allowed_and_the_plan_says_so() -> None:
    plan = await evicted(only="all", at_most=2)
    assert names(plan) == ["web-c", "web-d"]
    assert plan.notes == ("1 are ending already", "2 more are left, beyond at_most")
    assert (plan.disruption.ready_pods, plan.disruption.percent) == (1, 25.0)


async def test_a_pod_that_is_not_ready_costs_nothing_and_one_that_recovers_is_left() -> None:
    plan = await evicted(at_most=1)
    assert plan.disruption.ready_pods == 0
    relied = {field.pointer: field.before for field in plan.changes[0].fields}
    assert relied["/status/conditions/0/status"] == "False"
    assert not any(field.change for field in plan.changes[0].fields)


async def test_nothing_that_is_to_go_is_said() -> None:
    plan = await evicted(pod("web-a"))
    assert plan.empty
    assert plan.summary == "none of the 1 pods of deployment/shop/web is to go"


async def test_a_named_pod_goes_also_when_it_is_ready() -> None:
    assert names(await evicted(pod="web-a")) == ["web-a"]
    cluster = FakeCluster(*PODS)
    assert names(await PodDelete().plan(context(cluster, "Pod", "web-d"), PodParams())) == ["web-d"]


async def test_pods_of_labels_are_chosen_among_all() -> None:
    dns = pod("dns-1", labels={"app": "dns", "tier": "infra"}, ready=False)
    assert names(await evicted(*PODS, dns, labels={"tier": "infra"})) == ["dns-1"]


@pytest.mark.parametrize("action", [PodEvict(), PodDelete()])
async def test_a_pod_that_nobody_makes_again_stays_unless_allowed(action: Any) -> None:
    cluster = FakeCluster(pod("web-x", owner=None))
    with pytest.raises(PlanError, match="no controller"):
        await action.plan(context(cluster), PodParams(pod="web-x"))
    plan = await action.plan(context(cluster), PodParams(pod="web-x", allow_bare=True))
    assert (names(plan), plan.undo) == (["web-x"], Undo.NONE)


async def test_the_mirror_of_a_static_pod_stays() -> None:
    mirror = pod("web-x", owner=("Node", "node-1", "n"))
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "abc"}
    with pytest.raises(PlanError, match="static pod"):
        await evicted(mirror, pod="web-x")


async def test_a_job_that_is_done_is_not_taken_for_broken() -> None:
    done = pod("web-job", ready=False)
    done["status"]["phase"] = "Succeeded"
    assert (await evicted(done)).empty


@pytest.mark.parametrize(
    "params",
    [
        {"labels": {}},
        {"labels": "app=web,tier in (x)"},
        {"labels": {"app": "web"}, "pod": "web-a"},
        {"labels": {"app": "web"}, "name": "web"},
        {"pod": "web-a", "name": "web"},
        {"at_most": 0},
        {"at_most": 51},
        {"only": "ready"},
    ],
)
def test_what_could_mean_all_pods_is_no_parameter(params: dict[str, Any]) -> None:
    """Fault 42."""
    with pytest.raises(ValidationError):
        PodParams(**params)


@given(st.text(min_size=1, max_size=80))
def test_a_label_cannot_add_terms_to_its_selector(value: str) -> None:
    """Fault 42."""
    try:
        selector = label_selector({"app": value})
    except InvalidInput:
        return
    assert selector == f"app={value}"
    assert not set(selector) & set(",()! ")


@pytest.mark.parametrize("name", ["..", "a/b", "", "%2e%2e", "--kubeconfig=/x"])
async def test_a_name_that_is_none_reaches_no_server(name: str) -> None:
    """Faults 41 and 43."""
    cluster = FakeCluster(*PODS)
    with pytest.raises(InvalidInput):
        await PodDelete().plan(context(cluster, "Pod", ".."), PodParams(pod=name or None))
    assert cluster.calls == []


# -- proof


def replica_set(ready: int) -> dict[str, Any]:
    return {
        "kind": "ReplicaSet",
        "metadata": {"name": "web-1", "uid": "rs-1"},
        "spec": {"replicas": 3},
        "status": {"readyReplicas": ready},
    }


async def test_pods_are_replaced_when_their_controller_has_what_it_wants() -> None:
    cluster = FakeCluster(web(), pod("web-b", ready=False), replica_set(2))
    plan = await PodEvict().plan(context(cluster), PodParams())

    async def answer() -> tuple[Answer, str]:
        found = await PodEvict().verify(context(cluster), plan, PodParams())
        assert not found.final
        return found.answer, found.detail

    assert await answer() == (Answer.NOT_FIXED, "pod/shop/web-b is still there")
    cluster.objects["Pod", "shop", "web-b"]["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    assert await answer() == (Answer.NOT_FIXED, "pod/shop/web-b is ending")
    del cluster.objects["Pod", "shop", "web-b"]
    assert await answer() == (Answer.NOT_FIXED, "replicaset/shop/web-1 has 2 of 3 pods ready")
    cluster.put(replica_set(3))
    assert (await answer())[0] is Answer.FIXED


async def test_a_pod_of_the_same_name_is_its_successor() -> None:
    owner = ("StatefulSet", "web", "sts")
    cluster = FakeCluster({**web(1, 0), "kind": "StatefulSet"}, pod("web-0", owner=owner, ready=False))
    plan = await PodDelete().plan(context(cluster, "StatefulSet"), PodParams())
    successor = pod("web-0", owner=owner)
    successor["metadata"]["uid"] = "another"
    cluster.put(successor)
    assert (await PodDelete().verify(context(cluster), plan, PodParams())).answer is Answer.NOT_FIXED
    cluster.put({**web(1, 1), "kind": "StatefulSet"})
    assert (await PodDelete().verify(context(cluster), plan, PodParams())).answer is Answer.FIXED
