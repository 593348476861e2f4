"""A scenario runs only when all before it are false; what is not known chooses nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.choose import choose
from bridge.model.runbook import Scenario

STEPS = [{"action": "restart"}]
TRUE, FALSE, UNKNOWN = "evidence.pods.ready == 0", "evidence.pods.ready > 0", "evidence.logs.lines > 0"
VARIABLES: dict[str, Any] = {"evidence": {"pods": {"ready": 0}}}


def scenario(name: str, when: str | None = None, **more: Any) -> Scenario:
    condition = {"otherwise": True} if when is None else {"when": when}
    return Scenario.model_validate({"name": name, "steps": STEPS, **condition, **more})


def chosen(*scenarios: Scenario) -> tuple[str | None, bool]:
    choice = choose(scenarios, VARIABLES)
    return choice.scenario.name if choice.scenario else None, choice.unknown


def test_the_first_that_holds_is_chosen() -> None:
    assert chosen(scenario("a", FALSE), scenario("b", TRUE), scenario("c", TRUE), scenario("d")) == ("b", False)


def test_otherwise_is_chosen_when_all_before_it_are_false() -> None:
    assert chosen(scenario("a", FALSE), scenario("b")) == ("b", False)


def test_none_is_chosen_when_all_are_false() -> None:
    assert chosen(scenario("a", FALSE), scenario("b", FALSE)) == (None, False)


@pytest.mark.parametrize("after", [TRUE, None], ids=["one that holds", "otherwise"])
def test_an_unknown_one_keeps_what_comes_after_it_from_running(after: str | None) -> None:
    assert chosen(scenario("a", UNKNOWN), scenario("b", after)) == (None, True)


def test_an_unknown_one_after_the_one_that_holds_does_not_matter() -> None:
    assert chosen(scenario("a", TRUE), scenario("b", UNKNOWN)) == ("a", False)


def test_an_unknown_one_may_be_passed_over_where_it_says_so() -> None:
    passed = scenario("a", UNKNOWN, on_unknown="continue")
    assert chosen(passed, scenario("b", TRUE)) == ("b", False)
    assert chosen(passed, scenario("b")) == ("b", False)


def test_no_scenario_after_an_unknown_one_that_was_passed_over_is_still_not_known() -> None:
    assert chosen(scenario("a", UNKNOWN, on_unknown="continue"), scenario("b", FALSE)) == (None, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{TRUE} || {UNKNOWN}", "a"),
        (f"{FALSE} && {UNKNOWN}", "b"),
        (f"{TRUE} && {UNKNOWN}", None),
        (f"{FALSE} || {UNKNOWN}", None),
        (f"!({UNKNOWN})", None),
    ],
)
def test_and_or_and_not_are_three_valued(text: str, expected: str | None) -> None:
    assert chosen(scenario("a", text), scenario("b"))[0] == expected


def test_the_reason_tells_what_became_of_each() -> None:
    why = choose([scenario("a", FALSE), scenario("b", UNKNOWN)], VARIABLES).why
    assert why.startswith("a: no; b: unknown (")
    assert "evidence.logs" in why
    assert choose([scenario("a", FALSE), scenario("b")], VARIABLES).why == "a: no; b: otherwise"


@given(
    st.lists(
        st.tuples(st.sampled_from([TRUE, FALSE, UNKNOWN]), st.sampled_from(["escalate", "continue"])), max_size=6
    )
)
def test_what_is_chosen_holds_and_nothing_before_it_could_have(conditions: list[tuple[str, str]]) -> None:
    scenarios = [scenario(str(n), when, on_unknown=act) for n, (when, act) in enumerate(conditions)]
    name, unknown = chosen(*scenarios)
    before = conditions if name is None else conditions[: int(name)]
    if name is not None:
        assert conditions[int(name)][0] == TRUE
        assert all(when == FALSE or (when == UNKNOWN and act == "continue") for when, act in before)
    elif unknown:
        assert any(when == UNKNOWN for when, _ in before)
    else:
        assert all(when == FALSE for when, _ in before)


def test_what_spoke_against_every_scenario_is_told_to_the_person_who_is_woken() -> None:
    choice = choose([scenario("a", "evidence.n > 1")], {"evidence": {"n": 1}})
    assert choice.why == "a: no (`evidence.n > 1` is false: evidence.n is 1)"
