"""Patches and selectors of the simulated cluster do what the API's types say."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.demo.patches import merge
from bridge.demo.quantities import canonical
from bridge.demo.selectors import field_predicate, label_predicate, matches_selector
from bridge.demo.status_errors import ApiError
from bridge.demo.strategic import strategic_merge


def pod_template(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


def merged(current: dict[str, Any], patch: dict[str, Any]) -> Any:
    return strategic_merge(pod_template(**current), pod_template(**patch))["spec"]["template"]["spec"]


WEB = {"name": "web", "image": "web:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
SIDECAR = {"name": "sidecar", "image": "proxy:1"}


def test_a_container_is_found_by_its_name_and_the_others_stay() -> None:
    found = merged({"containers": [WEB, SIDECAR]}, {"containers": [{"name": "web", "image": "web:2"}]})
    assert found["containers"] == [{**WEB, "image": "web:2"}, SIDECAR]


def test_variables_are_merged_by_name() -> None:
    patch = {"containers": [{"name": "web", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}]}
    found = merged({"containers": [WEB]}, patch)
    values = {entry["name"]: entry["value"] for entry in found["containers"][0]["env"]}
    assert values == {"A": "1", "B": "3", "C": "4"}


def test_an_item_goes_by_directive_and_a_field_by_null() -> None:
    patch = {"containers": [{"name": "sidecar", "$patch": "delete"}, {"name": "web", "env": None}]}
    assert merged({"containers": [WEB, SIDECAR]}, patch)["containers"] == [{"name": "web", "image": "web:1"}]


def test_lists_without_a_merge_key_are_replaced() -> None:
    current = {"tolerations": [{"key": "a"}], "containers": [{**WEB, "args": ["x", "y"]}]}
    patch = {"tolerations": [{"key": "b"}], "containers": [{"name": "web", "args": ["z"]}]}
    found = merged(current, patch)
    assert found["tolerations"] == [{"key": "b"}]
    assert found["containers"][0]["args"] == ["z"]


def test_ports_are_merged_by_number_in_containers_and_in_services() -> None:
    container = {"name": "web", "ports": [{"containerPort": 80, "name": "http"}]}
    patch = {"containers": [{"name": "web", "ports": [{"containerPort": 81}]}]}
    assert len(merged({"containers": [container]}, patch)["containers"][0]["ports"]) == 2
    service = {"spec": {"ports": [{"port": 80, "name": "http"}]}}
    changed = strategic_merge(service, {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}})
    assert changed["spec"]["ports"] == [{"port": 80, "name": "http", "targetPort": 8080}]


def test_conditions_are_merged_by_type() -> None:
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    patch = {"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "New", "status": "True"}]}}
    found = strategic_merge(status, patch)["status"]["conditions"]
    assert found == [{"type": "Ready", "status": "False"}, {"type": "New", "status": "True"}]


def test_an_order_is_kept_as_the_client_sets_it() -> None:
    patch = {"$setElementOrder/containers": [{"name": "sidecar"}, {"name": "web"}], "containers": [{"name": "web"}]}
    names = [entry["name"] for entry in merged({"containers": [WEB, SIDECAR]}, patch)["containers"]]
    assert names == ["sidecar", "web"]


def test_retained_keys_drop_the_rest_of_a_map() -> None:
    current = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(current, patch)["spec"]["strategy"] == {"type": "Recreate"}


def test_finalizers_are_a_set_from_which_a_client_can_take_one() -> None:
    current = {"metadata": {"finalizers": ["a", "b"]}}
    assert strategic_merge(current, {"metadata": {"finalizers": ["b", "c"]}})["metadata"]["finalizers"] == [
        "a",
        "b",
        "c",
    ]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert strategic_merge(current, patch)["metadata"]["finalizers"] == ["b"]


def test_an_item_without_its_merge_key_is_refused() -> None:
    with pytest.raises(ApiError) as refused:
        merged({"containers": [WEB]}, {"containers": [{"image": "x"}]})
    assert refused.value.status == 400


def test_patches_leave_what_they_patch_as_it_was() -> None:
    current = pod_template(containers=[WEB, SIDECAR])
    strategic_merge(current, pod_template(containers=[{"name": "web", "image": "web:2"}]))
    merge(current, {"spec": None})
    assert current == pod_template(containers=[WEB, SIDECAR])


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("2000m", "2"),
        ("1024Mi", "1Gi"),
        ("0.5", "500m"),
        ("1Gi", "1Gi"),
        ("1500", "1500"),
        ("1.5Gi", "1536Mi"),
        (2, "2"),
    ],
)
def test_quantities_are_written_back_in_their_canonical_form(given: object, written: str) -> None:
    assert canonical(given) == written


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=web", True),
        ("app==web,tier!=db", True),
        ("app in (api, web)", True),
        ("app notin (web)", False),
        ("tier", True),
        ("!tier", False),
        ("missing!=x", True),
        ("app=", False),
    ],
)
def test_label_selectors_choose_as_kubernetes_does(selector: str, expected: bool) -> None:
    predicate = label_predicate(selector)
    assert predicate is not None
    assert predicate({"metadata": {"labels": {"app": "web", "tier": "front"}}}) is expected


@pytest.mark.parametrize("selector", ["app in (", "app in web", "=x", "a b", "app>>1", ",", "app=we b", "a=b=c"])
def test_malformed_label_selectors_are_refused(selector: str) -> None:
    with pytest.raises(ApiError) as refused:
        label_predicate(selector)
    assert refused.value.status == 400


def test_field_selectors_know_which_fields_can_be_selected_by() -> None:
    predicate = field_predicate("pods", "status.phase=Running,metadata.name!=a")
    assert predicate is not None
    assert predicate({"metadata": {"name": "b"}, "status": {"phase": "Running"}})
    with pytest.raises(ApiError):
        field_predicate("configmaps", "status.phase=Running")


def test_selectors_of_objects_take_expressions() -> None:
    selector = {"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}
    assert matches_selector(selector, {"a": "1", "b": ""})
    assert not matches_selector(selector, {"a": "1"})
    assert not matches_selector(None, {})
