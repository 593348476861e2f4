"""`ack`, and what `show` says of messages."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from bridge.cli import main
from bridge.model.approval import Question
from bridge.model.remediation import Entry, State
from bridge.printing import people
from tests.support.api_fakes import NOW, Memory, view
from tests.support.api_server import serving


def test_a_lost_message_shows_with_its_channel_and_error() -> None:
    at = "2026-01-02T03:04:05Z"
    lost = {"name": "escalated-1/on-call", "state": "lost", "at": at, "attempts": 9, "error": "no\x1b[2J"}
    sent = {"name": "done/team", "state": "sent", "at": at, "attempts": 1, "error": ""}
    text = people.told({"acknowledged": {"by": "ann", "why": "mine", "at": at}, "notices": [sent, lost]})
    assert "acknowledged by ann at 2026-01-02T03:04:05Z: mine" in text
    assert "escalated-1/on-call  after 9 tries: no\\x1b[2J" in text
    assert "done/team" in text
    assert people.told({"acknowledged": None, "notices": []}) == ""


def test_ack_tells_who_has_taken_it_on() -> None:
    with serving(Memory()) as url:
        told = CliRunner(env={"ALERTBRIDGE_URL": url, "ALERTBRIDGE_TOKEN": "op-token"})
        assert told.invoke(main, ["ack", "r1", "--why", "mine"]).stdout.endswith("r1 is acknowledged by olga\n")
        gone = told.invoke(main, ["ack", "nobody"])
        assert (gone.exit_code, "404" in gone.stderr) == (1, True)
        assert "Told to people:" in told.invoke(main, ["show", "r1"]).stdout


ASKED = Question(plans={"only/0": "ab" * 8}, need=2, until=NOW + 60)


@pytest.mark.parametrize("output", ["text", "json"])
def test_who_approves_without_naming_a_plan_sees_it_and_agrees_to_just_that(output: str) -> None:
    memory = Memory()
    memory.views["r1"] = view("r1", State.PARKED)
    fields = [{"pointer": "/spec/replicas", "before": 3, "after": 4}]
    change = {"ref": {"kind": "Deployment", "namespace": "shop", "name": "web"}, "fields": fields, "summary": "more"}
    plan = {"action": "scale", "summary": "scale it\x1b[2J", "changes": [change]}
    question = {"plans": ASKED.plans, "need": 2, "until": ASKED.until}
    memory.entries = [
        Entry(kind="planned", at=NOW, text="an old one", data={"step": "only/0", "hash": "f" * 16, "plan": plan}),
        Entry(kind="planned", at=NOW, text=plan["summary"], data={"step": "only/0", "hash": "ab" * 8, "plan": plan}),
        Entry(kind="asked", at=NOW, data={"question": question}),
    ]
    with serving(memory) as url:
        person = CliRunner(env={"ALERTBRIDGE_URL": url, "ALERTBRIDGE_TOKEN": "op-token"})
        told = person.invoke(main, ["approve", "r1", "-o", output])
        assert told.exit_code == 0, told.stderr
        (answer,) = memory.answered
        assert (answer.agree, answer.digest) == (True, ASKED.digest)
        assert ("+  replicas: 4" in told.stderr) is (output == "text")
        assert "\x1b[2J" not in told.stderr
        assert "an old one" not in told.stderr
