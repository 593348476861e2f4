"""Incident reports and success metrics: over HTTP, and as Markdown."""

from __future__ import annotations

import gzip
import json
import re
from typing import Any

import msgspec
import pytest

from bridge.api.reports import Goals
from bridge.model.goals import Goal
from bridge.model.remediation import Entry, Outcome, RemediationView, State
from bridge.model.report import Times, report, times_of
from bridge.model.report_text import markdown
from bridge.model.stats import stats
from tests.support.api_fakes import NOW, Memory, client, problem, view

KEPT = {
    "first": {"evidence": {"pods": {"total": 3, "ready": 0, "crashlooping": 3}}},
    "evidence": {"pods": {"total": 3, "ready": 3, "crashlooping": 0}},
}
ENTRIES = [
    Entry(kind="started", at=NOW + 1, text="taken up"),
    Entry(kind="scenario", at=NOW + 2, text="a recent deployment is broken"),
    Entry(kind="answered", at=NOW + 30, text="ann agrees", data={"by": "ann", "agree": True}),
    Entry(kind="applying", at=NOW + 40, text="undo the rollout"),
    Entry(kind="applied", at=NOW + 41, text="undo the rollout", data={"wrote": True, "step": "s/0", "change": 0}),
    Entry(kind="verified", at=NOW + 90, text="3 of 3 pods are ready", data={"answer": "fixed"}),
    Entry(kind="undone", at=NOW + 95, text="not put back: scale", data={"wrote": False, "refused": "scale: changed"}),
    Entry(kind="finished", at=NOW + 100, text="succeeded", reason="verified"),
]


def ended(name: str = "r0", outcome: Outcome = Outcome.SUCCEEDED, reason: str = "verified", **more: Any) -> Any:
    """Return one that is over: its alert began a minute before it was received."""
    made = view(name, State.DONE, outcome=outcome, reason=reason, finished_at=NOW + 100, **more)
    book = {
        "summary": "No gateway pod is ready",
        "source": "https://wiki/rb-001",
        "checklist": ["tell the customers", "write the post-mortem"],
        "escalate": "call the platform team",
    }
    remediation = msgspec.structs.replace(made.remediation, started_at=NOW - 60, runbook_doc=book)
    return msgspec.structs.replace(made, remediation=remediation)


def test_times_are_taken_from_the_alerts_start_the_first_action_and_the_end() -> None:
    assert times_of(ended(), ENTRIES) == Times(to_detect=60, to_respond=40, to_resolve=160)
    failed = times_of(ended(outcome=Outcome.FAILED), ENTRIES[:2])
    assert failed == Times(to_detect=60, to_respond=None, to_resolve=None)


def test_a_senders_clock_that_goes_ahead_makes_no_negative_times() -> None:
    """Fault 19."""
    ahead = ended()
    ahead = msgspec.structs.replace(
        ahead, remediation=msgspec.structs.replace(ahead.remediation, started_at=NOW + 3600)
    )
    assert times_of(ahead, ENTRIES) == Times(to_detect=0, to_respond=40, to_resolve=0)


def test_a_report_says_what_was_out_found_done_proved_and_who_agreed() -> None:
    made = report(ended(escalated=True, open_incidents=("am/f/1",), incidents=("am/f/1",)), ENTRIES, KEPT)
    assert made.impact == ["3 of 3 pods were not ready (pods)", "3 crashlooping (pods)"]
    assert made.found == ["a recent deployment is broken", "pods: total 3, ready 0, crashlooping 3"]
    assert made.done == ["undo the rollout"]
    assert made.proved == ["3 of 3 pods are ready"]
    assert made.people == ["ann agrees"]
    assert made.checklist == ["tell the customers", "write the post-mortem"]
    assert made.left_to_people == [
        "call the platform team",
        "put back by hand what could not be: scale: changed",
        "1 alert still fires",
    ]
    kinds = [moment.kind for moment in made.timeline]
    assert kinds == ["began", "received", "scenario", "answered", "applied", "verified", "undone", "finished"]


def test_the_markdown_is_ready_to_paste() -> None:
    text = markdown(report(ended(), ENTRIES, KEPT))
    assert text.startswith("# Incident: GatewayDown: ")
    for line in (
        "| Time to detect | 1 min |",
        "| Time to respond | 40 s |",
        "| Time to resolve | 2 min 40 s |",
        "- 3 of 3 pods were not ready (pods)",
        "- 2023-11-14 22:13:50 ann agrees",
        "- [ ] tell the customers",
    ):
        assert line in text.splitlines(), line


def test_a_label_makes_no_markup_and_no_line_of_its_own() -> None:
    """Faults 40 and 44."""
    nasty = ended()
    labels = {"alertname": "x](http://evil) <img src=y>\n# heading | cell \x1b[31m"}
    nasty = msgspec.structs.replace(nasty, remediation=msgspec.structs.replace(nasty.remediation, labels=labels))
    text = markdown(report(nasty, [], {}))
    assert not re.search(r"(?<!\\)(\]\(|<|\[m)", text)
    assert "\x1b" not in text
    assert sum(line.startswith("# ") for line in text.splitlines()) == 1


def test_no_credential_gets_into_a_report() -> None:
    entries = [Entry(kind="applied", at=NOW, text="set DB_PASSWORD=hunter2", data={"wrote": True})]
    assert "hunter2" not in markdown(report(ended(), entries, {}))


def test_figures_tell_false_positives_from_successes() -> None:
    runs: list[tuple[RemediationView, Times]] = [
        (ended("a"), Times(to_detect=10, to_respond=1, to_resolve=100)),
        (ended("b"), Times(to_detect=20, to_respond=3, to_resolve=300)),
        (ended("c", Outcome.FAILED, "not_fixed", escalated=True), Times(to_detect=30, to_respond=2)),
        (ended("d", Outcome.SUCCEEDED, "nothing_to_do"), Times(to_detect=40, to_resolve=1)),
        (ended("e", Outcome.CANCELLED, "resolved"), Times(to_detect=50)),
        (view("f"), Times()),
    ]
    found = stats(runs)
    assert (found.remediations, found.open, found.escalated, found.false_positives) == (6, 1, 1, 2)
    assert found.success_rate == pytest.approx(2 / 3, abs=1e-3)
    assert (found.time_to_resolve.count, found.time_to_resolve.median, found.time_to_resolve.longest) == (2, 100, 300)
    (book,) = found.runbooks
    assert (book.succeeded, book.failed, book.false_positives) == (2, 1, 2)


async def test_the_report_comes_as_markdown_or_as_json_and_figures_as_json() -> None:
    memory = Memory()
    memory.entries = ENTRIES

    async def evidence(remediation: str) -> bytes | None:
        return gzip.compress(json.dumps(KEPT).encode())

    memory.evidence = evidence  # type: ignore[method-assign]
    memory.views["r0"] = ended()
    http = await client(memory, "view-token")
    text = await http.get("/api/v1/remediations/r0/report")
    assert text.content_type == "text/markdown"
    assert "## Time line" in await text.text()
    parts = await http.get("/api/v1/remediations/r0/report", headers={"Accept": "application/json"})
    assert (await parts.json())["times"]["to_respond"] == 40
    figures = await (await http.get("/api/v1/stats?limit=2")).json()
    assert figures["stats"]["remediations"] == 2
    assert figures["goals"] == []
    await problem(await http.get("/api/v1/remediations/none/report"), 404)
    memory.down = True
    await problem(await http.get("/api/v1/stats"), 503)
    await http.close()


async def test_figures_say_whether_the_goals_of_the_configuration_of_now_are_met() -> None:
    memory = Memory()
    memory.views = {"r0": ended()}
    asked = [Goals([Goal(detect="2m")]), Goals([Goal(detect="30s")])]
    http = await client(memory, "view-token", goals=lambda: asked.pop(0))
    for met in (True, False):
        (goal,) = (await (await http.get("/api/v1/stats")).json())["goals"]
        (figure,) = goal["figures"]
        assert (figure["name"], figure["found"], figure["met"]) == ("detect", 60, met)
    await http.close()
