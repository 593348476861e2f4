"""The routing table: routes compiled once, looked up for each alert. Called by the dispatcher and by route-test.

Matches as Alertmanager does: depth first, the first child that matches ends the search on its level unless it says
`continue`, and a route with no matching child is the end itself. Source: prometheus/alertmanager, dispatch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from bridge.errors import InvalidInput
from bridge.model.matcher import Matcher, MatchType
from bridge.model.regex import RegexIndex
from bridge.model.route import Match, RouteSpec, child_problems, inherit, tree_problems
from bridge.model.route_tree import Branch

_FEW = 4
"""Children that are tried one after the other rather than looked up."""

Get = Callable[[str, str], str]


class Node:
    """A compiled route."""

    __slots__ = ("_exact", "_regex", "_rest", "children", "continues", "match", "matchers")

    def __init__(self, spec: RouteSpec, parent: Match | None, path: str, shared: dict[Matcher, Matcher]) -> None:
        # Equal matchers are one object, so that what one route has learned about a value serves the others.
        self.matchers = tuple(shared.setdefault(matcher, matcher) for matcher in spec.conditions)
        self.continues = spec.continue_
        self.match = inherit(parent, spec, path)
        self.children = [
            Node(child, self.match, f"{path}.routes[{at}]", shared) for at, child in enumerate(spec.routes)
        ]
        self.index()

    def index(self) -> None:
        """Find children by the value of a label that they demand, or by an expression for it; the rest is tried."""
        self._exact: list[tuple[str, Mapping[str, Sequence[int]]]] = []
        self._regex: list[tuple[str, RegexIndex]] = []
        self._rest: Sequence[int] = range(len(self.children))
        if len(self.children) <= _FEW:
            return
        exact = _by_label(self.children, self._rest, _is_exact)
        for name, members in exact.items():
            at_value: dict[str, list[int]] = defaultdict(list)
            for at, matcher in members:
                for value in matcher.values or ():
                    at_value[value].append(at)
            self._exact.append((name, dict(at_value)))
        rest = _without(self._rest, exact)
        regex = _by_label(self.children, rest, lambda matcher: matcher.type is MatchType.REGEX)
        for name, members in regex.items():
            index = RegexIndex((at, matcher.value, matcher.matches) for at, matcher in members)
            self._regex.append((name, index))
        self._rest = _without(rest, regex)

    def candidates(self, get: Get) -> Iterable[int]:
        """Return the children that can match, in order; each still has to be asked."""
        found: list[Sequence[int]] = [hits for name, at in self._exact if (hits := at.get(get(name, ""), ()))]
        found += [hits for name, index in self._regex if (hits := index.hits(get(name, "")))]
        if not found:
            return self._rest
        if len(found) == 1 and not self._rest:
            return found[0]
        return sorted([*self._rest, *(at for hits in found for at in hits)])

    def matching(self, get: Get) -> Iterable[Node]:
        """Yield the children whose routes an alert takes."""
        for at in self.candidates(get):
            child = self.children[at]
            for matcher in child.matchers:
                if not matcher.matches(get(matcher.name, "")):
                    break
            else:
                yield child
                if not child.continues:
                    return

    def ends(self, get: Get, found: list[Match]) -> None:
        before = len(found)
        for child in self.matching(get):
            child.ends(get, found)
        if len(found) == before:
            found.append(self.match)


def _is_exact(matcher: Matcher) -> bool:
    """Whether only a label that is there, with one of a few values, can meet it."""
    return bool(matcher.values) and "" not in (matcher.values or ())


def _by_label(
    children: Sequence[Node], among: Iterable[int], suits: Callable[[Matcher], bool]
) -> dict[str, list[tuple[int, Matcher]]]:
    """Return the children that have a matcher which suits, under the label that tells most of them apart."""
    suiting = {at: [matcher for matcher in children[at].matchers if suits(matcher)] for at in among}
    variety: dict[str, set[str]] = defaultdict(set)
    for matchers in suiting.values():
        for matcher in matchers:
            variety[matcher.name].add(matcher.value)
    found: dict[str, list[tuple[int, Matcher]]] = defaultdict(list)
    for at, matchers in suiting.items():
        if matchers:
            best = max(matchers, key=lambda matcher: len(variety[matcher.name]))
            found[best.name].append((at, best))
    return dict(found)


def _without(among: Iterable[int], found: Mapping[str, list[tuple[int, Matcher]]]) -> list[int]:
    taken = {at for members in found.values() for at, _ in members}
    return [at for at in among if at not in taken]


class RoutingTable:
    """All routes, immutable but for what its regular expressions remember."""

    def __init__(self, root: RouteSpec, more: Sequence[tuple[str, RouteSpec]] = ()) -> None:
        """Compile the tree; `more` are further children of the root with their paths, after its own.

        Raises InvalidInput with what is wrong with the tree as a whole.
        """
        problems = [*tree_problems(root), *(found for path, spec in more for found in child_problems(spec, (path,)))]
        if problems:
            raise InvalidInput("; ".join(f"{'.'.join(map(str, place))}: {text}" for place, text in problems))
        shared: dict[Matcher, Matcher] = {}
        self._root = Node(root, None, "route", shared)
        self._root.children += [Node(spec, self._root.match, path, shared) for path, spec in more]
        self._root.index()

    def match(self, labels: Mapping[str, str]) -> list[Match]:
        """Return the routes that an alert with these labels ends at, in the order of the tree; at least one."""
        found: list[Match] = []
        self._root.ends(labels.get, found)
        return found

    def matches(self) -> list[Match]:
        """Return every route, resolved, in the order of the tree."""

        def walk(node: Node) -> Iterable[Match]:
            yield node.match
            for child in node.children:
                yield from walk(child)

        return [*walk(self._root)]

    def demands(self) -> list[tuple[Match, dict[str, frozenset[str]]]]:
        """Return every route with the labels of which it and the routes above it demand one of few values.

        The empty value stands for a label that is not there.
        """

        def walk(node: Node, above: tuple[Matcher, ...]) -> Iterable[tuple[Match, dict[str, frozenset[str]]]]:
            matchers = (*above, *node.matchers)
            yield node.match, _few_values(matchers)
            for child in node.children:
                yield from walk(child, matchers)

        return [*walk(self._root, ())]

    def explain(self, labels: Mapping[str, str]) -> Branch:
        """Return the path that an alert takes, as a tree: only the routes that it goes through."""

        def branch(node: Node) -> Branch:
            below = tuple(branch(child) for child in node.matching(labels.get))
            return _branch(node, below, end=not below)

        return branch(self._root)

    def tree(self) -> Branch:
        """Return all routes as a tree."""

        def branch(node: Node) -> Branch:
            return _branch(node, tuple(branch(child) for child in node.children), end=True)

        return branch(self._root)


def _few_values(matchers: Sequence[Matcher]) -> dict[str, frozenset[str]]:
    """Return the values that a label can have where all the matchers are met, for labels of which they are known."""
    known: dict[str, frozenset[str]] = {}
    for matcher in matchers:
        if matcher.values is not None:
            known[matcher.name] = known.get(matcher.name, matcher.values) & matcher.values
    return {
        name: frozenset(value for value in values if all(m.matches(value) for m in matchers if m.name == name))
        for name, values in known.items()
    }


def _branch(node: Node, below: tuple[Branch, ...], *, end: bool) -> Branch:
    matchers = tuple(str(matcher) for matcher in sorted(node.matchers, key=lambda matcher: matcher.key))
    return Branch(matchers=matchers, continues=node.continues, match=node.match, end=end, below=below)
