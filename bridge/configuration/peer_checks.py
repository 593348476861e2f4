"""Whether the peers that an enabled runbook names are in the settings. Called by the loader for what routes lead to.

A parameter says that it is such a name by bridge.model.peers.PeerName. One made of an expression is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from bridge.configuration.call_checks import Problem, Registry
from bridge.configuration.document import Loc
from bridge.configuration.problems import model_in, nearest
from bridge.configuration.scope import has_template
from bridge.errors import InvalidInput
from bridge.model.argument_lists import arguments_match
from bridge.model.http_address import origin_of, origins_of_hosts
from bridge.model.peers import PeerName
from bridge.model.runbook import Collect, Runbook, Step
from bridge.settings import Settings


def peer_problems(runbook: Runbook, registry: Registry, settings: Settings) -> Iterator[Problem]:
    """Yield the place in the runbook, and a sentence, for every peer that the settings lack."""
    for loc, collect in _collects(runbook):
        model = (registry.collectors or {}).get(collect.collect)
        yield from _missing(model, collect.with_, (*loc, "with"), settings)
    for loc, step in steps_of(runbook):
        model = (registry.actions or {}).get(step.action)
        yield from _missing(model, step.with_, (*loc, "with"), settings)


def _collects(runbook: Runbook) -> Iterator[tuple[Loc, Collect]]:
    for name, item in runbook.evidence.items():
        yield ("evidence", name), item
    if runbook.verify is not None:
        for name, item in runbook.verify.evidence.items():
            yield ("verify", "evidence", name), item


def steps_of(runbook: Runbook) -> Iterator[tuple[Loc, Step]]:
    """Yield every step of a runbook, with its place."""
    for number, step in enumerate(runbook.verify.steps if runbook.verify is not None else ()):
        yield ("verify", "steps", number), step
    for at, scenario in enumerate(runbook.scenarios):
        for number, step in enumerate(scenario.steps):
            yield ("scenarios", at, "steps", number), step
        for place, attempt in enumerate(scenario.try_):
            for number, step in enumerate(attempt.steps):
                yield ("scenarios", at, "try", place, "steps", number), step


def _missing(model: type[BaseModel] | None, given: Any, loc: Loc, settings: Settings) -> Iterator[Problem]:
    if model is None or not isinstance(given, Mapping):
        return
    for key, field in model.model_fields.items():
        value, here = given.get(field.alias or key), (*loc, field.alias or key)
        peer = next((mark for mark in field.metadata if isinstance(mark, PeerName)), None)
        if peer is not None:
            named = value.items() if isinstance(value, Mapping) else [("", value)]
            for part, name in named:
                yield from _unknown(name, peer.setting, (*here, part) if part else here, settings)
        else:
            yield from _missing(model_in(field.annotation), value, here, settings)


def _unknown(name: object, setting: str, loc: Loc, settings: Settings) -> Iterator[Problem]:
    if has_template(name):
        return
    if setting == "exec.allow" and isinstance(name, list) and all(isinstance(word, str) for word in name):
        if not any(arguments_match(allowed, name) for allowed in settings.exec.allow):
            yield loc, "is not allowed by any list of `exec.allow` of the settings"
        return
    if not isinstance(name, str):
        return
    if setting == "http.hosts":
        yield from _not_allowed(name, loc, settings)
        return
    known: Any = settings
    for part in setting.split("."):
        known = getattr(known, part)
    if name not in known:
        there = nearest(name, known) or ", which is empty"
        yield loc, f"there is no {name!r} in `{setting}` of the settings{there}"


def _not_allowed(url: str, loc: Loc, settings: Settings) -> Iterator[Problem]:
    """Yield that an address may not be asked; an empty one asks nothing."""
    try:
        if url and origin_of(url)[0] not in origins_of_hosts(settings.http.hosts):
            yield loc, f"the host of {url[:80]!r} is not in `http.hosts` of the settings"
    except InvalidInput as error:
        yield loc, str(error)
