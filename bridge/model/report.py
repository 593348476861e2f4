"""The incident report: what a post-mortem needs, from the record, the journal and the evidence of a remediation.

Pure data and pure functions; called by the API. Times are unix seconds. Nothing is guessed: what is not known is left
out, or said to be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bridge.model import kinds
from bridge.model.approval import ASKED
from bridge.model.redact import mask
from bridge.model.remediation import Entry, Outcome, Remediation, RemediationView
from bridge.model.report_lines import Moment, found_of, impact_of, left_of, people_of, timeline_of
from bridge.model.sentences import plain


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
    """Return how long it took to detect, respond and resolve; nothing for what only puts back something."""
    made = view.remediation
    if made.undo_of:
        return Times()
    start, received = made.started_at or made.created_at, received_of(made)
    # Clocks differ: a sender's that goes ahead of ours makes no negative times.
    detect = max(0.0, received - start) if received else None
    acted = next((entry.at for entry in entries if entry.kind in (kinds.APPLYING, kinds.APPLIED, ASKED)), None)
    resolved = view.finished_at if view.outcome is Outcome.SUCCEEDED else None
    return Times(
        to_detect=detect,
        to_respond=None if acted is None else max(0.0, acted - received),
        to_resolve=None if resolved is None else max(0.0, resolved - start),
    )


def received_of(made: Remediation) -> float:
    """Return when the firing was first received: a pause, a hold-off or a queue may lie between that and the run."""
    return made.received_at or made.created_at


def report(view: RemediationView, entries: Sequence[Entry], kept: Mapping[str, Any]) -> Report:
    """Return the report; `kept` is the evidence document of the remediation."""
    made, book = view.remediation, view.remediation.runbook_doc
    start = made.started_at or made.created_at
    end = view.finished_at
    named = made.labels.get("alertname") or made.runbook
    target = ", ".join(str(each) for each in made.all_targets)
    raw = Report(
        id=made.id,
        title=f"{'undo of ' + made.undo_of + ', ' if made.undo_of else ''}{named}: {target}",
        runbook=made.runbook,
        summary=str(book.get("summary", "")),
        source=str(book.get("source", "")),
        severity=_severity(book, made.labels),
        outcome=view.outcome.value if view.outcome else "",
        reason=view.reason,
        detail=plain(view.detail),
        escalated=view.escalated,
        labels=made.labels,
        annotations=made.annotations,
        targets=[str(each) for each in made.all_targets],
        incidents=list(view.incidents),
        still_firing=len(view.open_incidents),
        started_at=start,
        received_at=received_of(made),
        finished_at=end,
        duration=None if end is None else max(0.0, end - start),
        times=times_of(view, entries),
        impact=[*filter(None, [str(book.get("impact", ""))]), *impact_of(kept)],
        found=list(found_of(entries, kept)),
        done=[entry.text for entry in entries if entry.kind == kinds.APPLIED and entry.data.get("wrote")],
        put_back=[entry.text for entry in entries if entry.kind == kinds.UNDONE],
        proved=[entry.text for entry in entries if entry.kind == kinds.VERIFIED and entry.text],
        people=list(people_of(view, entries)),
        timeline=list(timeline_of(view, entries)),
        told=next((str(entry.data["report"]) for entry in reversed(entries) if entry.data.get("report")), ""),
        checklist=[str(item) for item in book.get("checklist") or ()],
        left_to_people=list(left_of(view, entries, str(book.get("escalate", "")))),
    )
    return msgspec.convert(mask(msgspec.to_builtins(raw)), Report)


def _severity(book: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Return how bad a runbook calls what it mends; where it does not say, how bad the alert does."""
    within = book.get("respond_within")
    named = str(book.get("severity", "")) or labels.get("severity", "") or labels.get("priority", "")
    if not isinstance(within, int | float):
        return named
    minutes = f"{within / 60:g} min" if within < 3600 else f"{within / 3600:g} h"
    return f"{named or 'not said'}, to be responded to within {minutes}"
