"""Conditions have three answers, parameters keep their types, and data is never evaluated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.configuration.cel_text import references, split_template
from bridge.configuration.expressions import MAX_LENGTH, Condition, render, tell
from bridge.errors import InvalidInput, UnknownValue

FACTS: dict[str, Any] = {
    "labels": {"namespace": "shop", "app": "web", "a.b": "dotted"},
    "params": {"replicas": 3, "ratio": 1.5, "names": ["a", "b"], "on": True, "none": None},
    "evidence": {"pods": {"ready": 0, "crashlooping": 2, "items": [{"name": "p1"}]}},
    "alert": {"name": "GatewayDown", "starts_at": 1_700_000_000, "age_seconds": 42.5},
}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("evidence.pods.crashlooping > 0", True),
        ("evidence.pods.ready > 0", False),
        ("evidence.pods.crashlooping > 1.5", True),
        ("evidence.pods.items.exists(p, p.name == 'p1')", True),
        ("alert.age_seconds < 60", True),
        ("labels['a.b'] == 'dotted'", True),
        ("has(labels.severity)", False),
        ("evidence.logs.size > 0", None),
        ("has(evidence.logs.size)", None),
        ("evidence.pods.nope == 1", None),
        ("nothing", None),
        ("evidence.pods.ready", None),
        ("'true'", None),
        ("1 / evidence.pods.ready > 0", None),
        ("labels.app > 1", None),
        ("evidence.pods.items[7].name == 'x'", None),
        ("9223372036854775807 + evidence.pods.crashlooping > 0", None),
    ],
)
def test_a_condition_is_true_false_or_unknown(text: str, answer: bool | None) -> None:
    assert Condition(text).evaluate(FACTS) is answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("evidence.logs.x > 0 || evidence.pods.ready == 0", True),
        ("evidence.pods.ready == 0 || evidence.logs.x > 0", True),
        ("evidence.logs.x > 0 && evidence.pods.ready > 0", False),
        ("evidence.logs.x > 0 && evidence.pods.ready == 0", None),
        ("evidence.logs.x > 0 || evidence.pods.ready > 0", None),
        ("!(evidence.logs.x > 0)", None),
        ("evidence.logs.x > 0 ? true : true", None),
    ],
)
def test_and_or_not_are_three_valued(text: str, answer: bool | None) -> None:
    assert Condition(text).evaluate(FACTS) is answer


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), float("-inf"), 2**63, -(2**63) - 1, 1 << 20000],
    ids=["nan", "inf", "-inf", "2^63", "below", "huge"],
)
@pytest.mark.parametrize("operator", ["<", ">", "==", "!=", "<=", ">="])
def test_a_number_that_cannot_be_compared_truly_is_unknown(value: float, operator: str) -> None:
    facts = {"evidence": {"rate": {"value": value, "all": [1, value]}}}
    assert Condition(f"evidence.rate.value {operator} 1").evaluate(facts) is None
    assert Condition(f"evidence.rate.all[0] {operator} 1").evaluate(facts) is None


def test_the_detail_names_what_the_answer_rests_on() -> None:
    assert Condition("evidence.pods.ready == 0").evaluate_detailed(FACTS) == (
        True,
        "`evidence.pods.ready == 0` is true: evidence.pods.ready is 0",
    )
    assert Condition("evidence.logs.x > 0").evaluate_detailed(FACTS) == (
        None,
        "`evidence.logs.x > 0` is not known: evidence.logs.x is not there",
    )
    assert "neither true nor false" in Condition("evidence.pods.ready").evaluate_detailed(FACTS)[1]


@pytest.mark.parametrize("text", ["a &&", "", "1 1", "a.?b", "1e999", "9223372036854775808", "(" * 4000, "x" * 4097])
def test_what_does_not_compile_is_refused_with_words(text: str) -> None:
    with pytest.raises(InvalidInput):
        Condition(text)


def test_the_longest_expressions_neither_crash_nor_hang() -> None:
    for text in ("1+" * 2040 + "1 > 0", "!" * 4092 + "true", "-" * 4000 + "1 > 0", "true||" * 680 + "true"):
        assert len(text) <= MAX_LENGTH
        assert Condition(text).evaluate({}) is True


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("${params.replicas}", 3),
        ("${ params.replicas + 1 }", 4),
        ("${params.ratio}", 1.5),
        ("${params.names}", ["a", "b"]),
        ("${params.on}", True),
        ("${params.none}", None),
        ("${evidence.pods.items[0]}", {"name": "p1"}),
        ("${{'a': 1}}", {"a": 1}),
        ("${'}'}", "}"),
        ("x-${params.replicas}-${labels.app}", "x-3-web"),
        ("${params.on}!", "true!"),
        ("${2.0}s", "2s"),
        ("${params.ratio}s", "1.5s"),
        ("$${labels.app}", "${labels.app}"),
        ("a$${b}${labels.app}", "a${b}web"),
        ("$5 {x} {{7*7}}", "$5 {x} {{7*7}}"),
        ("${timestamp('2024-01-01T00:00:00Z')}", "2024-01-01T00:00:00+00:00"),
        ("${duration('5m')}", 300.0),
    ],
)
def test_a_whole_expression_keeps_its_type_and_an_embedded_one_becomes_text(text: str, value: object) -> None:
    rendered = render(text, FACTS)
    assert rendered == value
    assert type(rendered) is type(value)


def test_nested_parameters_are_rendered_in_place() -> None:
    value = {"a": ["${labels.app}", {"n": "${params.replicas}"}], "${labels.app}": 1, "b": None}
    assert render(value, FACTS) == {"a": ["web", {"n": 3}], "${labels.app}": 1, "b": None}


@pytest.mark.parametrize(
    "text", ["${labels.nope}", "x${labels.nope}", "${params.names}x", "${params.none}x", "${1.0 / 0.0}", "${b'x'}"]
)
def test_a_parameter_that_is_not_known_is_an_error_and_not_an_empty_text(text: str) -> None:
    with pytest.raises(UnknownValue):
        render({"x": [text]}, FACTS)


@pytest.mark.parametrize("text", ["${", "${}", "${  }", "a ${labels.app", "${'}", "${a b}"])
def test_a_template_that_is_not_closed_or_empty_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        render(text, FACTS)


@given(st.text())
def test_label_values_are_data_and_never_evaluated(value: str) -> None:
    """Fault 40."""
    facts = {"labels": {"x": value}}
    assert render("${labels.x}", facts) == value
    assert render("<${labels.x}>", facts) == f"<{value}>"


@pytest.mark.parametrize("value", ["{{7*7}}", "{0.__class__}", "${labels.x}", "${1+1}", "$${x}", "' || true || '"])
def test_what_looks_like_an_expression_inside_a_label_stays_text(value: str) -> None:
    """Fault 40."""
    facts = {"labels": {"x": value, "y": "b"}}
    assert render("${labels.x}", facts) == value
    assert render(["-${labels.x}-"], facts) == [f"-{value}-"]
    assert Condition("labels.x == 'a'").evaluate(facts) is False


def test_references_find_what_an_expression_reads() -> None:
    text = """evidence.pods.items.exists(p, p.name == params['who'] && labels["a.b"] != 'evidence.no')
        // evidence.comment
        || size(evidence.logs.lines) > 0 || r"evidence.raw\\" == '' || now > 1e5 || alert.name.startsWith("x")"""
    assert set(references(text)) == {
        ("evidence", "pods", "items"),
        ("params", "who"),
        ("labels", "a.b"),
        ("evidence", "logs", "lines"),
        ("now",),
        ("alert", "name"),
    }


@given(st.lists(st.text(alphabet="ab${}'\" ")))
def test_splitting_a_template_loses_nothing(parts: list[str]) -> None:
    text = "".join(parts)
    try:
        pieces = split_template(text)
    except InvalidInput:
        return
    assert all(piece.text for piece in pieces)
    if "${" not in text:
        assert "".join(piece.text for piece in pieces) == text


def test_expressions_bring_no_toolkit_for_terminals_into_the_process() -> None:
    code = "import sys, bridge.configuration.expressions; sys.exit('prompt_toolkit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, cwd=Path(__file__).parents[2]).returncode == 0


def test_a_text_for_people_is_told_whatever_is_missing() -> None:
    known = {"evidence": {"pods": {"ready": 2, "names": ["a", "b"], "by": {"x": 1.0}, "why": None}}}
    said = (
        "${evidence.pods.ready} ready: ${evidence.pods.names}; ${evidence.pods.by}; gateway ${evidence.gone.status}"
    )
    assert tell({"facts": [said]}, known) == {"facts": ["2 ready: a, b; x: 1; gateway (not known)"]}
    assert tell("${evidence.pods.why} of ${labels.a}", known) == "(not known) of (not known)"
    assert tell(5, known) == 5


def test_a_long_list_in_a_text_for_people_is_cut() -> None:
    assert tell("${labels}", {"labels": [str(n) for n in range(23)]}).endswith("19, 3 more")


def test_what_is_null_is_said_to_be_what_nobody_knows() -> None:
    holds, why = Condition("evidence.pvc.used_percent > 90").evaluate_detailed(
        {"evidence": {"pvc": {"used_percent": None}}}
    )
    assert holds is None
    assert why.endswith("evidence.pvc.used_percent is null, which stands for what nobody knows")
