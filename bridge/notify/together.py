"""Many messages as one, for a channel that people read. Pure; called by courier when too many are due at once."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.model.notice import Sending
from bridge.model.outside import Message

_WORST_FIRST = ("failure", "warning", "info", "success")
_MOST_LINES = 40
_CALLS = "escalated"


def together(due: Sequence[Sending], *, external_url: str) -> Message:
    """Return one message that says what each of `due` is about, those that need a person first."""
    ordered = sorted(due, key=lambda each: (not each.name.startswith(_CALLS), _rank(each.message), each.at))
    called = sum(each.name.startswith(_CALLS) for each in ordered)
    lines = [f"{each.message.title} ({each.remediation})" for each in ordered[:_MOST_LINES]]
    if left := len(ordered) - len(lines):
        lines.append(f"… and {left} more")
    head = f"{called} remediations need a person" if called else "much happens at once"
    needs = "Take one on with: alertbridge ack ID" if called else "See all with: alertbridge list"
    return Message(
        title=f"{head}: {len(ordered)} messages as one",
        text="\n".join([needs, *([external_url] if external_url else []), "", *lines]),
        level=ordered[0].message.level,
        link=external_url,
    )


def _rank(message: Message) -> int:
    return _WORST_FIRST.index(message.level) if message.level in _WORST_FIRST else 0
