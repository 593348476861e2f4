"""What has to be so once everything is put back: where changes touch each other, the last one counts."""

from __future__ import annotations

from bridge.engine.revert import lasting
from bridge.model.plan import Change, Field, Operation
from bridge.model.target import ObjectRef

WEB = ObjectRef("apps/v1", "Deployment", "shop", "web", uid="u1")
OTHER = ObjectRef("apps/v1", "Deployment", "shop", "other", uid="u2")


def change(*pointers: str, ref: ObjectRef = WEB, operation: Operation = Operation.PATCH) -> Change:
    fields = tuple(Field(pointer, 1, 2) for pointer in pointers)
    return Change(ref=ref, summary="change it", operation=operation, fields=fields)


def pointers(changes: list[Change]) -> list[list[str]]:
    return [[field.pointer for field in each.fields] for each in changes]


def test_what_a_later_change_touches_is_its_own() -> None:
    first = change("/spec/template", "/spec/replicas")
    inner = change("/spec/template/metadata/annotations/x")
    assert pointers(lasting([first, inner])) == [["/spec/replicas"], ["/spec/template/metadata/annotations/x"]]
    assert pointers(lasting([inner, first])) == [[], ["/spec/template", "/spec/replicas"]]
    assert pointers(lasting([first, first])) == [[], ["/spec/template", "/spec/replicas"]]


def test_a_name_that_begins_alike_and_another_object_are_left_alone() -> None:
    alike = [change("/spec/rep"), change("/spec/replicas"), change("/spec/rep", ref=OTHER)]
    assert lasting(alike) == alike


def test_nothing_has_to_be_so_of_an_object_that_is_removed_after() -> None:
    made, gone = change("/spec/replicas"), change(operation=Operation.DELETE)
    assert lasting([made, gone]) == [gone]
