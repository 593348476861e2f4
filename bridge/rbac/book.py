"""Adds up what actions and collectors declare, and leaves out what the configuration forbids anyway."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bridge.catalogue import Catalogue
from bridge.configuration import Configuration
from bridge.configuration.peer_checks import steps_of
from bridge.configuration.scope import has_template
from bridge.engine.copies import permissions as permissions_for_copies
from bridge.errors import InvalidInput
from bridge.kube.paths import KNOWN
from bridge.model.apply_merge import is_built_in
from bridge.model.mode import Mode
from bridge.model.permission import Permission
from bridge.model.route import Match
from bridge.model.runbook import RUN, Runbook, Step
from bridge.model.target import check_name, check_namespace
from bridge.rbac.calls import UNKNOWN, Call, Labels, Situation, calls, homes, situations
from bridge.rbac.result import CLUSTER_WIDE, Roles, Rule
from bridge.wiring import kept_copies

_READS = frozenset({"get", "list", "watch"})
_NAMELESS = frozenset({"list", "watch", "create", "deletecollection"})
"""Verbs that a rule cannot bind to names. Source: Kubernetes documentation, Authorization, resourceNames."""
_KIND = re.compile(r"[A-Z][A-Za-z0-9]*\Z")
_RESOURCE = re.compile(r"[a-z0-9][-a-z0-9.]*(/[a-z]+)?\Z")
_GROUP = re.compile(r"[-a-z0-9.]*\Z")
_IN_NAMESPACES = {(each.group, each.plural): each.namespaced for each in KNOWN.values()}
_ELSEWHERE = "another"
_EVENTS = "events"


def roles(
    configuration: Configuration,
    known: Catalogue,
    *,
    namespaces: Sequence[str] = (),
    runbooks: Sequence[str] = (),
    cluster: str | None = None,
    secrets: Sequence[str] = (),
    observe: bool = False,
) -> Roles:
    """Return the least roles for every runbook that a route names, and for those in `runbooks`.

    `namespaces` are those that alerts may name by a label. `cluster` is one of the connections: what no alert of it
    asks for is left out. `secrets` are names: no other Secret is read or changed, but for lists and new ones. With
    `observe` the result only looks and plans. What a route, runbook or step has in mode `observe` only looks as
    well; the process's own mode is the switch that is turned later, and says nothing here.
    Raises InvalidInput for a name that is none, of a namespace, runbook, cluster or Secret.
    """
    given = [check_namespace(name) for name in namespaces]
    if cluster is not None and cluster not in configuration.connections:
        raise InvalidInput(f"no connection is called {cluster!r}: there are {', '.join(configuration.connections)}")
    book = _Book(configuration, known, given, tuple(check_name(name, "Secret") for name in secrets), observe=observe)
    for match, labels in configuration.table.demands():
        if match.runbook and _may_reach(configuration, labels, cluster):
            book.add(configuration.runbooks[match.runbook], match, labels)
    for due in configuration.schedules:
        labels = {name: frozenset([value]) for name, value in {"alertname": due.name, **due.labels}.items()}
        if _may_reach(configuration, labels, cluster):
            path = f"schedule:{due.name}"
            match = Match(path=path, params=due.params, mode=due.mode, allow_namespaces=due.allow_namespaces)
            book.add(configuration.runbooks[due.runbook], match, labels)
    for name in runbooks:
        if name not in configuration.runbooks:
            raise InvalidInput(f"there is no runbook {name!r}")
        book.add(configuration.runbooks[name], Match(path="by hand", runbook=name), {})
    for watched in kept_copies(configuration):
        if cluster in (None, watched.ref.cluster):
            for one in permissions_for_copies([watched]):
                book.grant("keep_copies", one, str(one.namespace), observes=True)
    return book.roles([cluster] if cluster is not None else list(configuration.connections))


def _may_reach(configuration: Configuration, labels: Labels, cluster: str | None) -> bool:
    """Whether an alert that meets the labels can be about the cluster."""
    values = labels.get(configuration.settings.clusters.label)
    if cluster is None or values is None:
        return True
    names = configuration.cluster_names
    return cluster in {names.get(value) if value else configuration.default_connection for value in values}


class _Book:
    """Adds permissions up."""

    def __init__(
        self,
        configuration: Configuration,
        known: Catalogue,
        given: Sequence[str],
        secrets: tuple[str, ...],
        *,
        observe: bool,
    ) -> None:
        self._settings = configuration.settings
        self._runbooks = configuration.runbooks
        self._known = known
        self._given = given
        self._secrets = secrets
        self._observe = observe
        self._found: dict[tuple[str, str, str, tuple[str, ...]], dict[str, set[str]]] = {}
        self._open: dict[str, None] = {}
        self._left_out: dict[str, None] = {}
        self._labelled: dict[str, None] = {}
        self._excepted: tuple[str, ...] = ()

    def add(self, runbook: Runbook, match: Match, labels: Labels, above: tuple[str, ...] = ()) -> None:
        """Add everything that a runbook asks for where a route names it, and so for the runbooks that it runs."""
        for _, step in steps_of(runbook):
            name = step.with_.get("runbook") if step.action == RUN else None
            if isinstance(name, str) and name in self._runbooks and name not in above:
                self._add_run(self._runbooks[name], step, match, labels, (*above, runbook.name))
        observes = match.mode is Mode.OBSERVE
        self._excepted = match.allow_namespaces
        for situation in situations(runbook, match, labels, self._given):
            where = homes(runbook, situation)
            if where is None and self._given and self._can_be(runbook, match, labels):
                continue  # the situations with a given namespace say where
            if where is None:
                sentence = "its namespace stands in a label of the alert, or in a parameter that nothing sets"
                self._open[f"{runbook.name}: {sentence}: name it with --namespace"] = None
            places: Sequence[str | None] = where or (None,)
            for home in places:
                for call in calls(runbook, situation, home):
                    self._call(runbook, call, home, situation, observes=observes or call.observes)
        if self._can_be(runbook, match, labels):
            self._labelled[runbook.name] = None

    def _add_run(self, runbook: Runbook, step: Step, match: Match, labels: Labels, above: tuple[str, ...]) -> None:
        said = step.with_.get("labels")
        given = said if isinstance(said, Mapping) else {}
        # What only a run knows of a label leaves it open, and --namespace names it.
        known = {name: frozenset([str(value)]) for name, value in given.items() if not has_template(value)}
        kept = {name: values for name, values in labels.items() if name not in given}
        params = step.with_.get("params")
        more = msgspec.structs.replace(match, runbook=runbook.name, params=params if isinstance(params, dict) else {})
        self.add(runbook, more, {**kept, **known}, above)

    @staticmethod
    def _can_be(runbook: Runbook, match: Match, labels: Labels) -> bool:
        """Whether a label that no matcher fixes can name the namespace."""
        found = situations(runbook, match, labels, [_ELSEWHERE])
        return any(_ELSEWHERE in place for each in found for place in homes(runbook, each) or () if each.given)

    def _call(self, runbook: Runbook, call: Call, home: str | None, situation: Situation, *, observes: bool) -> None:
        caller = self._known.actions.get(call.user) or self._known.collectors.get(call.user)
        if caller is None:
            return
        who = f"{call.user} of {runbook.name}"
        if not _KIND.match(call.kind):
            if not situation.given:
                self._open[f"{who}: its kind is only known when it runs: write it into the runbook"] = None
            return
        wanted: list[tuple[Permission, str]] = []
        for one in caller.permissions(call.kind, call.given):
            if not _RESOURCE.match(one.resource) or not _GROUP.match(one.group):
                if not situation.given:
                    self._open[f"{who}: the kind of what it is about is only known when it runs"] = None
                continue
            own = call.place if one.namespace is None else one.namespace
            wanted += [(one, place) for place in self._places(who, one, own, home, situation)]
        # What needs Secrets that may not be read comes to nothing: nothing is granted for it.
        refused = [(one, place) for one, place in wanted if not one.optional and self._is_refused(one, place)]
        for one, place in refused or wanted:
            self.grant(call.user, one, place, observes=observes, runbook=runbook.name)

    def _is_refused(self, one: Permission, place: str) -> bool:
        """Whether it is about Secrets in a place where none may be read."""
        return (one.group, one.resource) == ("", "secrets") and place not in self._settings.secret_namespaces

    def _places(self, who: str, one: Permission, own: Any, home: str | None, situation: Situation) -> list[str]:
        """Return the namespaces for a permission; `own` is what it or its step names."""
        wide = _IN_NAMESPACES.get((one.group, one.resource.partition("/")[0])) is False
        if wide or one.namespace == CLUSTER_WIDE:
            return [CLUSTER_WIDE]
        if own is UNKNOWN or "${" in str(own):
            found = [situation.given] if situation.given else self._given
            if not found:
                self._open[f"{who}: its namespace is only known when it runs: name it with --namespace"] = None
            return list(found)
        if own is not None:
            return [check_namespace(own)]
        if home == CLUSTER_WIDE and _IN_NAMESPACES.get((one.group, one.resource.partition("/")[0])):
            sentence = f"{one.resource} are in namespaces, and neither its parameters nor the target name one"
            self._open[f"{who}: {sentence}"] = None
            return []
        return [] if home is None else [home and check_namespace(home)]

    def grant(self, user: str, one: Permission, place: str, *, observes: bool, runbook: str = "") -> None:
        """Add a permission in a place, as far as the configuration lets it be used there."""
        verbs = set(one.verbs)
        if self._is_refused(one, place):
            if not one.optional:
                where = f"in {place}, which `secret_namespaces` does not name" if place else "of all namespaces"
                self._left_out[f"{user} of {runbook} asks for Secrets {where}: it would be refused"] = None
            return
        reading = verbs & _READS if "/exec" not in one.resource else set()
        if self._observe or observes:
            verbs = reading
        elif verbs != reading and place in set(self._settings.protected_namespaces).difference(self._excepted):
            sentence = f"{user} of {runbook} changes something in {place}, one of `protected_namespaces`"
            self._left_out[f"{sentence}: it would be refused"] = None
            verbs = reading
        if verbs - _READS and self._settings.events.enabled and user != _EVENTS:
            # On the namespace of the object; the Events of what is in none are in `default`.
            wide = _IN_NAMESPACES.get((one.group, one.resource.partition("/")[0])) is False
            tell = Permission("", "events", ("create",))
            self.grant(_EVENTS, tell, "default" if wide and not place else place, observes=False)
        names = one.names or (self._secrets if (one.group, one.resource) == ("", "secrets") else ())
        for only, some in ((names, verbs - _NAMELESS), ((), verbs & _NAMELESS)) if names else (((), verbs),):
            users = self._found.setdefault((place, one.group, one.resource, only), {})
            for verb in some:
                users.setdefault(verb, set()).add(user)

    def roles(self, clusters: Sequence[str]) -> Roles:
        rules: dict[str, list[Rule]] = {}
        for (place, group, resource, names), found in sorted(self._found.items()):
            anyway = self._found.get((place, group, resource, ()), {}) if names else {}
            verbs = sorted(found.keys() - anyway.keys())
            if verbs:
                rule = Rule(
                    group=group,
                    resource=resource,
                    names=names,
                    verbs=tuple(verbs),
                    users=tuple(sorted(set().union(*(found[verb] for verb in verbs)))),
                    guessed=_is_guess(group, resource),
                )
                rules.setdefault(place, []).append(rule)
        return Roles(
            rules=rules,
            open=tuple(self._open),
            left_out=tuple(self._left_out),
            labelled=tuple(sorted(self._labelled)),
            clusters=tuple(clusters),
        )


def _is_guess(group: str, resource: str) -> bool:
    known = (group, resource.partition("/")[0]) in _IN_NAMESPACES
    return not known and not is_built_in(f"{group}/v1" if group else "v1")
