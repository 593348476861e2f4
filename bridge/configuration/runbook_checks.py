"""What a schema cannot say about a runbook: names, expressions and parameters have to fit. Called by the loader."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from bridge.configuration.document import Loc
from bridge.configuration.problems import nearest, sentences
from bridge.configuration.scope import (
    ALERT,
    Scope,
    before_evidence,
    condition_problems,
    has_template,
    template_problems,
    while_running,
)
from bridge.configuration.shapes import ANYTHING, Shape, shape_of
from bridge.model.runbook import Collect, Runbook
from bridge.model.statement import NO_TEMPLATE

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?(/[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)*\Z")

Problem = tuple[Loc, str]


class Registry(msgspec.Struct, frozen=True):
    """What runbooks may call: names to the models of their parameters. Given by app, which knows the actions."""

    actions: Mapping[str, type[BaseModel]] | None
    collectors: Mapping[str, type[BaseModel]] | None
    results: Mapping[str, type[BaseModel]] = {}
    """What collectors give; of one that is not here, expressions may read any field."""


def runbook_problems(runbook: Runbook, registry: Registry) -> Iterator[Problem]:
    """Yield the place in the runbook, and a sentence, for everything that is wrong with it."""
    if not _NAME.match(runbook.name) or len(runbook.name) > 200:
        yield ("name",), f"{runbook.name!r} is no runbook's name: expected something such as netweave/all-pods-down"
    params = runbook.params
    for name, declared in params.items():
        for loc, text in template_problems(declared.default, ALERT):
            yield ("params", name, "default", *loc), text
        if declared.required and declared.default is not None:
            yield ("params", name), "has a default and is required: it can be one of both"
    for part in ("namespace", "name"):
        for loc, text in template_problems(getattr(runbook.target, part), before_evidence(params)):
            yield ("target", part, *loc), text
    yield from _collect_problems(runbook.evidence, ("evidence",), while_running(params, None), registry)
    gathered = _shapes(runbook.evidence, registry)
    yield from _scenario_problems(runbook, while_running(params, gathered), registry)
    if runbook.verify is not None:
        yield from _collect_problems(
            runbook.verify.evidence, ("verify", "evidence"), while_running(params, gathered), registry
        )
        proof = while_running(params, {**gathered, **_shapes(runbook.verify.evidence, registry)})
        for text in condition_problems(runbook.verify.fixed, proof):
            yield ("verify", "fixed"), text


def _shapes(wanted: Mapping[str, Collect], registry: Registry) -> dict[str, Shape]:
    """Return what expressions may read of each piece of evidence."""
    models = {name: registry.results.get(item.collect) for name, item in wanted.items()}
    return {name: shape_of(model) if model else ANYTHING for name, model in models.items()}


def _collect_problems(wanted: Mapping[str, Collect], loc: Loc, scope: Scope, registry: Registry) -> Iterator[Problem]:
    for name, item in wanted.items():
        here = (*loc, name)
        if not name.isidentifier():
            yield here, "a name of evidence is a word, so that expressions can use it"
        yield from _call_problems("collector", item.collect, "collect", item.with_, here, scope, registry.collectors)


def _scenario_problems(runbook: Runbook, scope: Scope, registry: Registry) -> Iterator[Problem]:
    seen: set[str] = set()
    ended = ""
    for at, scenario in enumerate(runbook.scenarios):
        here: Loc = ("scenarios", at)
        if scenario.name in seen:
            yield (*here, "name"), f"a scenario before it is called {scenario.name!r} too"
        seen.add(scenario.name)
        if ended:
            yield here, f"is never reached: {ended!r} before it says `otherwise`"
        if scenario.otherwise:
            ended = scenario.name
        if scenario.when is not None:
            for text in condition_problems(scenario.when, scope):
                yield (*here, "when"), text
        for index, step in enumerate(scenario.steps):
            yield from _call_problems(
                "action", step.action, "action", step.with_, (*here, "steps", index), scope, registry.actions
            )


def _call_problems(
    what: str,
    name: str,
    key: str,
    given: Mapping[str, Any],
    loc: Loc,
    scope: Scope,
    known: Mapping[str, type[BaseModel]] | None,
) -> Iterator[Problem]:
    for place, text in template_problems(given, scope):
        yield (*loc, "with", *place), text
    if known is None:
        return
    if name not in known:
        yield (*loc, key), f"there is no {what} called {name!r}{nearest(name, known)}"
        return
    for place, text in parameter_problems(known[name], given):
        yield (*loc, "with", *place), text


def parameter_problems(model: type[BaseModel], given: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with parameters as far as that shows before their templates are rendered."""
    try:
        model.model_validate(given)
    except ValidationError as error:
        kinds = [found["type"] for found in error.errors(include_url=False)]
        for kind, (place, text) in zip(kinds, sentences(model, error, refused={}), strict=True):
            if kind in ("extra_forbidden", "missing", NO_TEMPLATE) or not has_template(_at(given, place)):
                yield place, text


def _at(value: Any, place: Loc) -> Any:
    """Return the value at a place; where a schema's own step is not in the value, what is above it."""
    for part in place:
        inside = value if isinstance(value, Mapping) else dict(enumerate(value)) if isinstance(value, list) else {}
        if part not in inside:
            return value
        value = inside[part]
    return value
