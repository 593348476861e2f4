"""What a schema cannot say about routes: what they name has to exist. Called by the loader."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bridge.configuration.document import Document, Loc
from bridge.configuration.problems import Problems, nearest
from bridge.configuration.scope import ALERT, template_problems
from bridge.model.route import Match, RouteSpec, child_problems, inherit, tree_problems
from bridge.model.runbook import Parameter, Runbook


class Written(NamedTuple):
    """A route and where it is written."""

    document: Document
    loc: Loc
    spec: RouteSpec
    path: str


class RouteChecks:
    """Checks routes against what they name."""

    def __init__(
        self,
        problems: Problems,
        runbooks: Mapping[str, Runbook],
        broken: frozenset[str],
        intervals: frozenset[str],
        libraries: frozenset[str] = frozenset(),
    ) -> None:
        """Take the runbooks; those in `broken` exist but cannot be looked into, `libraries` are none to run."""
        self._problems = problems
        self._runbooks = runbooks
        self._broken = broken
        self._intervals = intervals
        self._libraries = libraries

    def check(self, root: Written, more: list[Written]) -> set[str]:
        """Note everything that is wrong with the tree, and with the further children of its root.

        Return the names of the runbooks that it leads to.
        """
        for place, text in tree_problems(root.spec):
            self._problems.add(root.document, (*root.loc, *place), text)
        for child in more:
            for place, text in child_problems(child.spec, ()):
                self._problems.add(child.document, (*child.loc, *place), text)
        top = inherit(None, root.spec, root.path)
        below = self._children(root, top)
        for child in more:
            below |= self._route(child, top)
        self._own_params(root, below)
        return below

    def _children(self, route: Written, match: Match) -> set[str]:
        found: set[str] = set()
        for at, spec in enumerate(route.spec.routes):
            child = Written(route.document, (*route.loc, "routes", at), spec, f"{route.path}.routes[{at}]")
            found |= self._route(child, match)
        return found

    def _route(self, route: Written, parent: Match) -> set[str]:
        """Check one route and all below; return the runbooks that an alert can end with there."""
        match = inherit(parent, route.spec, route.path)
        for key in ("mute_time_intervals", "active_time_intervals"):
            for at, name in enumerate(getattr(route.spec, key)):
                if name not in self._intervals:
                    self._add(
                        route, (key, at), f"no time interval is called {name!r}{nearest(name, self._intervals)}"
                    )
        if match.runbook:
            self._runbook(route, match)
        elif not route.spec.routes and "runbook" not in route.spec.model_fields_set:
            self._add(route, (), "names no runbook; write `runbook: null` if nothing is to be done for these alerts")
        below = self._children(route, match) | ({match.runbook} if match.runbook else set())
        self._own_params(route, below)
        return below

    def _runbook(self, route: Written, match: Match) -> None:
        runbook = self._runbooks.get(match.runbook)
        if match.runbook in self._libraries:
            self._add(route, ("runbook",), "is a library, without a target: name a runbook that says `use:`")
        elif runbook is None and route.spec.runbook and match.runbook not in self._broken:
            known = [*self._runbooks, *self._broken]
            self._add(route, ("runbook",), f"no runbook is called {match.runbook!r}{nearest(match.runbook, known)}")
        if runbook is None:
            return
        for name, declared in runbook.params.items():
            if declared.required and match.params.get(name) is None:
                self._add(route, ("params",), f"runbook {runbook.name} needs the parameter {name!r}")

    def _own_params(self, route: Written, below: set[str]) -> None:
        """Check that each parameter that is written here is one of a runbook that can get it."""
        for loc, text in template_problems(route.spec.params, ALERT):
            self._add(route, ("params", *loc), text)
        known = set(self._declared(below))
        if any(name not in self._runbooks for name in below):
            return
        for name, value in route.spec.params.items():
            for runbook in below:
                self._type(route, name, value, self._runbooks[runbook].params.get(name))
            if name not in known:
                which = f"runbook {next(iter(below))} has" if len(below) == 1 else "no runbook here has"
                negation = "no parameter" if len(below) == 1 else "a parameter"
                self._add(route, ("params", name), f"{which} {negation} {name!r}{nearest(name, known)}")

    def _type(self, route: Written, name: str, value: object, declared: Parameter | None) -> None:
        """A text where the runbook counts would make its conditions unknown, and only after the change was made."""
        default = declared.default if declared is not None else None
        if default is None or isinstance(default, str) or (isinstance(value, str) and "${" in value):
            return
        number, given = isinstance(default, int | float), isinstance(value, int | float)
        if isinstance(value, bool) != isinstance(default, bool) or number != given:
            shown = json.dumps(default)
            self._add(
                route, ("params", name), f"expected a value such as the runbook's default {shown}, got {value!r}"
            )

    def _declared(self, names: set[str]) -> Iterator[str]:
        for name in names:
            if name in self._runbooks:
                yield from self._runbooks[name].params

    def _add(self, route: Written, loc: Loc, text: str) -> None:
        self._problems.add(route.document, (*route.loc, *loc), text)
