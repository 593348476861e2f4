"""Everything that a runbook calls, in every situation that is known: with which parameters, and where. Pure.

A situation is one choice of the values that matchers leave a label. Parameters are rendered as far as they follow
from it; what only a run finds out stays a template in them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bridge.configuration.cel_text import references
from bridge.configuration.expressions import Template, render
from bridge.engine.context import alert_variables
from bridge.errors import InvalidInput, UnknownValue
from bridge.model.mode import Mode
from bridge.model.route import Match
from bridge.model.runbook import Collect, Runbook, Step

UNKNOWN = object()
"""What a template gives that a run alone can render."""
_MOST = 200
"""Choices of labels; beyond it, they are taken for not known."""

Labels = Mapping[str, frozenset[str]]
"""The values that each label can have; the empty one: it is not there."""


class Situation(msgspec.Struct, frozen=True):
    """What is known when a run begins."""

    variables: Mapping[str, Any]
    """`labels`, `annotations`, `params`."""
    given: str = ""
    """The namespace that every label which no matcher fixes has in it; empty: there are no such labels."""


class Call(msgspec.Struct, frozen=True):
    """An action or a collector with its parameters, as far as they are known."""

    user: str
    kind: str
    given: Mapping[str, Any]
    place: Any
    """The namespace that its parameters name: a text, None (the target's) or UNKNOWN."""
    observes: bool
    """Whether it is never made: only looked at and planned."""


def situations(runbook: Runbook, match: Match, demanded: Labels, given: Sequence[str]) -> Iterator[Situation]:
    """Yield every situation for a route: those that its matchers leave, and each again with a given namespace."""
    read = _read(runbook, match)
    fixed = {name: sorted(values) for name, values in demanded.items()}
    # Every choice multiplies the work: a label that nothing reads has none.
    chosen = {name: values for name, values in fixed.items() if name in read["labels"] or len(values) == 1}
    if not all(fixed.values()):
        return  # no alert meets all the matchers
    size = 1
    for values in chosen.values():
        size *= len(values)
    if size > _MOST:
        chosen = {name: values for name, values in chosen.items() if len(values) == 1}
    for combination in itertools.product(*chosen.values()):
        labels = {name: value for name, value in zip(chosen, combination, strict=True) if value}
        yield Situation(_variables(runbook, match, labels, {}))
        loose = {name for name in read["labels"] if name not in chosen}
        for namespace in given if loose or read["annotations"] else ():
            more = dict.fromkeys(sorted(loose), namespace)
            notes = dict.fromkeys(sorted(read["annotations"]), namespace)
            yield Situation(_variables(runbook, match, {**labels, **more}, notes), namespace)


def homes(runbook: Runbook, situation: Situation) -> list[str] | None:
    """Return where the target can be (empty: it is of a kind without namespaces); None where that is not known."""
    template = runbook.target.namespace
    if not template:
        return [""]
    value = rendered(template, situation.variables)
    return [value] if isinstance(value, str) and value else None


def calls(runbook: Runbook, situation: Situation, home: str | None) -> Iterator[Call]:
    """Yield everything that the runbook calls for a target in the namespace `home` (None: not known)."""
    kind = runbook.target.kind
    target = {"kind": kind} | ({} if home is None else {"namespace": home})
    variables = {**situation.variables, "target": target, "targets": [target]}
    collected: list[Collect] = list(runbook.evidence.values())
    if runbook.verify is not None:
        collected += runbook.verify.evidence.values()
    for item in collected:
        yield _call(item.collect, kind, item.with_, variables, observes=True)
    for step in runbook.verify.steps if runbook.verify is not None else ():
        for own in _items(step, variables) if step.action else ():
            yield _call(step.action, kind, step.with_, own, observes=runbook.mode is Mode.OBSERVE)
    for scenario in runbook.scenarios:
        modes = [runbook.mode, *(step.mode for step in scenario.all_steps)]
        for step in scenario.all_steps:
            for own in _items(step, variables) if step.action else ():
                yield _call(step.action, kind, step.with_, own, observes=Mode.OBSERVE in modes)


def _call(user: str, kind: str, raw: Mapping[str, Any], variables: Mapping[str, Any], *, observes: bool) -> Call:
    given = {name: _filled(value, variables) for name, value in raw.items()}
    place = given.get("namespace")
    if isinstance(place, str) and "${" in place:
        place = UNKNOWN
    return Call(user, str(given.get("kind") or kind), given, place or None, observes)


def _items(step: Step, variables: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the variables for each item of `for_each`; without the item where the list is not known."""
    if step.for_each is None:
        return [variables]
    items = _filled(step.for_each, variables)
    if not isinstance(items, list | tuple):
        return [variables]
    return [{**variables, "item": item} for item in items[: step.items_at_most]] or [variables]


def rendered(value: Any, variables: Mapping[str, Any]) -> Any:
    """Return a value with its templates rendered, or UNKNOWN."""
    try:
        return render(value, variables)
    except (UnknownValue, InvalidInput):
        return UNKNOWN


def _filled(value: Any, variables: Mapping[str, Any]) -> Any:
    """Return a nested value with its templates rendered as far as they are known."""
    if isinstance(value, Mapping):
        return {key: _filled(item, variables) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, variables) for item in value]
    found = rendered(value, variables)
    return value if found is UNKNOWN else found


def _variables(
    runbook: Runbook, match: Match, labels: dict[str, str], annotations: dict[str, str]
) -> Mapping[str, Any]:
    said = {name: match.params.get(name, declared.default) for name, declared in runbook.params.items()}
    known = alert_variables(labels, annotations, {})
    params = {name: rendered(value, known) for name, value in said.items()}
    return alert_variables(labels, annotations, {n: v for n, v in params.items() if v is not UNKNOWN})


def _read(runbook: Runbook, match: Match) -> dict[str, set[str]]:
    """Return the names of the labels and annotations that target and parameters are made of."""
    found: dict[str, set[str]] = {"labels": set(), "annotations": set()}
    document = runbook.model_dump(mode="json", by_alias=True)
    for text in _texts([document, dict(match.params)]):
        for expression in _expressions(text):
            for path in references(expression):
                if path[0] in found and len(path) > 1:
                    found[path[0]].add(path[1])
    return found


def _expressions(text: str) -> Sequence[str]:
    try:
        return Template(text).expressions
    except InvalidInput:
        return ()


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        if "${" in value:
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
