"""A plan that was only foreseen is shown, and everywhere it is said that nothing of it was made."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridge import printing
from bridge.api.page_text import Shown, page
from bridge.api.schemas import entry_of
from bridge.model.approval import Answer
from bridge.model.mode import Mode
from bridge.model.notice import Event
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Outcome, State
from bridge.model.report import report
from bridge.model.report_text import markdown
from bridge.model.telling import Notify
from bridge.notify.texts import message
from tests.support.bench import OTHER, SUCCEEDED, TWO_STEPS, Bench, Judge, runbook

pytestmark = pytest.mark.usefixtures("quiet_log")

UNMADE = "<h2>Plan: nothing of it was made</h2>"


def told(bench: Bench, event: Event) -> str:
    """Return the text of the message about it."""
    view, entries = bench.view(), bench.entries()
    return message(Notify(), view, entries, event, now=bench.clock.now(), external_url="").text


def shown(bench: Bench) -> str:
    """Return the page of it."""
    return page(Shown(view=bench.view(), entries=bench.entries(), kept={}, operator=True))


async def test_what_a_guard_denies_is_shown_as_not_made() -> None:
    bench = Bench()
    bench.plan_guards = [Judge(Verdict.deny(Reason.PROTECTED_OBJECT, "hands off"))]
    bench.add()
    assert await bench.run() == (Outcome.DENIED, Reason.PROTECTED_OBJECT)
    assert bench.writes == []

    journal: list[Any] = [msgspec.to_builtins(entry_of(entry)) for entry in bench.entries()]
    lines = "\n".join(printing.journal(journal, None))
    assert "would be made: set ['web'] to 5" in lines
    assert UNMADE in shown(bench)
    assert "Nothing of this was made:" in told(bench, Event.ESCALATED)
    post_mortem = markdown(report(bench.view(), bench.entries(), {}))
    assert "would be made: set" in post_mortem
    assert "nothing was changed" in post_mortem


async def test_what_was_made_is_not_called_unmade() -> None:
    bench = Bench()
    bench.add(mode=Mode.APPROVE)
    await bench.stretch()
    assert "<h2>Plan</h2>" in shown(bench), "it may still be made"
    await bench.work.answer("r1", Answer(by="ann", agree=True), "")
    assert await bench.run() == SUCCEEDED
    assert "<h2>Plan</h2>" in shown(bench)
    assert "Nothing of this was made" not in told(bench, Event.DONE)


async def test_a_later_step_that_nobody_agreed_to_was_not_made_and_the_first_one_was() -> None:
    bench = Bench()
    bench.add(runbook(steps=TWO_STEPS), mode=Mode.APPROVE)
    await bench.stretch()
    question = bench.work.rows["r1"].question
    assert question is not None
    assert f"alertbridge approve r1 --plan {question.digest}" in told(bench, Event.WAITING)
    await bench.work.answer("r1", Answer(by="ann", agree=True), "")

    async def moved(now: str) -> None:
        if now == "after verified":
            bench.cluster.edit(OTHER, {"spec": {"value": 3}})

    bench.work.point = moved
    assert (await bench.stretch()).state is State.PARKED
    asked = told(bench, Event.WAITING)
    assert "worker" in asked
    assert "deployment/shop/web" not in asked.lower(), "the first step is made: nobody is asked about it"
    await bench.work.answer("r1", Answer(by="ann", agree=False), "")
    assert (await bench.run())[1] is Reason.APPROVAL_DENIED
    assert UNMADE in shown(bench)
