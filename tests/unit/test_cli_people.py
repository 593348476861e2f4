"""`ack`, and what `show` says of messages."""

from __future__ import annotations

from bridge.printing import people


def test_a_lost_message_shows_with_its_channel_and_error() -> None:
    at = "2026-01-02T03:04:05Z"
    lost = {"name": "escalated-1/on-call", "state": "lost", "at": at, "attempts": 9, "error": "no\x1b[2J"}
    sent = {"name": "done/team", "state": "sent", "at": at, "attempts": 1, "error": ""}
    text = people.told({"acknowledged": {"by": "ann", "why": "mine", "at": at}, "notices": [sent, lost]})
    assert "acknowledged by ann at 2026-01-02T03:04:05Z: mine" in text
    assert "escalated-1/on-call  after 9 tries: no\\x1b[2J" in text
    assert "done/team" in text
    assert people.told({"acknowledged": None, "notices": []}) == ""
