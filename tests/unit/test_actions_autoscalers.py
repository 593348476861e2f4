"""Autoscalers: bounds that never cross, and metrics of others that stay."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bridge.actions.hpa_create import HpaCreate, HpaCreateParams
from bridge.actions.hpa_patch import HpaParams, HpaPatch
from bridge.actions.scale import Scale, ScaleParams
from bridge.errors import InvalidInput, KubeNotFound, PlanError
from bridge.model.plan import Operation, Plan
from bridge.model.verification import Answer
from tests.support.acting import containers, context, pod, web
from tests.support.fake_cluster import FakeCluster

CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
QUEUE = {"type": "External", "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": "30"}}}


def hpa(*metrics: dict[str, Any], name: str = "auto", least: int = 2, most: int = 5, current: int = 3) -> Any:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": most, "metrics": list(metrics) or [CPU]}
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": spec,
        "status": {"currentReplicas": current},
    }


async def patched(*documents: Any, **params: Any) -> Plan:
    return await HpaPatch().plan(context(FakeCluster(web(), *documents)), HpaParams(**params))


def changes(plan: Plan) -> dict[str, Any]:
    return {field.pointer.removeprefix("/spec/"): field.after for field in plan.changes[0].fields if field.change}


async def test_the_autoscaler_of_a_workload_is_found_and_its_bounds_are_changed() -> None:
    plan = await patched(
        hpa(), hpa(name="other") | {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "x"}}}, max=10
    )
    assert (plan.changes[0].ref.name, changes(plan)) == ("auto", {"maxReplicas": 10})
    assert plan.disruption.ready_pods == 0
    assert (await patched(hpa(), max=5)).empty


async def test_the_autoscaler_itself_may_be_the_target() -> None:
    cluster = FakeCluster(hpa())
    plan = await HpaPatch().plan(context(cluster, "HorizontalPodAutoscaler", "auto"), HpaParams(min=3))
    assert changes(plan) == {"minReplicas": 3}


async def test_a_target_use_is_changed_where_it_is_and_other_metrics_stay() -> None:
    plan = await patched(hpa(QUEUE, CPU), utilization={"cpu": 60})
    assert changes(plan) == {"metrics/1/resource/target/averageUtilization": 60}
    relied = [(f.pointer, f.before) for f in plan.changes[0].fields if f.lasting]
    assert relied == [("/spec/metrics/1/resource/name", "cpu")]


async def test_a_metric_that_is_missing_is_added_to_the_others() -> None:
    plan = await patched(hpa(QUEUE, CPU), utilization={"cpu": 60, "memory": 75})
    metrics = changes(plan)["metrics"]
    assert metrics[0] == QUEUE
    assert [m["resource"]["target"]["averageUtilization"] for m in metrics[1:]] == [60, 75]


@pytest.mark.parametrize(
    ("document", "params", "why"),
    [
        (hpa(), {"min": 6}, "min 6 above max 5"),
        (hpa(least=3), {"max": 2, "allow_below_current": True}, "min 3 above max 2"),
        (hpa(current=5), {"max": 4}, "has 5 replicas now"),
        (hpa(most=20), {"max_by": 2}, "look for another cause"),
        (
            hpa({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue"}}}),
            {"utilization": {"cpu": 60}},
            "aims at a mean amount",
        ),
    ],
)
async def test_bounds_that_cross_or_end_pods_are_refused(document: Any, params: dict[str, Any], why: str) -> None:
    """Fault 66."""
    with pytest.raises(PlanError, match=why):
        await patched(document, **params)


async def test_more_room_is_clamped_and_says_so() -> None:
    """Fault 66."""
    plan = await patched(hpa(most=18), max_by=5)
    assert (changes(plan), plan.notes) == ({"maxReplicas": 20}, ("clamped from 23 to 20 (at_most)",))
    assert changes(await patched(hpa(current=5), max=4, allow_below_current=True)) == {"maxReplicas": 4}


async def test_without_an_autoscaler_or_with_two_it_says_what_to_do() -> None:
    with pytest.raises(PlanError, match="hpa_create"):
        await patched(max=10)
    with pytest.raises(PlanError, match="one of auto, auto2"):
        await patched(hpa(), hpa(name="auto2"), max=10)


@pytest.mark.parametrize(
    "params",
    [{}, {"max": 5, "max_by": 1}, {"max": 21}, {"min": 6, "max": 5}, {"min": 0}, {"utilization": {"disk": 5}}],
)
def test_wrong_bounds_are_errors(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HpaParams(**params)


async def test_bounds_are_proven_by_the_count_that_follows() -> None:
    cluster = FakeCluster(web(), hpa())
    plan = await HpaPatch().plan(context(cluster), HpaParams(min=5))
    document = cluster.objects["HorizontalPodAutoscaler", "shop", "auto"]
    document["spec"]["minReplicas"] = 5
    answer = await HpaPatch().verify(context(cluster), plan, HpaParams(min=5))
    assert (answer.answer, answer.final) == (Answer.NOT_FIXED, False)
    cluster.objects["Deployment", "shop", "web"]["spec"]["replicas"] = 5
    assert (await HpaPatch().verify(context(cluster), plan, HpaParams(min=5))).answer is Answer.FIXED
    document["spec"]["minReplicas"] = 2
    answer = await HpaPatch().verify(context(cluster), plan, HpaParams(min=5))
    assert (answer.answer, answer.final) == (Answer.NOT_FIXED, True)


# -- a new one

MEASURED = {"name": "main", "image": "web:1", "resources": {"requests": {"cpu": "100m"}}}


async def created(*documents: Any, **params: Any) -> Plan:
    return await HpaCreate().plan(context(FakeCluster(*documents)), HpaCreateParams(**params))


async def test_a_workload_gets_an_autoscaler_of_its_name() -> None:
    plan = await created(containers(MEASURED), min=3, max=10)
    change = plan.changes[0]
    assert (change.operation, change.ref.name) == (Operation.CREATE, "web")
    assert change.manifest is not None
    assert change.manifest["spec"]["metrics"] == [CPU]
    assert change.manifest["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}


@pytest.mark.parametrize(
    ("documents", "params", "why"),
    [
        ([containers(MEASURED), hpa()], {"min": 1, "max": 9}, "change it by `hpa_patch`"),
        ([containers({"name": "main"})], {"min": 1, "max": 9}, "requests no CPU"),
        ([containers(MEASURED)], {"min": 1, "max": 2}, "would end some"),
    ],
)
async def test_an_autoscaler_that_could_not_work_is_not_made(documents: Any, params: Any, why: str) -> None:
    with pytest.raises(PlanError, match=why):
        await created(*documents, **params)


async def test_an_autoscaler_that_is_there_already_is_enough() -> None:
    assert (await created(containers(MEASURED), hpa(), min=2, max=5)).empty


# -- scale of other kinds


def rollout(**spec: Any) -> dict[str, Any]:
    return {
        "kind": "Rollout",
        "metadata": {"name": "web"},
        "spec": {"replicas": 3, **spec},
        "status": {"replicas": 3},
    }


async def test_another_kind_is_scaled_by_its_scale_subresource() -> None:
    params = ScaleParams(api_version="argoproj.io/v1alpha1", kind="Rollout", by=-2)
    cluster = FakeCluster(rollout())
    plan = await Scale().plan(context(cluster), params)
    change = plan.changes[0]
    assert (change.subresource, change.ref.api_version, change.fields[0].after) == (
        "scale",
        "argoproj.io/v1alpha1",
        1,
    )
    assert plan.disruption.ready_pods == 2
    asked = {(p.group, p.resource, p.verbs) for p in Scale().permissions("Deployment", params.model_dump())}
    assert ("argoproj.io", "rollouts/scale", ("patch",)) in asked


async def test_what_has_no_count_cannot_be_scaled() -> None:
    document = rollout()
    del document["spec"]["replicas"]
    params = ScaleParams(api_version="argoproj.io/v1alpha1", kind="Rollout", replicas=2)
    with pytest.raises(InvalidInput, match=r"no spec\.replicas"):
        await Scale().plan(context(FakeCluster(document)), params)
    with pytest.raises(InvalidInput, match="not supported"):
        await Scale().plan(context(FakeCluster(document), "DaemonSet"), ScaleParams(replicas=2))
    with pytest.raises(ValidationError, match="of which kind"):
        ScaleParams(api_version="argoproj.io/v1alpha1", replicas=2)


async def test_what_is_switched_off_is_done_when_its_last_pod_is_gone() -> None:
    """A restore that starts while a writer still ends would be written over."""
    params = ScaleParams(replicas=0, min=0, allow_zero=True)
    cluster = FakeCluster(web(), pod("web-1", leaving=True))
    plan = await Scale().plan(context(cluster), params)
    cluster.objects["Deployment", "shop", "web"]["spec"]["replicas"] = 0
    answer = await Scale().verify(context(cluster), plan, params)
    assert (answer.answer, answer.detail) == (Answer.NOT_FIXED, "1 pods are still ending")
    del cluster.objects["Pod", "shop", "web-1"]
    assert (await Scale().verify(context(cluster), plan, params)).answer is Answer.FIXED


async def test_where_autoscalers_are_not_served_scaling_works() -> None:
    cluster = FakeCluster(web())
    cluster.errors["list", "HorizontalPodAutoscaler"] = KubeNotFound("not served")
    assert (await Scale().plan(context(cluster), ScaleParams(by=1))).changes
