"""Helm's records: what is written reads back, what is chosen is good, and nothing of a record reaches an error."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import InvalidInput
from bridge.model import helm
from bridge.model.helm import BadRecord, Release
from bridge.model.helm_manifest import Key, as_sent, objects_of, plain_scalar, removed

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def release(
    version: int, status: str = "superseded", description: str = "", at: float = 0.0, manifest: str = "m"
) -> Release:
    info = {"status": status, "description": description, "last_deployed": helm.nano_time(at or 1e9 + version * 3600)}
    return Release(
        name="web",
        namespace="shop",
        version=version,
        status=status,
        labels={},
        uid=f"u{version}",
        resource_version="1",
        body={"info": info, "manifest": f"{manifest}{version}" if manifest == "m" else manifest},
    )


@given(st.dictionaries(st.text(), values, max_size=6))
def test_a_record_reads_back_as_it_was_written(body: dict[str, Any]) -> None:
    assert helm.decode_body(helm.encode_body(body)) == body


def test_the_same_record_is_the_same_text() -> None:
    assert helm.encode_body({"a": 1}) == helm.encode_body({"a": 1})


def test_a_record_of_the_first_versions_is_read_as_well() -> None:
    plain = base64.b64encode(base64.b64encode(b'{"name":"web"}')).decode()
    assert helm.decode_body(plain) == {"name": "web"}


def _twice(data: bytes) -> str:
    return base64.b64encode(base64.b64encode(data)).decode()


@pytest.mark.parametrize(
    "encoded",
    [
        None,
        "",
        "not base64!",
        _twice(b"[]"),
        _twice(b"secret-word"),
        _twice(gzip.compress(b'{"a":')),
        _twice(gzip.compress(b"{}")[:-9]),
        _twice(b"[" * 100_000),
        _twice(gzip.compress(b" " * (33 << 20))),
    ],
    # What gzip makes holds the time of day.
    ids=["nothing", "empty", "no base64", "a list", "no JSON", "half", "cut off", "deep", "large"],
)
def test_what_is_no_record_is_refused_without_quoting_it(encoded: Any) -> None:
    with pytest.raises(BadRecord) as caught:
        helm.decode_body(encoded)
    assert "word" not in str(caught.value)


@given(st.binary(max_size=200))
def test_bytes_of_any_sort_are_a_record_or_refused(data: bytes) -> None:
    for each in (_twice(data), _twice(gzip.compress(data))):
        with contextlib.suppress(BadRecord):
            assert isinstance(helm.decode_body(each), dict)


def test_a_record_beyond_what_a_secret_takes_is_refused() -> None:
    noise = "".join(chr(random.Random(1).randrange(33, 0x2FF)) for _ in range(10)) + json.dumps(
        [random.Random(n).random() for n in range(90_000)]
    )
    with pytest.raises(BadRecord, match="1048576"):
        helm.encode_body({"manifest": noise})


def test_a_failed_revision_is_passed_over_for_the_one_that_is_still_deployed() -> None:
    history = [release(1), release(2, "deployed"), release(3, "failed"), release(4, "failed")]
    good = helm.last_good(history)
    assert good is not None
    assert good.version == 2


def test_one_that_served_is_taken_before_a_newer_one_that_did_not() -> None:
    history = [release(1, at=1000), release(2, at=9000), release(3, at=9060), release(4, "deployed", at=9120)]
    assert helm.judge(history) == {1: "proven", 2: "unproven", 3: "unproven", 4: "current"}
    good = helm.last_good(history)
    assert good is not None
    assert good.version == 1


def test_what_somebody_rolled_back_from_is_not_chosen() -> None:
    history = [
        release(1),
        release(2),
        release(3, at=2e9),
        release(4, "superseded", "Rollback to 2", at=2e9 + 5000),
        release(5, "deployed", at=2e9 + 9000),
    ]
    assert helm.judge(history)[3] == "abandoned"
    good = helm.last_good(history)
    assert good is not None
    assert good.version == 4


def test_what_was_gone_back_to_later_was_good_after_all() -> None:
    history = [
        release(1),
        release(2),
        release(3, "superseded", "Rollback to 1"),
        release(4, "deployed", "Rollback to 2"),
    ]
    assert helm.judge(history)[2] != "abandoned"


def test_a_revision_that_would_change_nothing_is_not_chosen() -> None:
    history = [release(1), release(2, manifest="same"), release(3, "deployed", manifest="same")]
    good = helm.last_good(history)
    assert good is not None
    assert good.version == 1


def test_without_a_good_revision_there_is_none() -> None:
    assert helm.last_good([release(1, "failed"), release(2, "failed")]) is None
    assert helm.last_good([release(1, "deployed")]) is None


@given(st.integers(0, 12), st.integers(0, 12), st.sets(st.integers(1, 12), max_size=2))
def test_pruning_keeps_the_deployed_one_and_what_is_spared(count: int, limit: int, spared: set[int]) -> None:
    history = [release(n, "deployed" if n == 2 else "superseded") for n in range(1, count + 1)]
    gone = {each.version for each in helm.to_prune(history, limit, spared)}
    assert not gone & ({2} | spared)
    assert gone == set() if not limit else len(history) - len(gone) + 1 >= min(limit, len(history) + 1)
    # The oldest that may go do.
    staying = [each.version for each in history if each.version not in gone and each.version not in {2} | spared]
    assert all(old < young for old in gone for young in staying)


def test_ten_records_are_kept_as_helm_keeps_them() -> None:
    history = [release(n, "deployed" if n == 1 else "failed") for n in range(1, 13)]
    assert [each.version for each in helm.to_prune(history, 10, ())] == [2, 3, 4]


def test_labels_of_people_go_with_the_revision_that_comes_back() -> None:
    target = msgspec.structs.replace(release(1), labels={"team": "core", "status": "superseded", "createdAt": "1"})
    assert helm.new_labels(release(4, "deployed"), target, at=1e9, status="pending-rollback") == {
        "team": "core",
        "createdAt": "1000000000",
        "name": "web",
        "owner": "helm",
        "status": "pending-rollback",
        "version": "5",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1.5, "1970-01-01T00:00:01.5Z"), (1e9 + 0.123456, "2001-09-09T01:46:40.123456Z")],
)
def test_times_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert helm.nano_time(seconds) == text


# -- manifests


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("off", False),
        ("~", None),
        ("", None),
        ("12", 12),
        ("0644", 420),
        ("0o644", 420),
        ("0x1F", 31),
        ("0b11", 3),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("12:30:45", "12:30:45"),
        ("2001-01-01", "2001-01-01"),
        ("1.2.3", "1.2.3"),
        ("08", 8.0),
        ("1Gi", "1Gi"),
    ],
)
def test_unquoted_scalars_are_what_go_takes_them_for(text: str, value: Any) -> None:
    assert plain_scalar(text) == value
    assert type(plain_scalar(text)) is type(value)


MANIFEST = """---
# Source: chart/templates/all.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: &spec
  replicas: 2
---
# nothing but a comment
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: other}
data:
  text: |
    ---
    not a document
  number: "1"
--- # the end
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "web:read"}
"""


def test_objects_come_in_the_order_in_which_helm_installs_them() -> None:
    found = objects_of(MANIFEST, "shop")
    assert list(found) == [
        Key("", "ConfigMap", "other", "web"),
        Key("rbac.authorization.k8s.io", "ClusterRole", "", "web:read"),
        Key("apps", "Deployment", "shop", "web"),
    ]
    assert found[Key("", "ConfigMap", "other", "web")].document["data"] == {
        "text": "---\nnot a document\n",
        "number": "1",
    }


def test_only_documents_that_name_an_object_are_read_when_asked() -> None:
    text = MANIFEST + "---\n: not yaml [\n"
    with pytest.raises(InvalidInput):
        objects_of(text, "shop")
    assert list(objects_of(text, "shop", naming="web:read")) == [
        Key("rbac.authorization.k8s.io", "ClusterRole", "", "web:read")
    ]


def test_a_document_that_two_revisions_share_is_read_once() -> None:
    known: dict[str, Any] = {}
    first, again = objects_of(MANIFEST, "shop", known=known), objects_of(MANIFEST, "shop", known=known)
    assert first == again
    assert all(first[key].document is again[key].document for key in first)


def test_what_goes_goes_in_the_opposite_order() -> None:
    keys = list(objects_of(MANIFEST, "shop"))
    assert removed(keys, keys[:1]) == [keys[2], keys[1]]


def test_an_object_is_sent_with_what_helm_adds() -> None:
    manifest = objects_of("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {b: c}}\n", "shop")
    (sent,) = (as_sent(each, "web", "shop") for each in manifest.values())
    assert sent["metadata"]["labels"] == {"b": "c", "app.kubernetes.io/managed-by": "Helm"}
    assert set(sent["metadata"]["annotations"]) == {"meta.helm.sh/release-name", "meta.helm.sh/release-namespace"}


@pytest.mark.parametrize(
    "text",
    [
        "- a\n- b\n",
        "kind: ConfigMap\nmetadata: {name: a}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 12}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: 'A b'}\n",
        "a: [",
        "a: &a [*a]\n",
        "x: " + "[" * 5000,
    ],
)
def test_what_is_no_list_of_objects_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        objects_of(text, "shop")


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(InvalidInput, match="values"):
        objects_of("\n".join(lines), "shop")
