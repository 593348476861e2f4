"""The lines of an incident report, as whoever was not there needs them. Pure; called by report.

The journal tells each thing as it happens: when it is planned, announced and made, by each worker anew. Here each is
told once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bridge.model import kinds
from bridge.model.approval import APPROVED
from bridge.model.remediation import Entry, Outcome, RemediationView
from bridge.model.sentences import plain

MOST = 200
"""Lines of a time line; a loop gone wild has more."""
_FACTS = 8
"""Facts of one piece of evidence."""
_BY_HAND = "by"
"""In an entry's data: the person who did it."""
_QUIET = frozenset(
    {kinds.STARTED, kinds.EVIDENCE, kinds.ADMITTED, kinds.APPLYING, kinds.VERIFYING, kinds.PUTTING_BACK}
    | {kinds.ITEMS, kinds.SETTLED, kinds.PARKED, kinds.HANDED_OVER, APPROVED}
)
"""Kinds of entries that tell of the machinery, or what the next entry tells as well."""
_BEFORE = {
    kinds.PLANNED: "planned",
    kinds.APPLIED: "made",
    kinds.VERIFIED: "seen",
    kinds.SCENARIO: "found",
    kinds.FINISHED: "ended",
}
"""What stands before an entry's text."""


class Moment(msgspec.Struct, frozen=True):
    """One line of the time line."""

    at: float
    text: str
    who: str = ""
    kind: str = ""


def impact_of(kept: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the evidence of before the first write says of what was out."""
    for name, facts in _before(kept).items():
        total, ready = facts.get("total"), facts.get("ready")
        if isinstance(total, int) and isinstance(ready, int) and not isinstance(ready, bool):
            # Nodes are counted in the same words; only those tell how many are cordoned.
            things = "nodes" if "cordoned" in facts else "pods"
            if things == "pods" or ready < total:
                yield f"{total - ready} of {total} {things} were not ready ({name})"
        for word in ("crashlooping", "oom_killed", "unschedulable", "image_pull_errors"):
            if isinstance(facts.get(word), int) and facts[word] is not True and facts[word] > 0:
                yield f"{facts[word]} {word.replace('_', ' ')} ({name})"


def found_of(entries: Sequence[Entry], kept: Mapping[str, Any]) -> Iterator[str]:
    """Yield what applied, what the evidence of before the first write said, and what could not be gathered."""
    yield from dict.fromkeys(entry.text for entry in entries if entry.kind == kinds.SCENARIO and entry.text)
    for name, facts in _before(kept).items():
        plain_ones = [(key, value) for key, value in facts.items() if isinstance(value, bool | int | float | str)]
        told = [f"{key.replace('_', ' ')} {_fact(value)}" for key, value in plain_ones if value != ""]
        if told:
            more = f", and {len(told) - _FACTS} facts more" if len(told) > _FACTS else ""
            yield f"{name}: {', '.join(told[:_FACTS])}{more}"
    missing = (entry.data.get("missing") or {} for entry in entries if entry.kind == kinds.EVIDENCE)
    yield from dict.fromkeys(f"{name} could not be gathered: {why}" for each in missing for name, why in each.items())


def _before(kept: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    gathered = (kept.get("first") or kept).get("evidence") or {}
    return {name: facts for name, facts in gathered.items() if isinstance(facts, dict)}


def _fact(value: bool | float | str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)[:200]


def people_of(view: RemediationView, entries: Sequence[Entry]) -> Iterator[str]:
    """Yield what people decided and did."""
    made = view.remediation
    if made.requested_by:
        over = f"; in spite of: {', '.join(made.override)}" if made.override else ""
        yield f"asked for by {made.requested_by}" + (f": {made.why}" if made.why else "") + over
    for entry in entries:
        if by := str(entry.data.get(_BY_HAND) or ""):
            text = entry.text or entry.kind.replace("_", " ")
            line = text if by in text else f"{by}: {text}"
            if not (made.requested_by == by and entry.kind == "undo_asked"):
                yield line


def timeline_of(view: RemediationView, entries: Sequence[Entry]) -> Iterator[Moment]:
    """Yield what happened, in order."""
    made = view.remediation
    if made.undo_of:
        yield Moment(made.created_at, f"what {made.undo_of} changed is to be put back", kind="received")
    else:
        if made.started_at:
            yield Moment(made.started_at, "the alert began, by its sender's clock", kind="began")
        if made.received_at and made.created_at - made.received_at >= 1:
            yield Moment(made.received_at, "received", kind="received")
        yield Moment(made.created_at, f"taken on: {made.runbook}, chosen by {made.route or 'hand'}", kind="received")
    told = list(_once(entries))
    for entry in told[:MOST]:
        yield _moment(entry)
    if len(told) > MOST:
        yield Moment(told[-1].at, f"{len(told) - MOST} more entries are in the journal", kind="cut")


def _moment(entry: Entry) -> Moment:
    text, who = entry.text or entry.kind.replace("_", " "), str(entry.data.get(_BY_HAND) or "")
    word = "" if entry.data.get("foreseen") else _BEFORE.get(entry.kind, "")
    return Moment(entry.at, f"{word}: {text}" if word else text, "" if who in text else who, entry.kind)


def _once(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield the entries that tell of something: not again what a second look foresaw or planned just so."""
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        if entry.kind in _QUIET:
            continue
        again = entry.kind in (kinds.SCENARIO, kinds.PLANNED, kinds.FORESEEN, kinds.TRYING)
        if again and (entry.kind, entry.text) in seen:
            continue
        seen.add((entry.kind, entry.text))
        yield entry


def left_of(view: RemediationView, entries: Sequence[Entry], escalate: str) -> Iterator[str]:
    """Yield what only a person can do now."""
    if view.escalated:
        yield escalate or f"find out why: {plain(view.detail) or view.reason}"
    for entry in entries:
        if entry.kind == kinds.UNDONE and (refused := entry.data.get("refused")):
            yield f"put back by hand what could not be: {refused}"
    if view.outcome is Outcome.UNKNOWN:
        yield "look at the target: what became of it is not known"
    if view.outcome is not None and view.open_incidents:
        count = len(view.open_incidents)
        yield "1 alert still fires" if count == 1 else f"{count} alerts still fire"
