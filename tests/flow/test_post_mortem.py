"""One bad evening, as whoever writes the post-mortem finds it: story, report and trail of real runs.

A release breaks `web`. Ann has paused the shop for an upgrade; when she resumes, people are asked; Ben agrees. A
restart does not help, going back does. Cleo has taken it on; it fires again within the cooldown; Dora has it undone.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from bridge.api.audit import AuditRecord, TrailTeller
from bridge.engine.byhand import ByHand
from bridge.model.alert import fingerprint
from bridge.model.approval import Answer
from bridge.model.intake import Pause
from bridge.model.notice import Ack
from bridge.model.remediation import Decision, State
from bridge.model.report import Report, Times, report
from bridge.model.report_text import markdown
from bridge.model.sentences import story
from tests.flow.test_words import VERIFY, attempt, broken_release
from tests.support.installation import runbook
from tests.support.redis import RedisServer
from tests.support.stage import Stage

MINUTE = 60.0
DOWN = runbook(
    "shop/web-down",
    summary="The shop's pods are down.",
    source="https://wiki.example/runbooks/web-down",
    evidence={"rollout": {"collect": "rollout"}, "pods": {"collect": "pods"}},
    scenarios=[
        {
            "name": "a release that does not come up",
            "when": "!evidence.rollout.complete",
            "try": [attempt("restart", "rollout_restart"), attempt("go back", "rollout_undo")],
        }
    ],
    verify=VERIFY,
    escalate="Call the shop's developers: the release before this one may be wrong as well.",
    checklist=["Write down what was different in the release", "Add a check of it to the pipeline"],
)
ROUTE = {"runbook": "shop/web-down", "mode": "approve", "cooldown": "30m"}


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path, runbooks_too=[DOWN], alerts={"WebDown": ROUTE}) as stage:
        broken_release(stage)
        yield stage


async def evening(stage: Stage) -> str:
    """Let it happen; return the id of the run that mended it."""
    book, work = stage.stores.guardbook, stage.stores.work
    began = stage.clock.now()
    await book.pause(Pause(scope="namespace:shop", by="ann", why="upgrade of the mesh", since=began))
    await stage.fire("WebDown", deployment="web", starts_at=began - 2 * MINUTE, severity="critical")
    await stage.settle()
    await stage.advance(5 * MINUTE)
    await book.resume("namespace:shop", by="ann", why="the mesh is up")
    await stage.resume("namespace:shop")
    await stage.settle()
    await stage.advance(2 * MINUTE)
    run = (await stage.runs())[-1].remediation.id
    await stage.stores.notices.acknowledge(run, Ack(by="cleo", why="looking at it"))
    await work.answer(run, Answer(by="ben", agree=True, why="the release is from today"), "ben agreed: it is new")
    await stage.settle()
    while (view := await stage.stores.work.get(run)) is not None and view.state is not State.DONE:
        if view.reason == "approval_needed" and view.state is State.PARKED:
            await work.answer(run, Answer(by="ben", agree=True), "ben agreed")
        await stage.advance(10.0)
    await stage.resolve("WebDown", deployment="web", severity="critical")
    await stage.settle()
    await stage.advance(5 * MINUTE)
    await stage.fire("WebDown", deployment="web", severity="critical")
    await stage.settle()
    view = await work.get(run)
    assert view is not None
    await ByHand(work, stage.stores.journal).undo(view, by="dora", why="the old one is slower")
    await stage.settle()
    return run


async def reported(stage: Stage, run: str) -> Report:
    view = await stage.stores.work.get(run)
    assert view is not None
    blob = await stage.stores.journal.evidence(run)
    kept = msgspec.json.decode(gzip.decompress(blob)) if blob else {}
    return report(view, await stage.stores.journal.read(run), kept)


async def explained(stage: Stage, name: str) -> list[Decision]:
    return await stage.stores.guardbook.explain(name)


async def trail(stage: Stage) -> list[AuditRecord]:
    teller = TrailTeller(stage.stores.work, stage.stores.journal)
    return [one async for one in teller.tell(stage.stores.audit, 0.0, math.inf)]


def told(lines: list[str]) -> list[str]:
    """Return the sentences without their times."""
    return [line.split(" ", 2 if line.startswith("20") else 1)[-1] for line in lines]


async def test_the_story_of_the_alert_tells_every_decision_and_whose_it_was(stage: Stage) -> None:
    await evening(stage)
    name = fingerprint({"alertname": "WebDown", "namespace": "shop", "deployment": "web", "severity": "critical"})
    asked = re.compile(r"plan [0-9a-f]{16}")
    said = [asked.sub("plan P", re.sub(r"r\d{6}", "R", line)) for line in told(story(await explained(stage, name)))]
    assert said == [
        "fired; route alerts.WebDown → shop/web-down: remediation R was created.",
        "remediation R: nothing was done: paused by an operator"
        " (namespace:shop is paused by ann: upgrade of the mesh).",
        "still firing, so looked at again; route alerts.WebDown → shop/web-down: remediation R was created.",
        "remediation R: it waits for people: a person has to agree to plan P.",
        "remediation R: ben agreed: it is new.",
        "remediation R: it waits for people: a person has to agree to plan P.",
        "remediation R: ben agreed.",
        "remediation R: it was mended, and proved so: go back: `evidence.rollout.complete &&"
        " evidence.rollout.desired > 0` is true: evidence.rollout.complete is true, evidence.rollout.desired is 2.",
        "resolved.",
        "fired; route alerts.WebDown → shop/web-down: remediation R was created.",
        "remediation R: nothing was done: the same runbook ran for this target a short while ago"
        " (ran 300 s ago, its cooldown is 1800 s).",
        "remediation R-undo: what was changed is to be put back: dora asked for it: the old one is slower.",
        "remediation R-undo: what was changed is put back.",
    ]


async def test_the_report_can_be_pasted_into_a_post_mortem(stage: Stage) -> None:
    made = await reported(stage, await evening(stage))
    assert made.times.to_detect == pytest.approx(120, abs=5), "the pause is no part of it"
    assert made.times.to_respond == pytest.approx(300, abs=5)
    assert made.times.to_resolve is not None
    assert made.severity == "critical"
    assert made.impact == ["1 of 3 pods were not ready (pods)", "1 crashlooping (pods)"]
    assert made.found[0] == "a release that does not come up: !evidence.rollout.complete"
    assert "complete no" in made.found[1]
    assert [line.split(" ")[0] for line in made.done] == ["restart", "roll"]
    assert made.people == ["cleo took it on: looking at it", "ben agreed: it is new", "ben agreed"]
    assert made.proved[-1].endswith("evidence.rollout.desired is 2")
    assert made.left_to_people == []
    lines = [moment.text for moment in made.timeline]
    assert lines[:4] == [
        "the alert began, by its sender's clock",
        "received",
        "taken on: shop/web-down, chosen by alerts.WebDown",
        "found: a release that does not come up: !evidence.rollout.complete",
    ]
    assert len(lines) == len(set(lines)), "nothing is told twice"
    assert (
        lines.index("cleo took it on: looking at it")
        < lines.index("trying: restart")
        < lines.index("trying: go back")
    )
    text = markdown(made)
    assert "| Written runbook | https://wiki.example/runbooks/web-down |" in text
    assert "- [ ] Write down what was different in the release" in text


async def test_a_report_tells_that_it_was_put_back_later(stage: Stage) -> None:
    run = await evening(stage)
    made = await reported(stage, run)
    assert made.timeline[-1].text == f"{run}-undo: undone: what was changed is put back"
    assert made.timeline[-2].text.startswith("ended: succeeded: go back: ")


async def test_what_puts_back_something_has_a_report_of_its_own(stage: Stage) -> None:
    run = await evening(stage)
    made = await reported(stage, f"{run}-undo")
    assert made.title.startswith(f"undo of {run}, WebDown: ")
    assert (made.outcome, made.detail) == ("undone", "what was changed is put back")
    assert made.times == Times()
    assert len(made.put_back) == 2
    text = markdown(made)
    assert "nothing was changed" not in text
    assert "- asked for by dora: the old one is slower" in text


async def test_the_trail_says_of_each_write_for_whom_it_was_and_by_whose_leave(stage: Stage) -> None:
    run = await evening(stage)
    told = await trail(stage)
    acts = [(one.kind, one.who) for one in told if not one.who.startswith("alertbridge")]
    assert acts == [
        ("pause", "ann"),
        ("resume", "ann"),
        ("acknowledged", "cleo"),
        ("answered", "ben"),
        ("answered", "ben"),
        ("undo_asked", "dora"),
    ]
    writes = [one for one in told if one.object]
    assert [(one.kind, one.remediation, one.why) for one in writes] == [
        ("applied", run, "shop/web-down, for the alert WebDown; ben agreed: it is made"),
        ("applied", run, "shop/web-down, for the alert WebDown; ben agreed: it is made"),
        ("undone", f"{run}-undo", "dora asked for it: the old one is slower"),
        ("undone", f"{run}-undo", "dora asked for it: the old one is slower"),
    ]
    assert len(writes) == len(stage.writes)
    assert all(one.before != one.after and one.resource_version for one in writes)
    versions = [int(one.resource_version) for one in writes]
    assert versions == sorted(versions)
