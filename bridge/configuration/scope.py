"""Which names an expression may use at which place, checked before anything runs. Called by the loader's checks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from bridge.configuration.cel_text import references
from bridge.configuration.document import Loc
from bridge.configuration.expressions import FUNCTIONS, Condition, Template, functions
from bridge.configuration.problems import nearest
from bridge.errors import InvalidInput

Scope = Mapping[str, Collection[str] | None]
"""Root names, and for each what may follow it; None: anything (labels are whatever the sender says)."""

ALERT: Scope = {"labels": None, "annotations": None}
"""What is known of an alert before its runbook is."""
_ABOUT = {
    "evidence": "the runbook gathers no evidence called {}",
    "params": "the runbook declares no parameter called {}",
}


def before_evidence(params: Collection[str]) -> Scope:
    """Return what is known when a target is made out of an alert."""
    return {**ALERT, "params": params}


def while_running(params: Collection[str], evidence: Collection[str] | None = ()) -> Scope:
    """Return what is known in a run; without evidence where that is still being gathered."""
    known: dict[str, Collection[str] | None] = {
        **before_evidence(params),
        "alert": ("name", "starts_at", "age_seconds", "resolved"),
        "connections": ("prometheus",),
        "target": ("cluster", "kind", "namespace", "name"),
        "now": None,
    }
    return known if evidence is None else {**known, "evidence": evidence}


def condition_problems(text: str, scope: Scope) -> Iterator[str]:
    """Yield what is wrong with a condition: it doesn't compile, or uses a name that isn't there."""
    try:
        Condition(text)
    except InvalidInput as error:
        yield str(error)
        return
    yield from _name_problems(text, scope)


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
    for name in sorted(functions(text) - FUNCTIONS):
        yield f"`{text}`: there is no function {name}{nearest(name, FUNCTIONS)}"
