"""Resources, environment and image of one container: what is refused, and that its neighbours are left alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.actions.set_env import EnvParams, SetEnv
from bridge.actions.set_image import ImageParams, SetImage
from bridge.actions.set_resources import ResourceParams, SetResources
from bridge.engine.apply import ChangeApplier
from bridge.errors import InvalidInput, PlanError, PlanStale
from bridge.model.plan import Operation, Plan
from bridge.model.quantity import parse_quantity
from bridge.model.verification import Answer
from tests.support.acting import containers, context, pod
from tests.support.fake_cluster import FakeCluster

SIDECAR = {"name": "proxy", "image": "envoy:1", "resources": {"limits": {"memory": "64Mi"}}}


def app(**more: Any) -> dict[str, Any]:
    return {"name": "app", "image": "registry.example/shop/web:1.4", **more}


async def resources(document: dict[str, Any], **params: Any) -> Plan:
    return await SetResources().plan(context(FakeCluster(document)), ResourceParams(**params))


async def env(document: dict[str, Any], **params: Any) -> Plan:
    return await SetEnv().plan(context(FakeCluster(document)), EnvParams(**params))


async def image(document: dict[str, Any], **params: Any) -> Plan:
    return await SetImage().plan(context(FakeCluster(document)), ImageParams(**params))


def afters(plan: Plan) -> list[Any]:
    return [field.after for field in plan.changes[0].fields if field.change]


async def made(cluster: FakeCluster, plan: Plan) -> dict[str, Any]:
    await ChangeApplier(cluster).apply(plan.changes[0], remediation="rem-1")
    spec: dict[str, Any] = cluster.objects["Deployment", "shop", "web"]["spec"]["template"]["spec"]
    return spec


async def test_one_container_is_changed_and_its_neighbour_is_not_lost() -> None:
    """A merge patch replaces lists: the whole one is sent, as it was read."""
    cluster = FakeCluster(containers(SIDECAR, app()))
    plan = await SetImage().plan(context(cluster), ImageParams(container="app", tag="1.5"))
    spec = await made(cluster, plan)
    assert spec["containers"] == [SIDECAR, app(image="registry.example/shop/web:1.5")]


async def test_a_list_that_was_reordered_meanwhile_is_not_written_into() -> None:
    cluster = FakeCluster(containers(app(), SIDECAR))
    plan = await SetResources().plan(context(cluster), ResourceParams(container="app", requests={"memory": "32Mi"}))
    cluster.put(containers(SIDECAR, app()))
    with pytest.raises(PlanStale, match="containers/0/name"):
        await made(cluster, plan)


async def test_an_undo_does_not_write_into_a_list_that_was_reordered_since() -> None:
    cluster = FakeCluster(containers(app(), SIDECAR))
    plan = await SetResources().plan(context(cluster), ResourceParams(container="app", requests={"memory": "32Mi"}))
    await made(cluster, plan)
    twin = {**SIDECAR, "resources": {"requests": {"memory": "32Mi"}}}
    cluster.put(containers(twin, app()))
    inverse = plan.changes[0].inverse
    assert inverse is not None
    with pytest.raises(PlanStale, match="containers/0/name"):
        await ChangeApplier(cluster).apply(inverse, remediation="rem-1")


async def test_which_of_several_containers_is_meant_has_to_be_said() -> None:
    with pytest.raises(PlanError, match="one of proxy, app"):
        await image(containers(SIDECAR, app()), tag="2")
    with pytest.raises(PlanError, match="no container 'web'; it has proxy, app, setup"):
        await image(containers(SIDECAR, app(), initContainers=[{"name": "setup"}]), container="web", tag="2")
    plan = await image(
        containers(app(), initContainers=[{"name": "setup", "image": "setup:1"}]), container="setup", tag="2"
    )
    assert plan.changes[0].fields[0].pointer == "/spec/template/spec/initContainers/0/image"


# -- resources


async def test_a_limit_is_raised_and_written_as_the_server_writes_it() -> None:
    document = containers(app(resources={"limits": {"memory": "512Mi"}, "requests": {"memory": "256Mi"}}))
    plan = await resources(document, limits={"memory": "1024Mi"})
    assert afters(plan) == ["1Gi"]
    assert "memory limits from 512Mi to 1Gi" in plan.summary
    assert plan.disruption.ready_pods == 3


async def test_the_same_worth_in_other_words_changes_nothing() -> None:
    document = containers(app(resources={"limits": {"cpu": "2", "memory": "1Gi"}}))
    assert (await resources(document, limits={"cpu": "2000m", "memory": "1024Mi"})).empty


@pytest.mark.parametrize(
    ("present", "wanted", "why"),
    [
        ({"limits": {"memory": "2Gi"}}, {"limits": {"memory": "1Gi"}}, "would fall from 2Gi to 1Gi"),
        ({}, {"limits": {"memory": "1Gi"}}, "there is none now"),
        ({"requests": {"memory": "2Gi"}}, {"limits": {"memory": "1Gi"}, "allow_lower": True}, "would request more"),
        ({"limits": {"cpu": "1"}}, {"requests": {"cpu": "1500m"}}, "would request more cpu"),
    ],
)
async def test_a_limit_does_not_fall_below_what_is_there_or_requested(
    present: dict[str, Any], wanted: dict[str, Any], why: str
) -> None:
    with pytest.raises(PlanError, match=why):
        await resources(containers(app(resources=present)), **wanted)


async def test_a_limit_may_be_lowered_when_that_is_said() -> None:
    document = containers(app(resources={"limits": {"memory": "2Gi"}}))
    assert afters(await resources(document, limits={"memory": "1Gi"}, allow_lower=True)) == ["1Gi"]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"limits": {"memory": "9Gi"}},
        {"requests": {"cpu": "4001m"}},
        {"limits": {"memory": "17Gi"}, "max_memory": "16Gi"},
        {"limits": {"memory": "0"}},
        {"limits": {"memory": "lots"}},
        {"limits": {"disk": "1Gi"}},
    ],
)
def test_nothing_above_the_maxima_or_without_sense_is_taken(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ResourceParams(**params)


MEMORY = st.sampled_from(["64Mi", "100M", "512Mi", "0.5Gi", "1Gi", "1500Mi", "2Gi", "4Gi", "8Gi", "9Gi", "1Ti"])


@given(MEMORY, MEMORY, MEMORY, st.booleans())
async def test_what_is_planned_is_within_the_maximum_and_never_lower_unless_told(
    request: str, present: str, wanted: str, allow_lower: bool
) -> None:
    document = containers(app(resources={"requests": {"memory": request}, "limits": {"memory": present}}))
    try:
        params = ResourceParams(limits={"memory": wanted}, allow_lower=allow_lower)
        plan = await SetResources().plan(context(FakeCluster(document)), params)
    except (ValidationError, PlanError):
        return
    for after in afters(plan) if plan.changes else []:
        assert parse_quantity(request) <= parse_quantity(after) <= parse_quantity("8Gi")
        assert allow_lower or parse_quantity(after) > parse_quantity(present)


# -- environment

ENV = [
    {"name": "MODE", "value": "fast"},
    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "web", "key": "token"}}},
    {"name": "TARGET", "value": "$(MODE).example"},
]


async def test_variables_are_set_added_and_removed_in_their_order() -> None:
    plan = await env(containers(app(env=ENV)), set={"MODE": "safe", "RETRIES": 3, "DEBUG": True}, remove=["TARGET"])
    assert afters(plan) == [
        [
            {"name": "MODE", "value": "safe"},
            ENV[1],
            {"name": "RETRIES", "value": "3"},
            {"name": "DEBUG", "value": "true"},
        ]
    ]


async def test_what_a_secret_gives_is_not_overwritten() -> None:
    with pytest.raises(PlanError, match="comes from elsewhere"):
        await env(containers(app(env=ENV)), set={"TOKEN": "hunter2"})
    assert afters(await env(containers(app(env=ENV)), remove=["TOKEN"])) == [[ENV[0], ENV[2]]]


async def test_a_variable_that_is_there_twice_is_for_a_person() -> None:
    with pytest.raises(PlanError, match="twice"):
        await env(containers(app(env=[ENV[0], ENV[0]])), set={"MODE": "x"})


async def test_an_environment_that_is_so_already_changes_nothing() -> None:
    assert (await env(containers(app(env=ENV)), set={"MODE": "fast"}, remove=["NEVER"])).empty
    assert afters(await env(containers(app(env=ENV[:1])), remove=["MODE"])) == [None]


@pytest.mark.parametrize(
    "params",
    [{}, {"set": {"A=B": "x"}}, {"set": {"A": None}}, {"set": {"A": "x"}, "remove": ["A"]}, {"remove": [""]}],
)
def test_wrong_variables_are_errors(params: dict[str, Any]) -> None:
    """Fault 43."""
    with pytest.raises(ValidationError):
        EnvParams(**params)


# -- image


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"tag": "1.5"}, "registry.example/shop/web:1.5"),
        ({"image": "registry.example/shop/web:1.5"}, "registry.example/shop/web:1.5"),
        ({"image": "registry.example/shop/web@sha256:" + "0" * 64}, "registry.example/shop/web@sha256:" + "0" * 64),
        ({"tag": "latest", "allow_latest": True}, "registry.example/shop/web:latest"),
        ({"image": "other:5000/web:2", "allow_repository": True}, "other:5000/web:2"),
    ],
)
async def test_an_image_is_set_by_tag_or_digest(params: dict[str, Any], expected: str) -> None:
    assert afters(await image(containers(app()), **params)) == [expected]


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"tag": "latest"}, "does not say which version"),
        ({"image": "registry.example/shop/web"}, "does not say which version"),
        ({"image": "evil.example/miner:1.0"}, "is not from registry.example/shop/web"),
    ],
)
async def test_an_image_that_nobody_can_name_or_from_elsewhere_is_refused(params: dict[str, Any], why: str) -> None:
    with pytest.raises(PlanError, match=why):
        await image(containers(app()), **params)


@pytest.mark.parametrize(
    "text", ["web:1 --privileged", "web:1;rm", "WEB:1", "web::1", "", "../x:1", "web:1\n", "-x:1"]
)
async def test_what_is_no_image_reference_is_refused(text: str) -> None:
    """Fault 43."""
    with pytest.raises(InvalidInput):
        await image(containers(app()), image=text)


@pytest.mark.parametrize("params", [{}, {"image": "a:1", "tag": "1"}])
def test_an_image_is_given_in_one_way(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImageParams(**params)


# -- what the three share


async def test_a_template_that_nobody_would_roll_out_is_not_changed() -> None:
    paused, idle, by_hand = containers(app()), containers(app(), ready=0), containers(app(), kind="DaemonSet")
    paused["spec"]["paused"] = True
    idle["spec"]["replicas"] = 0
    by_hand["spec"]["updateStrategy"] = {"type": "OnDelete"}
    by_hand["status"]["desiredNumberScheduled"] = 3
    with pytest.raises(PlanError, match="is paused"):
        await image(paused, tag="2")
    with pytest.raises(PlanError, match="no pods"):
        await image(idle, tag="2")
    with pytest.raises(PlanError, match="OnDelete"):
        await SetImage().plan(context(FakeCluster(by_hand), "DaemonSet"), ImageParams(tag="2"))


async def test_pods_that_would_hold_a_statefulset_up_go_with_the_change() -> None:
    document = containers(app(), kind="StatefulSet", ready=1)
    document["metadata"]["uid"] = "sts"
    owner = ("StatefulSet", "web", "sts")
    pods = [
        pod("web-0", owner=owner),
        pod("web-1", owner=owner, ready=False),
        pod("web-2", owner=owner, ready=False, leaving=True),
        pod("other-0", ready=False),
    ]
    plan = await SetImage().plan(context(FakeCluster(document, *pods), "StatefulSet"), ImageParams(tag="2"))
    assert [(c.operation, c.ref.name) for c in plan.changes] == [
        (Operation.PATCH, "web"),
        (Operation.DELETE, "web-1"),
    ]
    assert plan.disruption.ready_pods == 1
    document["spec"]["podManagementPolicy"] = "Parallel"
    plan = await SetImage().plan(context(FakeCluster(document, *pods), "StatefulSet"), ImageParams(tag="2"))
    assert len(plan.changes) == 1


async def test_what_somebody_set_differently_since_is_not_fixed_for_good() -> None:
    cluster = FakeCluster(containers(app()))
    plan = await SetImage().plan(context(cluster), ImageParams(tag="1.5"))
    await made(cluster, plan)
    assert (await SetImage().verify(context(cluster), plan, ImageParams(tag="1.5"))).answer is Answer.FIXED
    cluster.put(containers(app(image="registry.example/shop/web:1.6")))
    answer = await SetImage().verify(context(cluster), plan, ImageParams(tag="1.5"))
    assert (answer.answer, answer.final) == (Answer.NOT_FIXED, True)
