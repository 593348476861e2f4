"""The three-way merge: what Helm changes is changed, and what others put there stays."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.plan import read_pointer, write_pointer
from bridge.model.three_way import fields_between, is_built_in, three_way

Doc = dict[str, Any]


def pod(*containers: Doc, **spec: Any) -> Doc:
    return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": list(containers), **spec}}}}


def box(name: str, image: str = "a:1", **more: Any) -> Doc:
    return {"name": name, "image": image, **more}


def merged(old: Doc, new: Doc, live: Doc) -> Doc:
    return three_way(old, new, live, built_in=True)["spec"]["template"]["spec"]


def test_an_image_changes_and_the_servers_defaults_stay() -> None:
    live = pod(box("main", "a:2", imagePullPolicy="Always", resources={}), dnsPolicy="ClusterFirst")
    found = merged(pod(box("main", "a:2")), pod(box("main", "a:1")), live)
    assert found == {
        "containers": [box("main", "a:1", imagePullPolicy="Always", resources={})],
        "dnsPolicy": "ClusterFirst",
    }


def test_a_sidecar_that_somebody_injected_stays_behind_its_neighbour() -> None:
    live = pod(box("main", "a:2"), box("proxy", "p:1"), box("extra", "e:1"))
    old, new = pod(box("main", "a:2"), box("extra", "e:1")), pod(box("main"), box("more"))
    assert merged(old, new, live)["containers"] == [box("main"), box("proxy", "p:1"), box("more")]


def test_env_and_volumes_are_merged_by_their_keys() -> None:
    old = pod(box("main", env=[{"name": "A", "value": "2"}, {"name": "B", "value": "x"}]))
    new = pod(box("main", env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]))
    live = pod(
        box("main", env=[{"name": "OWN", "value": "1"}, *old["spec"]["template"]["spec"]["containers"][0]["env"]])
    )
    (container,) = merged(old, new, live)["containers"]
    assert container["env"] == [
        {"name": "OWN", "value": "1"},
        {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]


def test_a_volume_of_another_sort_loses_what_it_was() -> None:
    old = pod(volumes=[{"name": "v", "configMap": {"name": "c"}}])
    new = pod(volumes=[{"name": "v", "secret": {"secretName": "s"}}])
    live = pod(volumes=[{"name": "v", "configMap": {"name": "c", "defaultMode": 420}}])
    assert merged(old, new, live)["volumes"] == [{"name": "v", "secret": {"secretName": "s"}}]
    assert merged(old, old, live)["volumes"] == live["spec"]["template"]["spec"]["volumes"]


def test_a_strategy_of_another_sort_loses_its_limits() -> None:
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}}}
    found = three_way({"spec": {}}, {"spec": {"strategy": {"type": "Recreate"}}}, live, built_in=True)
    assert found["spec"]["strategy"] == {"type": "Recreate"}


def test_one_port_under_two_protocols_is_two_ports() -> None:
    ports = [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
    live = {"spec": {"ports": [{**port, "nodePort": 30000 + n} for n, port in enumerate(ports)]}}
    found = three_way({"spec": {"ports": ports}}, {"spec": {"ports": ports[:1]}}, live, built_in=True)
    assert found["spec"]["ports"] == [{"port": 53, "protocol": "TCP", "nodePort": 30000}]


def test_a_services_address_is_left_to_the_server() -> None:
    said = {"spec": {"clusterIP": "", "ports": [{"port": 80}]}}
    live = {"spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP"}]}}
    assert three_way(said, said, live, built_in=True) == live


def test_lists_without_a_key_are_one_value() -> None:
    old, new = pod(box("main", args=["a", "b"])), pod(box("main", args=["b"]))
    assert merged(old, new, old)["containers"][0]["args"] == ["b"]
    rules = [{"host": "a", "http": {"paths": [{"path": "/", "pathType": "Prefix"}]}}]
    live = {"spec": {"rules": [{**rules[0], "added": "by the server"}]}}
    assert three_way({"spec": {"rules": rules}}, {"spec": {"rules": rules}}, live, built_in=True) == live


def test_a_quantity_in_other_words_is_no_change() -> None:
    said = pod(box("main", resources={"limits": {"cpu": "1000m", "memory": "1024Mi"}}))
    live = pod(box("main", resources={"limits": {"cpu": "1", "memory": "1Gi"}}))
    assert merged(said, said, live) == live["spec"]["template"]["spec"]
    more = pod(box("main", resources={"limits": {"cpu": 2, "memory": "2048Mi"}}))
    limits = merged(said, more, live)["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "2", "memory": "2Gi"}


def test_what_the_server_does_not_write_down_is_no_change() -> None:
    said = pod(box("main", env=[{"name": "A", "value": ""}], command=[], securityContext={}))
    live = pod(box("main", env=[{"name": "A"}]))
    assert merged(said, said, live) == live["spec"]["template"]["spec"]


def test_what_the_manifest_says_null_to_goes_but_for_the_servers_own() -> None:
    new = {"metadata": {"creationTimestamp": None, "annotations": {"a": None}}, "status": {}}
    live = {"metadata": {"creationTimestamp": "now", "annotations": {"a": "1", "b": "2"}}, "status": {"x": 1}}
    assert three_way({}, new, live, built_in=True) == {
        "metadata": {"creationTimestamp": "now", "annotations": {"b": "2"}},
        "status": {"x": 1},
    }


def test_a_secrets_texts_are_its_data() -> None:
    live = {"kind": "Secret", "data": {"own": "eA=="}}
    found = three_way({}, {"kind": "Secret", "stringData": {"a": "x"}}, live, built_in=True)
    assert found["data"] == {"own": "eA==", "a": "eA=="}


def test_custom_kinds_get_what_differs_between_the_manifests_alone() -> None:
    old, new = {"spec": {"a": 1, "list": [1, 2]}}, {"spec": {"a": 1, "list": [2]}}
    live = {"spec": {"a": 7, "list": [1, 2, 3], "own": True}}
    assert three_way(old, new, live, built_in=False) == {"spec": {"a": 7, "list": [2], "own": True}}


@pytest.mark.parametrize(
    ("group", "kind", "own"),
    [
        ("apps", "Deployment", True),
        ("", "Service", True),
        ("networking.k8s.io", "Ingress", True),
        ("apiextensions.k8s.io", "CustomResourceDefinition", False),
        ("gateway.networking.k8s.io", "Gateway", False),
        ("cert-manager.io", "Certificate", False),
    ],
)
def test_which_kinds_the_server_itself_defines(group: str, kind: str, own: bool) -> None:
    assert is_built_in(group, kind) is own


# -- properties

leaf = st.sampled_from(["x", "y", 1, True])
keys = st.sampled_from(["a", "b", "c"])
docs = st.recursive(
    st.dictionaries(keys, leaf, max_size=3),
    lambda inner: st.dictionaries(keys, leaf | inner, max_size=3),
    max_leaves=10,
)


def covers(found: Any, said: Any) -> bool:
    if isinstance(said, dict):
        # A server does not write an empty map down.
        return isinstance(found, dict) and all(covers(found.get(key, {}), said[key]) for key in said)
    return bool(found == said)


@given(docs, docs, docs)
def test_what_the_new_manifest_says_is_so_afterwards(old: Doc, new: Doc, live: Doc) -> None:
    assert covers(three_way({"spec": old}, {"spec": new}, {"spec": live}, built_in=True)["spec"], new)


@given(docs, docs)
def test_foreign_fields_are_kept(said: Doc, foreign: Doc) -> None:
    """What only the live object has stays, whatever changes around it."""
    live = {"spec": copy.deepcopy(said), "foreign": foreign}
    found = three_way({"spec": said}, {"spec": {"z": 1}}, live, built_in=True)
    assert found["foreign"] == foreign
    assert found["spec"] == {"z": 1}


@given(docs, docs, docs)
def test_merging_again_changes_nothing_more(old: Doc, new: Doc, live: Doc) -> None:
    once = three_way({"spec": old}, {"spec": new}, {"spec": live}, built_in=True)
    assert three_way({"spec": old}, {"spec": new}, once, built_in=True) == once


@given(docs, docs)
def test_there_and_back_is_where_it_was(old: Doc, new: Doc) -> None:
    there = three_way({"spec": old}, {"spec": new}, {"spec": old}, built_in=True)
    assert three_way({"spec": new}, {"spec": old}, there, built_in=True)["spec"] == old


lists = st.lists(
    st.builds(lambda n, image: {"name": n, "image": image}, keys, st.sampled_from(["i1", "i2"])),
    max_size=3,
    unique_by=lambda item: item["name"],
)


@given(lists, lists, lists)
def test_the_fields_turn_one_object_into_the_other(old: list[Doc], new: list[Doc], live: list[Doc]) -> None:
    before = pod(*live)
    wanted = three_way(pod(*old), pod(*new), before, built_in=True)
    changed = copy.deepcopy(before)
    for field in fields_between(before, wanted):
        assert read_pointer(before, field.pointer) == field.before
        if field.change:
            write_pointer(changed, field.pointer, field.after)
    assert changed == wanted


def test_a_change_within_a_list_is_one_field_that_relies_on_its_place() -> None:
    found = fields_between(pod(box("main"), box("side")), pod(box("main"), box("side", "a:9")))
    assert [(f.pointer, f.before, f.after, f.change, f.lasting) for f in found] == [
        ("/spec/template/spec/containers/1/name", "side", "side", False, True),
        ("/spec/template/spec/containers/1/image", "a:1", "a:9", True, False),
    ]
