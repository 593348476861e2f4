"""The least roles for a configuration: what its routes' runbooks ask of the API server. Called by `alertbridge rbac`.

It adds up what the actions and collectors declare, for the namespaces that the runbooks' own defaults, the routes'
parameters and their matchers name. What only a label of an alert says cannot be known here: it has to be given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bridge.catalogue import Catalogue
from bridge.configuration import Configuration
from bridge.configuration.expressions import render
from bridge.engine.context import alert_variables
from bridge.errors import InvalidInput, UnknownValue
from bridge.model.permission import Permission
from bridge.model.route import Match
from bridge.model.runbook import Collect, Runbook
from bridge.model.target import check_namespace

CLUSTER_WIDE = ""
_READS = frozenset({"get", "list", "watch"})


class Rule(msgspec.Struct, frozen=True, order=True, kw_only=True):
    """One rule of a role, and who needs it."""

    group: str
    resource: str
    names: tuple[str, ...]
    verbs: tuple[str, ...]
    users: tuple[str, ...]
    """Actions and collectors, for people who read the role."""


class Roles(msgspec.Struct, frozen=True):
    """Rules by namespace; those under `CLUSTER_WIDE` belong into a ClusterRole. And what could not be known."""

    rules: Mapping[str, Sequence[Rule]]
    open: Sequence[str]
    """A sentence for each runbook whose namespace only an alert's label says."""


def roles(
    configuration: Configuration, known: Catalogue, *, namespaces: Sequence[str] = (), observe: bool = False
) -> Roles:
    """Return the least roles for every runbook that a route names.

    `namespaces` are those that alerts may name by a label. With `observe` the result only looks and plans. Raises
    InvalidInput for a name that is no namespace.
    """
    given = [check_namespace(name) for name in namespaces]
    book = _Book(known, given, observe=observe)
    for match, labels in configuration.table.demands():
        if match.runbook:
            book.add(configuration.runbooks[match.runbook], match, labels)
    return book.roles()


class _Book:
    """Adds permissions up."""

    def __init__(self, known: Catalogue, given: Sequence[str], *, observe: bool) -> None:
        self._known = known
        self._given = given
        self._observe = observe
        self._found: dict[tuple[str, str, str, tuple[str, ...]], tuple[set[str], set[str]]] = {}
        self._open: dict[str, None] = {}

    def add(self, runbook: Runbook, match: Match, labels: Mapping[str, str]) -> None:
        said = {name: match.params.get(name, declared.default) for name, declared in runbook.params.items()}
        variables = alert_variables(dict(labels), {}, {})
        params = {name: _rendered(value, variables) for name, value in said.items()}
        variables = alert_variables(dict(labels), {}, {n: v for n, v in params.items() if v is not _UNKNOWN})
        home = self._places(runbook.name, runbook.target.namespace, variables)
        for name, kind, given in _calls(runbook):
            caller = self._known.actions.get(name) or self._known.collectors.get(name)
            if caller is not None:
                place = given.get("namespace")
                places = home if place is None else self._places(runbook.name, str(place), variables)
                asked = caller.permissions(str(given.get("kind") or kind), _filled(given, variables))
                self._ask(name, asked, places, runbook, variables)

    def _ask(
        self,
        user: str,
        asked: Iterable[Permission],
        places: Sequence[str],
        runbook: Runbook,
        variables: Mapping[str, Any],
    ) -> None:
        for one in asked:
            where = places if one.namespace is None else self._places(runbook.name, one.namespace, variables)
            verbs = {
                verb for verb in one.verbs if not self._observe or (verb in _READS and "/exec" not in one.resource)
            }
            for place in where if verbs else ():
                key = (place, one.group, one.resource, one.names)
                known, users = self._found.setdefault(key, (set(), set()))
                known |= verbs
                users.add(user)

    def _places(self, runbook: str, template: str, variables: Mapping[str, Any]) -> list[str]:
        """Return the namespaces that a template can come to: what it gives without a label, and what was given."""
        value = _rendered(template, variables)
        if value == CLUSTER_WIDE:
            return [CLUSTER_WIDE]
        if "${" not in template:
            return [str(value)]
        known = [str(value)] if isinstance(value, str) else []
        if not known and not self._given:
            self._open[f"{runbook}: its namespace stands in a label of the alert: name those with --namespace"] = None
        return list(dict.fromkeys([*known, *self._given]))

    def roles(self) -> Roles:
        rules: dict[str, list[Rule]] = {}
        for (place, group, resource, names), (verbs, users) in sorted(self._found.items()):
            rule = Rule(
                group=group,
                resource=resource,
                names=names,
                verbs=tuple(sorted(verbs)),
                users=tuple(sorted(users)),
            )
            rules.setdefault(place, []).append(rule)
        return Roles(rules, list(self._open))


_UNKNOWN = object()


def _rendered(value: Any, variables: Mapping[str, Any]) -> Any:
    try:
        return render(value, variables)
    except (UnknownValue, InvalidInput):
        return _UNKNOWN


def _filled(given: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with their templates rendered as far as that is known."""
    rendered = {name: _rendered(value, variables) for name, value in given.items()}
    return {name: given[name] if value is _UNKNOWN else value for name, value in rendered.items()}


def _calls(runbook: Runbook) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield everything that a runbook calls: name, the kind of its target, parameters."""
    kind = runbook.target.kind
    collected: list[Collect] = list(runbook.evidence.values())
    if runbook.verify is not None:
        collected += runbook.verify.evidence.values()
    for item in collected:
        yield item.collect, kind, item.with_
    for scenario in runbook.scenarios:
        for step in scenario.all_steps:
            if step.action:
                yield step.action, kind, step.with_
