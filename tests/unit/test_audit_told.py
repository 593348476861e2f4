"""How the trail tells a change."""

from __future__ import annotations

from typing import Any

from bridge.model.audit import told
from bridge.model.plan import Change, Field, Operation
from bridge.model.target import ObjectRef

GATEWAY = ObjectRef("apps/v1", "Deployment", "shop", "gateway", uid="u1")


def change(**more: Any) -> Change:
    return Change(**{"ref": GATEWAY, "summary": "scale it", **more})


def test_what_is_changed_is_told_with_before_and_after_and_what_is_only_relied_on_is_not() -> None:
    fields = (Field("/spec/replicas", 3, 5), Field("/spec/paused", False, False, change=False))
    said = told(change(fields=fields))
    assert (said["before"], said["after"]) == ({"/spec/replicas": 3}, {"/spec/replicas": 5})
    assert (said["object"], said["operation"], said["uid"]) == (str(GATEWAY), "patch", "u1")


def test_no_credential_gets_into_the_trail() -> None:
    secret = ObjectRef("v1", "Secret", "shop", "db")
    manifest = {"kind": "Secret", "data": {"password": "aHVudGVyMg=="}, "stringData": {"word": "hunter2"}}
    env = Field("/spec/template/spec/containers/0/env/0", None, {"name": "DB_PASSWORD", "value": "hunter2"})
    said = [
        told(change(ref=secret, operation=Operation.CREATE, manifest=manifest)),
        told(change(ref=secret, operation=Operation.DELETE, manifest=manifest)),
        told(change(ref=secret, fields=(Field("/data/word", "aHVudGVyMQ==", "aHVudGVyMg=="),))),
        told(change(fields=(env,))),
    ]
    assert "hunter" not in str(said)
    assert "aHVudGVy" not in str(said)


def test_what_goes_has_no_after_and_what_comes_no_before() -> None:
    gone = told(change(operation=Operation.DELETE, manifest={"spec": 1}))
    made = told(change(operation=Operation.CREATE, manifest={"spec": 1}))
    assert (gone["before"], gone["after"]) == ({"spec": 1}, None)
    assert (made["before"], made["after"]) == (None, {"spec": 1})
