"""What a runbook says to the person who is woken: its own words, those of the scenario, what is left to them."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.configuration.runbook_checks import Registry, runbook_problems
from bridge.model import kinds
from bridge.model.mode import Mode
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.runbook import Runbook
from tests.support.bench import NOT_FIXED, Bench, runbook

pytestmark = pytest.mark.usefixtures("quiet_log")

FACTS = {"facts": {"collect": "facts"}}
SET = {"action": "set", "with": {"value": 7}}
PERSON = {"name": "volume gone", "when": "evidence.facts.value == 1", "escalate": "See ${evidence.facts.name}."}


@pytest.fixture
def bench() -> Bench:
    bench = Bench()

    async def facts() -> dict[str, Any]:
        return {"value": bench.value(), "name": "data-0"}

    bench.facts.facts = facts
    return bench


def advice(bench: Bench) -> str | None:
    return next((entry.data.get("advice") for entry in bench.entries() if entry.kind == kinds.FINISHED), None)


def book(*scenarios: dict[str, Any], **more: Any) -> Runbook:
    return runbook(**{"evidence": FACTS, "scenarios": list(scenarios), **more})


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.OBSERVE])
async def test_what_is_a_persons_is_left_to_one_with_what_was_found(bench: Bench, mode: Mode) -> None:
    bench.add(book(PERSON, {"name": "rest", "otherwise": True, "steps": [SET]}, escalate="Look."), mode=mode)
    assert await bench.run() == (Outcome.FAILED, Reason.LEFT_TO_A_PERSON)
    assert (bench.writes, advice(bench)) == ([], "See data-0.")
    (said,) = bench.told.said
    assert said[0].endswith(". See data-0.")
    assert said[1]


async def test_without_words_of_its_own_a_scenario_ends_with_the_runbooks(bench: Bench) -> None:
    bench.action.answers = [NOT_FIXED]
    steps = {"otherwise": True, "steps": [SET]}
    bench.add(book({"name": "a", **steps}, escalate="Look at ${target.name}; ${evidence.gone.x}."))
    await bench.run()
    assert advice(bench) == "Look at web; (not known)."
    bench.action.answers = [NOT_FIXED]
    steps["steps"] = [{"action": "set", "with": {"value": 8}}]
    bench.add(book({"name": "a", "escalate": "Call the vendor.", **steps}, escalate="Look."), name="r2")
    await bench.run("r2")
    assert "Call the vendor." in bench.told.said[-1][0]


async def test_what_nobody_agreed_to_in_time_is_left_to_a_person(bench: Bench) -> None:
    bench.add(book({"name": "a", "otherwise": True, "steps": [SET]}, escalate="Look."), mode=Mode.APPROVE)
    assert await bench.run() == (Outcome.DENIED, Reason.APPROVAL_TIMED_OUT)
    assert (bench.writes, advice(bench)) == ([], "Look.")


async def test_who_is_not_woken_is_told_nothing_to_do(bench: Bench) -> None:
    bench.add(book({"name": "a", "otherwise": True, "steps": [SET]}, escalate="Look."))
    assert (await bench.run())[0] is Outcome.SUCCEEDED
    assert advice(bench) is None


async def test_what_did_not_help_may_end_with_a_person(bench: Bench) -> None:
    bench.action.answers = [NOT_FIXED]
    first = {"name": "a", "when": "true", "steps": [SET], "on_not_fixed": "next"}
    bench.add(book(first, {**PERSON, "when": "evidence.facts.value == 7"}))
    assert await bench.run() == (Outcome.FAILED, Reason.LEFT_TO_A_PERSON)
    assert "tried: a" in bench.view().detail
    assert advice(bench) == "See data-0."


def test_names_in_it_are_checked() -> None:
    broken = book({**PERSON, "escalate": "${evidence.fact.name}"}, escalate="${paramz.x}")
    found = [".".join(map(str, place)) for place, _ in runbook_problems(broken, Registry(None, None))]
    assert found == ["escalate", "scenarios.0.escalate"]


def test_a_scenario_without_steps_and_words_is_refused() -> None:
    with pytest.raises(ValueError, match="either `steps:` or `try:`"):
        book({"name": "a", "otherwise": True})
