"""What people were told of a remediation, as `show` prints it below the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.model.text import printable
from bridge.printing import coloured, second

_WORDS = {"sent": "succeeded", "lost": "failed"}
"""State of a message to the word whose colour it gets."""


def told(of: Mapping[str, Any]) -> str:
    """Return the messages with what became of each, and who has taken it on; empty when nobody was told."""
    lines = []
    if ack := of["acknowledged"]:
        why = f": {ack['why']}" if ack["why"] else ""
        lines.append(f"  acknowledged by {printable(ack['by'])} at {second(ack['at'])}{printable(why)}")
    for each in of["notices"]:
        state = coloured(each["state"].ljust(8), _WORDS.get(each["state"], ""))
        error = f"  after {each['attempts']} tries: {each['error']}" if each["error"] else ""
        lines.append(f"  {state} {second(each['at'])}  {printable(each['name'] + error)}")
    return "\n".join(["", "", "Told to people:", *lines]) if lines else ""
