"""What a server-side apply would change, held against the simulated server that replays a real one's recordings."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.demo.serverside import apply_configuration, typed_merge
from bridge.demo.status_errors import ApiError
from bridge.model.apply_merge import changes, configuration_of, conflicts, given_up, is_built_in, merged, without
from bridge.model.plan import write_pointer

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "main",
                        "image": "web:1",
                        "env": [{"name": "A", "value": "1"}],
                        "ports": [{"containerPort": 80, "protocol": "TCP"}],
                        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                    },
                    {"name": "side", "image": "side:1"},
                ]
            }
        },
    },
    "status": {"replicas": 2},
}


def applied(manifest: dict[str, Any], current: dict[str, Any] = DEPLOYMENT) -> dict[str, Any]:
    return merged(current, configuration_of(manifest), current["apiVersion"])


def container(**fields: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", **fields}]}}}}


def test_a_list_with_keys_is_merged_item_by_item_and_keeps_the_sidecar() -> None:
    after = applied(container(image="web:2", env=[{"name": "B", "value": "2"}]))
    main, side = after["spec"]["template"]["spec"]["containers"]
    assert main["image"] == "web:2"
    assert main["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert main["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert side == {"name": "side", "image": "side:1"}
    assert [field.pointer for field in changes(DEPLOYMENT, after)] == ["/spec/template/spec/containers"]


@pytest.mark.parametrize(
    "manifest",
    [
        container(resources={"limits": {"cpu": "1000m", "memory": "1024Mi"}}),
        container(ports=[{"containerPort": 80}]),
        {"spec": {"replicas": 2, "paused": False}},
        {"spec": {"strategy": None}},
        {"metadata": {"name": "web", "labels": {"app": "web"}, "creationTimestamp": None}, "status": {"replicas": 9}},
    ],
)
def test_what_the_server_has_already_in_its_own_writing_is_no_change(manifest: dict[str, Any]) -> None:
    assert changes(DEPLOYMENT, applied(manifest)) == []


def test_lists_of_a_custom_kind_are_replaced_as_wholes() -> None:
    current = {
        "apiVersion": "x.io/v1",
        "kind": "X",
        "metadata": {"name": "x"},
        "spec": {"containers": [{"name": "a"}]},
    }
    after = applied({"spec": {"containers": [{"name": "b"}]}}, current)
    assert after["spec"]["containers"] == [{"name": "b"}]
    assert [is_built_in(v) for v in ("v1", "apps/v1", "networking.k8s.io/v1", "networking.istio.io/v1")] == [
        True, True, True, False,
    ]  # fmt: skip
    assert not is_built_in("gateway.networking.k8s.io/v1")


def test_a_map_whose_keys_people_choose_is_no_list_of_a_type() -> None:
    current = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"env": "a"}}
    assert applied({"data": {"env": "b"}}, current)["data"] == {"env": "b"}


def _managed(current: dict[str, Any], config: dict[str, Any], manager: str, *, force: bool = True) -> dict[str, Any]:
    return apply_configuration(
        copy.deepcopy(current),
        config,
        manager=manager,
        force=force,
        api_version=current["apiVersion"],
        now="2026-01-01T00:00:00Z",
        kind=current["kind"],
    )


def test_a_field_of_another_manager_is_named_and_one_of_ours_is_told_apart() -> None:
    current = _managed(DEPLOYMENT, {"spec": {"replicas": 2}}, "kubectl")
    current = _managed(current, container(image="web:1"), "alertbridge")
    wanted = {"spec": {"replicas": 3, **container(image="web:2")["spec"]}}
    found = conflicts(current, wanted, "apps/v1", manager="alertbridge")
    assert [(each.manager, each.field) for each in found] == [("kubectl", "spec.replicas")]
    assert conflicts(current, {"spec": {"replicas": 2}}, "apps/v1", manager="alertbridge") == []


def test_what_was_applied_before_and_is_left_out_now_goes() -> None:
    first = {"metadata": {"labels": {"team": "a"}}, "spec": {"replicas": 3, "minReadySeconds": 5}}
    current = _managed(DEPLOYMENT, first, "alertbridge")
    second = configuration_of({"spec": {"replicas": 3}})
    gone = given_up(current, second, manager="alertbridge")
    assert sorted(gone) == [("metadata", "labels", "team"), ("spec", "minReadySeconds")]
    after = without(merged(current, second, "apps/v1"), gone)
    assert {field.pointer for field in changes(current, after)} == {"/metadata/labels/team", "/spec/minReadySeconds"}


_VALUES = st.sampled_from(["1", "2", "x"])
_ENV = st.lists(st.sampled_from("ABCD"), unique=True, max_size=3).flatmap(
    lambda names: st.tuples(*(st.fixed_dictionaries({"name": st.just(n), "value": _VALUES}) for n in names)).map(list)
)
_CONTAINERS = st.lists(st.sampled_from(["main", "side", "new"]), unique=True, min_size=1, max_size=3).flatmap(
    lambda names: st.tuples(
        *(
            st.fixed_dictionaries(
                {"name": st.just(n)},
                optional={
                    "image": _VALUES,
                    "env": _ENV,
                    "args": st.lists(_VALUES, min_size=1, max_size=2),
                    "ports": st.lists(st.sampled_from([80, 81]), unique=True, min_size=1).map(
                        lambda ports: [{"containerPort": port, "protocol": "TCP"} for port in ports]
                    ),
                },
            )
            for n in names
        )
    ).map(list)
)
_CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries({"labels": st.dictionaries(st.sampled_from("ab"), _VALUES, min_size=1)}),
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "replicas": st.integers(1, 5),
                "selector": st.just({"matchLabels": {"app": "other"}}),
                "template": st.builds(lambda items: {"spec": {"containers": items}}, _CONTAINERS),
            },
        ),
    },
)


@settings(max_examples=150, deadline=None)
@given(config=_CONFIGS)
def test_the_merge_is_the_servers(config: dict[str, Any]) -> None:
    theirs = typed_merge(copy.deepcopy(DEPLOYMENT), config, (), "Deployment")
    assert applied(config) == theirs


@settings(max_examples=100, deadline=None)
@given(config=_CONFIGS)
def test_the_fields_lead_from_one_to_the_other_and_back(config: dict[str, Any]) -> None:
    after = applied(config)
    fields = changes(DEPLOYMENT, after)
    there, back = copy.deepcopy(DEPLOYMENT), copy.deepcopy(after)
    for field in fields:
        write_pointer(there, field.pointer, field.after)
        write_pointer(back, field.pointer, field.before)
    assert there == after
    assert back == DEPLOYMENT


@settings(max_examples=150, deadline=None)
@given(theirs=_CONFIGS, ours=_CONFIGS)
def test_a_conflict_is_foreseen_exactly_when_the_server_refuses(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    current = _managed(DEPLOYMENT, theirs, "kubectl") if theirs else copy.deepcopy(DEPLOYMENT)
    foreseen = conflicts(current, configuration_of(ours), "apps/v1", manager="alertbridge")
    try:
        _managed(current, ours, "alertbridge", force=False)
        refused = False
    except ApiError:
        refused = True
    assert bool(foreseen) == refused
