"""Between the model and what stands in Redis. Used by all stores.

Stored records carry a schema version (`bridge.model.remediation.SCHEMA`). We read our own and the one before;
the scripts leave a record of a newer version to a newer worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from bridge.model.alert import Alert
from bridge.model.intake import Seen, Transition
from bridge.model.remediation import Decision, Entry, Outcome, Remediation, RemediationView, State
from bridge.model.target import Target

ENCODER = msgspec.json.Encoder()
ALERT = msgspec.json.Decoder(Alert)
ENTRY = msgspec.json.Decoder(Entry)
DECISION = msgspec.json.Decoder(Decision)
TRANSITION = msgspec.json.Decoder(Transition)
REMEDIATION = msgspec.json.Decoder(Remediation)
TARGET = msgspec.json.Decoder(Target)

LONGEST_DETAIL = 2000
"""Characters of a decision's detail."""

ANSWERS: dict[str, Seen] = {
    "N": Seen.NEW,
    "S": Seen.SUPERSEDES,
    "O": Seen.REOPENED,
    "R": Seen.RESOLVED,
    "T": Seen.TOMBSTONE,
    "D": Seen.DUPLICATE,
    "H": Seen.HELD,
    "L": Seen.STALE,
}
"""The letters in which intake.lua answers."""


def stamped(record: Entry | Decision) -> bytes:
    """Return it as JSON; the script adds the store's own time."""
    return ENCODER.encode(msgspec.structs.replace(record, at=0.0))


def brief(text: str) -> str:
    """Return the text as decisions keep it: each alert of a run has one, and the trail has all of them.

    The journal of the run has the whole.
    """
    return text if len(text) <= LONGEST_DETAIL else f"{text[: LONGEST_DETAIL - 1]}…"


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the mapping that Redis wrote as a flat list."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def milliseconds(seconds: float | None) -> str:
    """Return a store time as the scripts take it; empty for None."""
    return "" if seconds is None else f"{seconds * 1000:.0f}"


def texts(items: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(item.decode("utf-8", "surrogatepass") for item in items)


def view_of(
    flat: Sequence[bytes], incidents: Sequence[bytes], opened: Sequence[bytes], targets: Sequence[bytes]
) -> RemediationView:
    """Return a remediation with its progress from the fields of its hash, and what stands beside it."""
    fields = {name.decode(): value for name, value in pairs(flat).items()}

    def text(name: str) -> str:
        return fields.get(name, b"").decode()

    def seconds(name: str) -> float | None:
        value = fields.get(name)
        return float(value) / 1000 if value else None

    remediation = REMEDIATION.decode(fields["doc"])
    several = tuple(sorted(TARGET.decode(target) for target in targets))
    return RemediationView(
        remediation=msgspec.structs.replace(remediation, created_at=seconds("created") or 0.0, targets=several),
        state=State(text("state")),
        outcome=Outcome(text("outcome")) if text("outcome") else None,
        reason=text("reason"),
        detail=text("detail"),
        escalated=text("escalated") == "1",
        incidents=tuple(sorted(texts(incidents))),
        open_incidents=tuple(sorted(texts(opened))),
        writing=text("writing") == "1",
        deaths=int(text("deaths") or 0),
        due_at=seconds("due"),
        worker=text("worker"),
        updated_at=seconds("updated") or 0.0,
        finished_at=seconds("finished"),
    )


def transitions_of(fields: dict[bytes, bytes]) -> tuple[list[Transition], list[tuple[int, bytes, str]]]:
    """Return an intake entry's transitions, and what could not be read: (index, JSON, error)."""
    received = float(fields[b"at"])
    good: list[Transition] = []
    bad: list[tuple[int, bytes, str]] = []
    first = int(fields[b"s"])
    letters = fields[b"m"].decode()
    for index, (letter, line) in enumerate(zip(letters, fields[b"a"].split(b"\n"), strict=False)):
        try:
            alert = ALERT.decode(line)
            seen = ANSWERS[letter]
        except (msgspec.DecodeError, KeyError, RecursionError) as error:
            bad.append((index, line, str(error)))
        else:
            good.append(Transition(alert=alert, seq=first + index, seen=seen, received_at=received))
    return good, bad


def plain(value: Any) -> Any:
    """Return `value` with bytes as text, for answers that are shown to people."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value
