"""`ack`, and what `show` says of messages."""

from __future__ import annotations

from click.testing import CliRunner

from bridge.cli import main
from bridge.printing import people
from tests.support.api_fakes import Memory
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
