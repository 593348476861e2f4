"""Which names an expression may use at which place, checked before anything runs. Called by the loader's checks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from bridge.configuration.cel_reads import lone_path, pairs, reads
from bridge.configuration.cel_text import references
from bridge.configuration.document import Loc
from bridge.configuration.expressions import FUNCTIONS, Condition, Template, functions
from bridge.configuration.problems import nearest
from bridge.configuration.shapes import ANYTHING, BOOL, FLOAT, TEXT, Shape, step
from bridge.errors import InvalidInput

Scope = Mapping[str, Collection[str] | None]
"""Root names, and for each what may follow it; None: anything (labels are whatever the sender says).

Where that is a mapping, its values are shapes, and what follows is checked against them as well.
"""

_TARGET = Shape("map", {"cluster": TEXT, "kind": TEXT, "namespace": TEXT, "name": TEXT})
ALERT: Scope = {"labels": None, "annotations": None}
"""What is known of an alert before its runbook is."""
_ABOUT = {
    "evidence": "the runbook gathers no evidence called {}",
    "params": "the runbook declares no parameter called {}",
    "steps": "no step before this one has the id {}",
}


def before_evidence(params: Collection[str]) -> Scope:
    """Return what is known when a target is made out of an alert."""
    return {**ALERT, "params": params}


def while_running(
    params: Collection[str], evidence: Collection[str] | None = (), *, steps: Mapping[str, Shape] | None = None
) -> Scope:
    """Return what is known in a run; no evidence where that is still being gathered, steps in a scenario."""
    known: dict[str, Collection[str] | None] = {
        **before_evidence(params),
        "alert": {"name": TEXT, "starts_at": FLOAT, "started": TEXT, "age_seconds": FLOAT, "resolved": BOOL},
        "connections": {"prometheus": BOOL},
        "target": _TARGET.members,
        "targets": None,
        "now": None,
    }
    if steps is not None:
        known["steps"] = steps
    return known if evidence is None else {**known, "evidence": evidence}


def with_names(scope: Scope, **names: Collection[str] | None) -> Scope:
    """Return the scope with further root names, or others in their place."""
    return {**scope, **names}


def lone_shape(text: str, scope: Scope) -> Shape:
    """Return what an expression gives, as far as that shows: ANYTHING where it is more than a path."""
    try:
        path = lone_path(text)
    except InvalidInput:
        return ANYTHING
    return Shape("list", {}, _TARGET) if path == ("targets",) else _shape_at(path, scope)


def condition_problems(text: str, scope: Scope) -> Iterator[str]:
    """Yield what is wrong with a condition: it doesn't compile, or uses a name that isn't there."""
    try:
        Condition(text)
    except InvalidInput as error:
        yield str(error)
        return
    yield from _name_problems(text, scope)
    kind = _shape_at(lone_path(text), scope).kind
    if kind not in ("", "bool"):
        yield f"`{text}` is of type {kind}: a condition is true or false, compare it with something"


def template_problems(value: Any, scope: Scope, loc: Loc = ()) -> Iterator[tuple[Loc, str]]:
    """Yield place and sentence for what is wrong with the templates in a nested structure of parameters."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from template_problems(item, scope, (*loc, key))
    elif isinstance(value, list | tuple):
        for at, item in enumerate(value):
            yield from template_problems(item, scope, (*loc, at))
    elif isinstance(value, str) and "${" in value:
        try:
            expressions = Template(value).expressions
        except InvalidInput as error:
            yield loc, str(error)
            return
        for expression in expressions:
            for problem in _name_problems(expression, scope):
                yield loc, problem


def has_template(value: Any) -> bool:
    """Whether anything in a nested structure is only known when it is rendered."""
    if isinstance(value, Mapping):
        return any(has_template(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(has_template(item) for item in value)
    return isinstance(value, str) and "${" in value


def _name_problems(text: str, scope: Scope) -> Iterator[str]:
    for path in references(text):
        shown = f"`{'.'.join(path)}` in `{text}`"
        if path[0] not in scope:
            yield f"{shown}: {path[0]} is not known here{nearest(path[0], scope)}"
            continue
        members = scope[path[0]]
        if members is not None and len(path) > 1 and path[1] not in members:
            about = _ABOUT.get(path[0], f"{path[0]} has no {{}}").format(path[1])
            yield f"{shown}: {about}{nearest(path[1], members)}"
    yield from _field_problems(text, scope)
    yield from _type_problems(text, scope)
    for name in sorted(functions(text) - FUNCTIONS):
        yield f"`{text}`: there is no function {name}{nearest(name, FUNCTIONS)}"


def _field_problems(text: str, scope: Scope) -> Iterator[str]:
    """Yield what reads a field that a piece of evidence, or one of its items, does not have."""
    said: set[str] = set()
    for path in reads(text):
        shape = _root(path, scope)
        for at in range(2, len(path)):
            following = step(shape, path[at])
            if following is None:
                known = shape.members or {}
                near = nearest(path[at], known)
                has = near or (f"; it has {', '.join(sorted(known))}" if known else f", it is {_a(shape.kind)}")
                sentence = f"`{_written(path[: at + 1])}` in `{text}`: there is no such field{has}"
                if sentence not in said:
                    yield sentence
                said.add(sentence)
                break
            shape = following


def _type_problems(text: str, scope: Scope) -> Iterator[str]:
    """Yield operators between values whose types don't fit: they would be unknown, or never true."""
    for left, operator, right in pairs(text):
        kinds = [side.kind or _shape_at(side.path, scope).kind for side in (left, right)]
        if not all(kinds) or kinds[0] == kinds[1]:
            continue
        numbers = set(kinds) == {"int", "float"}
        if numbers and operator not in ("+", "-", "*", "/", "%"):
            continue
        mend = ": write double(…) around the int, or 60.0 for 60" if numbers else ""
        yield (
            f"`{left.text} {operator} {right.text}` in `{text}`: {_a(kinds[0])} and {_a(kinds[1])} "
            f"don't go together{mend}"
        )


def _shape_at(path: tuple[str, ...], scope: Scope) -> Shape:
    """Return the shape of what a path reads; ANYTHING where it is not known, or wrong."""
    if path == ("now",):
        return FLOAT
    shape: Shape = _root(path, scope)
    for part in path[2:]:
        shape = step(shape, part) or ANYTHING
    return shape


def _root(path: tuple[str, ...], scope: Scope) -> Shape:
    """Return the shape of a path's first two parts."""
    members = scope.get(path[0]) if path else None
    found = members.get(path[1]) if len(path) > 1 and isinstance(members, Mapping) else None
    return found if isinstance(found, Shape) else ANYTHING


def _written(path: tuple[str, ...]) -> str:
    return ".".join(path).replace(".[*]", "[…]").replace(".[]", "[…]")


def _a(kind: str) -> str:
    return f"an {kind}" if kind == "int" else f"a {kind}"
