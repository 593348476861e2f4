"""The routing table and Debian's real amtool agree, on generated trees, labels and matcher texts.

The subset that both have: amtool 0.25 knows the classic notation only, and lets a child have no matcher. UTF-8 names
are fixed cases in tests/unit/test_matcher.py.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.errors import InvalidInput
from bridge.model.matcher import parse_matchers
from bridge.model.route import RouteSpec
from bridge.model.routing import RoutingTable
from tests.support.need import need

_LABELS_A_TREE = 6
_TREES = 175
_TEXTS = 160

names = st.sampled_from(["alertname", "severity", "a", "b_1", "x:y"])
values = st.one_of(
    st.sampled_from(
        ["", "x", "y", "xy", "xx", "x1", "critical", "page", "X", "x\ny", 'say "x"', "\\", "ü", "x y", "{}"]
    ),
    st.text(alphabet='xy1,"\\\nü{}=~! ', max_size=4),
)
labels = st.dictionaries(names, values, max_size=4)
plain_atoms = ["x", "y", "xy", ".", ".*", ".+", "[xy]", "[^x]", "x?", "x*", "(x|y)", "x|xy", "|x", "critical|page"]
other_atoms = [
    r"\d",
    r"\w+",
    "(?i)x",
    "(?s).*",
    "x{1,2}",
    "^x$",
    r"\Qx\E",
    "ü",
    r"\pL",
    "[[:alpha:]]+",
    "(?m)^x$",
    "",
]
atoms = st.sampled_from(plain_atoms + other_atoms)
expressions = st.one_of(atoms, st.tuples(atoms, atoms).map("".join), st.tuples(atoms, atoms).map("|".join))


def quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return f'"{escaped}"'


def bare(value: str) -> str:
    """The value without quotes where that means the same."""
    return value if value and not set(value) & set(' ,"\\{}=~\n') else quoted(value)


@st.composite
def matcher_texts(draw: st.DrawFn) -> str:
    parts = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        sign = draw(st.sampled_from(["=", "=", "=", "!=", "=~", "!~"]))
        value = draw(expressions if "~" in sign else values)
        space = draw(st.sampled_from(["", " "]))
        parts.append(f"{draw(names)}{space}{sign}{space}{draw(st.sampled_from([quoted, bare]))(value)}")
    text = draw(st.sampled_from([",", ", "])).join(parts)
    return f"{{{text}}}" if draw(st.booleans()) else text


def children(levels: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    route = st.fixed_dictionaries(
        {
            "matchers": st.lists(matcher_texts(), min_size=1, max_size=2),
            "continue": st.booleans(),
            "routes": children(levels - 1) if levels else st.just([]),
        }
    )
    # Above four children the table looks them up instead of asking one after the other.
    return st.lists(route, max_size=9 if levels == 2 else 3)


trees = children(2).map(lambda routes: {"routes": routes})


def for_amtool(tree: Mapping[str, Any], path: str, receivers: list[str]) -> dict[str, Any]:
    """Give each route a receiver that is called as the route's path."""
    receivers.append(path)
    routes = [for_amtool(child, f"{path}.routes[{at}]", receivers) for at, child in enumerate(tree["routes"])]
    return {**tree, "receiver": path, "routes": routes}


class Amtool:
    def __init__(self, folder: Path) -> None:
        self.program = need("amtool")
        self.config = folder / "alertmanager.yml"
        self.env = {"HOME": str(folder), "PATH": ""}
        self.compared = 0

    def load(self, tree: Mapping[str, Any]) -> None:
        receivers: list[str] = []
        route = for_amtool(tree, "route", receivers)
        document = {"route": route, "receivers": [{"name": name} for name in receivers]}
        self.config.write_text(json.dumps(document), encoding="utf-8")

    def route(self, alert: Mapping[str, str]) -> list[str] | str:
        """Return the routes that the alert ends at, or amtool's error."""
        command = [self.program, "config", "routes", "test", f"--config.file={self.config}"]
        command += [f"{name}={quoted(value)}" for name, value in alert.items()]
        done = subprocess.run(command, capture_output=True, text=True, env=self.env, timeout=20)
        return done.stdout.rstrip("\n").split(",") if done.returncode == 0 else done.stderr


@pytest.fixture
def amtool(tmp_path: Path) -> Amtool:
    return Amtool(tmp_path)


def ends(table: RoutingTable, alert: Mapping[str, str]) -> list[str]:
    return [match.path for match in table.match(alert)]


def test_a_thousand_trees_and_alerts_are_routed_as_amtool_routes_them(amtool: Amtool) -> None:
    deep = several = 0

    @settings(max_examples=_TREES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(trees, st.lists(labels, min_size=_LABELS_A_TREE, max_size=_LABELS_A_TREE))
    def agree(tree: dict[str, Any], alerts: Sequence[dict[str, str]]) -> None:
        nonlocal deep, several
        table = RoutingTable(RouteSpec.model_validate(tree))
        amtool.load(tree)
        for alert, theirs in zip(alerts, pool.map(amtool.route, alerts), strict=True):
            ours = ends(table, alert)
            assert ours == theirs, alert
            amtool.compared += 1
            deep += any(path != "route" for path in ours)
            several += len(ours) > 1

    with ThreadPoolExecutor(4) as pool:
        agree()
    print(f"{amtool.compared} pairs agree; {deep} below the root, {several} with several ends")
    assert amtool.compared >= 1000
    # The comparison means something: enough alerts get past the root, and on through `continue`.
    assert deep >= 100
    assert several >= 20


def test_every_matcher_text_that_amtool_takes_means_the_same_here(amtool: Amtool) -> None:
    taken = 0
    tricky = st.text(alphabet='ab="~!,\\{} \nnü', max_size=12).map(lambda rest: f"a{rest}")

    @settings(max_examples=_TEXTS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(tricky, st.text(alphabet='ab"\\, n}', max_size=6).map(lambda rest: f"a={rest}")), values)
    def agree(text: str, value: str) -> None:
        nonlocal taken
        tree = {"routes": [{"matchers": [text, 'a=~".*"'], "routes": []}]}
        amtool.load(tree)
        wanted: set[str] = {value, ""}
        try:
            wanted |= {matcher.value for matcher in parse_matchers(text)}
        except InvalidInput:
            assert isinstance(amtool.route({}), str), text
            return
        table = RoutingTable(RouteSpec.model_validate(tree))
        alerts = [{"a": one} for one in sorted(wanted)]
        for alert, theirs in zip(alerts, pool.map(amtool.route, alerts), strict=True):
            if isinstance(theirs, str):
                return  # the UTF-8 notation, or not a text that amtool takes
            assert ends(table, alert) == theirs, alert
            taken += 1

    with ThreadPoolExecutor(4) as pool:
        agree()
    print(f"{taken} comparisons of texts that amtool takes")
    assert taken >= 60


def test_an_alert_without_any_label_is_routed_as_amtool_does(amtool: Amtool) -> None:
    tree = {"routes": [{"matchers": ['a=""'], "routes": []}, {"matchers": ['a!="x"'], "routes": []}]}
    amtool.load(tree)
    assert ends(RoutingTable(RouteSpec.model_validate(tree)), {}) == amtool.route({}) == ["route.routes[0]"]
