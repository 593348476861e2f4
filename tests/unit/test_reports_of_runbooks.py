"""What a runbook reports is filled in with what was found, kept with the run, and sent where it says."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.configuration.expressions import Condition, render, tell
from bridge.configuration.runbook_checks import Registry, runbook_problems
from bridge.errors import UnknownValue
from bridge.model import kinds
from bridge.model.mode import Mode
from bridge.model.notice import Event
from bridge.model.remediation import Outcome
from bridge.model.report import report
from bridge.model.report_text import markdown
from bridge.model.runbook import Runbook
from bridge.model.telling import Notify
from bridge.notify.texts import message
from bridge.printing import remediation as shown
from tests.support.bench import Bench, runbook

pytestmark = pytest.mark.usefixtures("quiet_log")

TEXT = """Value: ${string(evidence.facts.value)}
Names:
${lines(evidence.facts.names.map(n, "  " + n))}
Gone: ${evidence.no.x}
"""
TOLD = "Value: 1\nNames:\n  a\n  b\nGone: (not known)\n"


def book(*steps: dict[str, Any], **more: Any) -> Runbook:
    evidence = {"facts": {"collect": "facts"}, "no": {"collect": "no_such"}}
    return runbook(evidence=evidence, scenarios=[{"name": "r", "otherwise": True, "steps": list(steps)}], **more)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()

    async def facts() -> dict[str, Any]:
        return {"value": 1, "names": ["a", "b"]}

    bench.facts.facts = facts
    return bench


def kept(bench: Bench) -> str | None:
    return next((entry.data.get("report") for entry in bench.entries() if entry.kind == kinds.FINISHED), None)


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.OBSERVE])
async def test_a_report_is_kept_with_the_run_and_told_at_its_end(bench: Bench, mode: Mode) -> None:
    bench.add(book({"action": "set", "with": {"value": 7}}, report=TEXT), mode=mode)
    await bench.run()
    assert kept(bench) == TOLD
    view, entries = bench.view(), bench.entries()
    assert report(view, entries, {}).told == TOLD
    assert "## Report\n\n- Value: 1\n" in markdown(report(view, entries, {}))
    told = message(Notify(), view, entries, Event.DONE, now=bench.clock.now(), external_url="")
    assert "Names:\n  a\n  b\nGone: (not known)\n" in told.text


async def test_a_runbook_without_one_reports_nothing(bench: Bench) -> None:
    bench.add(book({"action": "set", "with": {"value": 7}}))
    assert (await bench.run())[0] is Outcome.SUCCEEDED
    assert kept(bench) is None


async def test_a_step_can_send_it(bench: Bench) -> None:
    bench.add(book({"action": "set", "with": {"value": "${size(report)}"}}, report=TEXT))
    assert (await bench.run())[0] is Outcome.SUCCEEDED
    assert bench.value() == len(TOLD)


def test_its_names_are_checked_and_only_a_runbook_that_has_one_knows_it() -> None:
    wrong = book({"action": "set", "with": {"value": "${report}"}}, report="${evidence.fact.value}")
    none = book({"action": "set", "with": {"value": "${report}"}})
    found = [
        [".".join(map(str, place)) for place, _ in runbook_problems(each, Registry(None, None))]
        for each in (wrong, none)
    ]
    assert found == [["report"], ["scenarios.0.steps.0.with.value"]]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${url(labels.x)}", "a%2Fb%20c%3F%26d"),
        ("https://h/v1/${url(labels.x)}/y", "https://h/v1/a%2Fb%20c%3F%26d/y"),
        ("${join(params.names, '+')}", "a+b"),
        ("${join([])}", ""),
        ("${lines(params.names)}", "a\nb"),
        ("${sum([1, 2])}", 3),
        ("${sum([])}", 0),
        ("${sum(params.names.map(n, 1.5))}", 3.0),
        ("${round(1.256, 2)}", 1.26),
        ("${lower('A-B')}", "a-b"),
        ("${replace('a.b.c', '.', '-')}", "a-b-c"),
    ],
)
def test_functions_of_our_own(text: str, value: object) -> None:
    assert render(text, {"labels": {"x": "a/b c?&d"}, "params": {"names": ["a", "b"]}}) == value


@pytest.mark.parametrize(
    "call", ["url(1)", "url('..')", "join([1])", "lines('a')", "sum(['a'])", "sum([true])", "round('a')", "lower(1)"]
)
def test_what_a_function_cannot_do_is_unknown_and_writes_nothing(
    call: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert Condition(f"{call} == 'x'").evaluate({}) is not True
    with pytest.raises(UnknownValue):
        render(f"x${{{call}}}", {})
    assert tell(f"x ${{{call}}}", {}) == "x (not known)"
    assert capfd.readouterr() == ("", "")


def test_a_report_is_shown_between_the_record_and_the_journal() -> None:
    item = {
        **dict.fromkeys(("id", "runbook", "mode", "state", "outcome", "reason", "detail", "route", "why"), ""),
        "escalated": False,
        "due_at": None,
        "requested_by": "",
        "created_at": "2026-11-21T07:00:00Z",
        "target": {"cluster": "", "kind": "A", "namespace": "", "name": "b"},
        "labels": {},
        "incidents": [],
        "open_incidents": [],
        "finished_at": None,
    }
    entry = {
        "at": None,
        "kind": "finished",
        "text": "",
        "reason": "",
        "data": {"report": "Health: good\n\x1b[31mred"},
    }
    text = shown({"remediation": item, "params": {}}, [entry])
    assert "\n  Health: good\n  \\x1b[31mred\n" in text
