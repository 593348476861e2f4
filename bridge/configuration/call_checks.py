"""Whether what calls an action or a collector fits: its name, its parameters, their templates. Used by the checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from bridge.configuration.document import Loc
from bridge.configuration.problems import nearest, sentences
from bridge.configuration.scope import Scope, has_template, template_problems
from bridge.model.statement import NO_TEMPLATE

Problem = tuple[Loc, str]


class Registry(msgspec.Struct, frozen=True):
    """What runbooks may call: names to the models of their parameters. Given by app, which knows the actions."""

    actions: Mapping[str, type[BaseModel]] | None
    collectors: Mapping[str, type[BaseModel]] | None
    results: Mapping[str, type[BaseModel]] = {}
    """What collectors give; of one that is not here, expressions may read any field."""


def call_problems(
    what: str,
    name: str,
    key: str,
    given: Mapping[str, Any],
    loc: Loc,
    scope: Scope,
    known: Mapping[str, type[BaseModel]] | None,
) -> Iterator[Problem]:
    """Yield what is wrong with calling `name`; nothing of its parameters where nobody knows what there is."""
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
