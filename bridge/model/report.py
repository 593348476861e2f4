"""The incident report: what a post-mortem needs, from the record, the journal and the evidence of a remediation.

Pure data and pure functions; called by the API. Times are unix seconds. Nothing is guessed: what is not known is left
out, or said to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bridge.model import approval, kinds
from bridge.model.redact import mask
from bridge.model.remediation import Entry, Outcome, RemediationView

_QUIET = frozenset(
    {
        kinds.STARTED,
        kinds.EVIDENCE,
        kinds.APPLYING,
        kinds.PUTTING_BACK,
        kinds.ITEMS,
        kinds.SETTLED,
        kinds.PARKED,
        kinds.HANDED_OVER,
    }
)
"""Kinds of entries that tell of the machinery, not of the incident."""
_BY_HAND = "by"
"""In an entry's data: the person who did it."""
MOST = 200
"""Lines of a time line; a loop gone wild has more."""


class Moment(msgspec.Struct, frozen=True):
    """One line of the time line."""

    at: float
    text: str
    who: str = ""
    kind: str = ""


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """The success metrics of one incident, seconds; None: it did not come to that."""

    to_detect: float | None = None
    """From the alert's start, by its sender's clock, to its being received."""
    to_respond: float | None = None
    """From its being received to the first action: a write, or a question to a person."""
    to_resolve: float | None = None
    """From the alert's start to the proof that it is over."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report of one remediation."""

    id: str
    title: str
    runbook: str
    summary: str
    source: str
    """Where the people's version of the runbook stands."""
    severity: str
    """How bad the runbook calls it, and within which time somebody has to respond."""
    outcome: str
    """Empty: it is not over."""
    reason: str
    detail: str
    escalated: bool
    labels: dict[str, str]
    annotations: dict[str, str]
    targets: list[str]
    incidents: list[str]
    still_firing: int
    started_at: float
    received_at: float
    finished_at: float | None
    duration: float | None
    """From the alert's start to the end of the remediation, seconds."""
    times: Times
    impact: list[str]
    found: list[str]
    done: list[str]
    put_back: list[str]
    proved: list[str]
    people: list[str]
    timeline: list[Moment]
    told: str
    """What the runbook itself reports of the run."""
    checklist: list[str]
    left_to_people: list[str]


def times_of(view: RemediationView, entries: Sequence[Entry]) -> Times:
    """Return how long it took to detect, respond and resolve."""
    made = view.remediation
    start = made.started_at or made.created_at
    # Clocks differ: a sender's that goes ahead of ours makes no negative times.
    detect = max(0.0, made.created_at - start) if made.created_at else None
    acted = next(
        (entry.at for entry in entries if entry.kind in (kinds.APPLYING, kinds.APPLIED, approval.ASKED)), None
    )
    resolved = view.finished_at if view.outcome is Outcome.SUCCEEDED else None
    return Times(
        to_detect=detect,
        to_respond=None if acted is None else max(0.0, acted - made.created_at),
        to_resolve=None if resolved is None else max(0.0, resolved - start),
    )


def report(view: RemediationView, entries: Sequence[Entry], kept: Mapping[str, Any]) -> Report:
    """Return the report; `kept` is the evidence document of the remediation."""
    made, book = view.remediation, view.remediation.runbook_doc
    start = made.started_at or made.created_at
    end = view.finished_at
    target = ", ".join(str(each) for each in made.all_targets)
    raw = Report(
        id=made.id,
        title=f"{made.labels.get('alertname') or made.runbook}: {target}",
        runbook=made.runbook,
        summary=str(book.get("summary", "")),
        source=str(book.get("source", "")),
        severity=_severity(book),
        outcome=view.outcome.value if view.outcome else "",
        reason=view.reason,
        detail=view.detail,
        escalated=view.escalated,
        labels=made.labels,
        annotations=made.annotations,
        targets=[str(each) for each in made.all_targets],
        incidents=list(view.incidents),
        still_firing=len(view.open_incidents),
        started_at=start,
        received_at=made.created_at,
        finished_at=end,
        duration=None if end is None else max(0.0, end - start),
        times=times_of(view, entries),
        impact=[*filter(None, [str(book.get("impact", ""))]), *_impact(kept)],
        found=[entry.text for entry in entries if entry.kind in (kinds.SCENARIO, kinds.EVIDENCE) and entry.text],
        done=[entry.text for entry in entries if entry.kind == kinds.APPLIED and entry.data.get("wrote")],
        put_back=[entry.text for entry in entries if entry.kind == kinds.UNDONE],
        proved=[entry.text for entry in entries if entry.kind == kinds.VERIFIED and entry.text],
        people=list(_people(view, entries)),
        timeline=list(_timeline(view, entries)),
        told=next((str(entry.data["report"]) for entry in reversed(entries) if entry.data.get("report")), ""),
        checklist=[str(item) for item in book.get("checklist") or ()],
        left_to_people=list(_left(view, entries, str(book.get("escalate", "")))),
    )
    return msgspec.convert(mask(msgspec.to_builtins(raw)), Report)


def _severity(book: Mapping[str, Any]) -> str:
    """Return how bad a runbook calls what it mends."""
    within = book.get("respond_within")
    named = str(book.get("severity", ""))
    if not isinstance(within, int | float):
        return named
    minutes = f"{within / 60:g} min" if within < 3600 else f"{within / 3600:g} h"
    return f"{named or 'not said'}, to be responded to within {minutes}"


def _impact(kept: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the evidence of before the first write says of what was out."""
    before = (kept.get("first") or kept).get("evidence") or {}
    for name, facts in before.items():
        if not isinstance(facts, dict):
            continue
        total, ready = facts.get("total"), facts.get("ready")
        if isinstance(total, int) and isinstance(ready, int) and not isinstance(ready, bool):
            yield f"{total - ready} of {total} pods were not ready ({name})"
        for word in ("crashlooping", "oom_killed", "unschedulable", "image_pull_errors"):
            if isinstance(facts.get(word), int) and facts[word] is not True and facts[word] > 0:
                yield f"{facts[word]} {word.replace('_', ' ')} ({name})"


def _people(view: RemediationView, entries: Sequence[Entry]) -> Iterator[str]:
    made = view.remediation
    if made.requested_by:
        yield f"asked for by {made.requested_by}" + (f": {made.why}" if made.why else "")
    for entry in entries:
        if by := entry.data.get(_BY_HAND):
            yield f"{by}: {entry.text or entry.kind.replace('_', ' ')}"


def _timeline(view: RemediationView, entries: Sequence[Entry]) -> Iterator[Moment]:
    made = view.remediation
    if made.started_at:
        yield Moment(made.started_at, "the alert began, by its sender's clock", kind="began")
    yield Moment(made.created_at, f"received; {made.runbook} was chosen by {made.route or 'hand'}", kind="received")
    told = [entry for entry in entries if entry.kind not in _QUIET]
    for entry in told[:MOST]:
        yield Moment(
            entry.at, entry.text or entry.kind.replace("_", " "), str(entry.data.get(_BY_HAND, "")), entry.kind
        )
    if len(told) > MOST:
        yield Moment(told[-1].at, f"{len(told) - MOST} more entries are in the journal", kind="cut")


def _left(view: RemediationView, entries: Sequence[Entry], escalate: str) -> Iterator[str]:
    """Yield what only a person can do now."""
    if view.escalated:
        yield escalate or f"find out why: {view.detail or view.reason}"
    for entry in entries:
        if entry.kind == kinds.UNDONE and (refused := entry.data.get("refused")):
            yield f"put back by hand what could not be: {refused}"
    if view.outcome is Outcome.UNKNOWN:
        yield "look at the target: what became of it is not known"
    if view.outcome is not None and view.open_incidents:
        yield f"{len(view.open_incidents)} alerts still fire"
