"""The routing table's own rules; that it routes as Alertmanager does is held against amtool in tests/contract."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.errors import InvalidInput
from bridge.model.mode import Mode
from bridge.model.route import Match, RouteSpec
from bridge.model.routing import RoutingTable


def table(**root: Any) -> RoutingTable:
    return RoutingTable(RouteSpec.model_validate(root))


def paths(found: list[Match]) -> list[str]:
    return [match.path.removeprefix("route") for match in found]


def test_an_alert_that_no_route_takes_ends_at_the_root_and_asks_for_nothing() -> None:
    (match,) = table(routes=[{"matchers": ["a=x"], "runbook": "r"}]).match({"a": "y"})
    assert (match.path, match.runbook) == ("route", "")


def test_a_child_inherits_and_its_own_words_win() -> None:
    (match,) = table(
        cooldown="1h",
        max_attempts=5,
        group_by=["cluster"],
        params={"a": 1, "b": 1},
        routes=[
            {
                "matchers": ["x=1"],
                "runbook": "one",
                "mode": "auto",
                "params": {"b": 2},
                "allow_drift": True,
                "routes": [{"matchers": ["y=1"], "runbook": "two", "params": {"c": 3}, "allow_drift": False}],
            }
        ],
    ).match({"x": "1", "y": "1"})
    assert match == Match(
        path="route.routes[0].routes[0]",
        runbook="two",
        params={"a": 1, "b": 2, "c": 3},
        mode=Mode.AUTO,
        cooldown=3600.0,
        max_attempts=5,
        group_by=("cluster",),
    )


def test_a_runbook_of_null_asks_for_nothing_whatever_the_parent_says() -> None:
    tree = table(routes=[{"matchers": ["x=1"], "runbook": "one", "routes": [{"matchers": ["y=1"], "runbook": None}]}])
    assert [match.runbook for match in tree.match({"x": "1"})] == ["one"]
    assert [match.runbook for match in tree.match({"x": "1", "y": "1"})] == [""]


def test_time_intervals_are_not_inherited() -> None:
    (match,) = table(
        routes=[
            {"matchers": ["x=1"], "mute_time_intervals": ["n"], "routes": [{"matchers": ["y=1"], "runbook": "r"}]}
        ]
    ).match({"x": "1", "y": "1"})
    assert match.mute_time_intervals == ()


def test_grouping_is_inherited_replaced_and_can_be_by_all_labels() -> None:
    tree = table(
        group_by=["a"],
        routes=[
            {"matchers": ["x=1"], "group_by": []},
            {"matchers": ["x=2"], "group_by": ["..."]},
            {"matchers": ["x=3"], "group_by": ["x", "missing"]},
        ],
    )
    groups = [tree.match({"x": x, "a": "b"})[0].group({"x": x, "a": "b"}) for x in "123"]
    assert groups == [{"a": "b"}, {"x": "2", "a": "b"}, {"x": "3"}]


@pytest.mark.parametrize(
    "root",
    [
        {"routes": [{"runbook": "r"}]},
        {"routes": [{"matchers": ["{}"], "runbook": "r"}]},
        {"runbook": "r"},
        {"matchers": ["a=b"]},
        {"continue": True},
        {"mute_time_intervals": ["n"]},
        {"routes": [{"matchers": ["a=b"], "routes": [{"matchers": []}]}]},
    ],
)
def test_a_tree_that_would_act_on_everything_is_refused(root: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        table(**root)


@pytest.mark.parametrize("key", ["receiver", "group_wait", "group_interval", "repeat_interval", "match", "nonsense"])
def test_keys_of_notifications_are_no_keys_of_a_route(key: str) -> None:
    with pytest.raises(ValidationError):
        RouteSpec.model_validate({key: "x"})


def test_the_path_is_explained_like_amtool_does() -> None:
    tree = table(
        routes=[
            {
                "matchers": ['service=~"db|cache"'],
                "runbook": "db/restart",
                "routes": [
                    {"matchers": ["env=dev"], "runbook": None, "continue": True},
                    {"matchers": ['owner!="x"'], "mode": "approve", "params": {"n": 1}},
                ],
            },
            {"matchers": ["service=web"], "runbook": "web/restart"},
        ]
    )
    assert tree.explain({"service": "db", "env": "dev"}).render() == (
        ".\n"
        "└── default-route\n"
        '    └── {service=~"db|cache"}\n'
        '        ├── {env="dev"}  continue: true  runbook: none  (route.routes[0].routes[0])\n'
        "        └── {owner!=\"x\"}  runbook: db/restart  mode: approve  params: {'n': 1}"
        "  (route.routes[0].routes[1])"
    )
    assert tree.explain({}).render() == ".\n└── default-route  runbook: none  (route)"
    assert tree.tree().render().count("\n") == 5


keys = st.sampled_from("abc")
conditions = st.tuples(keys, st.sampled_from(["=", "=~", "!="]), st.sampled_from(["x", "y", "x|y", ".*", "", "x|"]))
children = st.fixed_dictionaries(
    {
        "matchers": st.lists(conditions.map(lambda c: f'{c[0]}{c[1]}"{c[2]}"'), min_size=1, max_size=2),
        "continue": st.booleans(),
    }
)


@given(st.lists(children, max_size=40), st.dictionaries(keys, st.sampled_from(["x", "y", "", "x|y", "z"])))
def test_the_index_finds_what_asking_every_route_finds(routes: list[dict[str, Any]], labels: dict[str, str]) -> None:
    tree = table(routes=routes)
    expected = []
    for at, spec in enumerate(
        tree_spec.conditions for tree_spec in RouteSpec.model_validate({"routes": routes}).routes
    ):
        if all(matcher.matches(labels.get(matcher.name, "")) for matcher in spec):
            expected.append(f".routes[{at}]")
            if not routes[at]["continue"]:
                break
    assert paths(tree.match(labels)) == (expected or [""])
    assert len(tree.matches()) == len(routes) + 1
