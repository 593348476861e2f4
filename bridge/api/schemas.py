"""What the API takes and gives about remediations, as types: handlers fill them, OpenAPI is generated from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from bridge.api.moments import moment
from bridge.model.approval import standing_of
from bridge.model.mode import Mode
from bridge.model.order import SCHEDULED
from bridge.model.redact import mask
from bridge.model.remediation import Entry, Outcome, Remediation, RemediationView, State
from bridge.model.target import Target

Sentence = Annotated[str, msgspec.Meta(max_length=500)]


# ---- answers


class AskedBy(msgspec.Struct, frozen=True):
    """Who or what asked for a run."""

    kind: Literal["alert", "operator", "schedule", "run", "undo"]
    """run: a step of another run; undo: it puts back what another run changed."""
    name: str
    """The alert's or the schedule's name, the operator's, or the id of the other run."""


def asked_by(made: Remediation) -> AskedBy:
    """Return who or what asked for a run, by its record."""
    if made.undo_of:
        return AskedBy("undo", made.undo_of)
    if made.parents:
        return AskedBy("run", made.parents[-1])
    if made.route.startswith(SCHEDULED):
        return AskedBy("schedule", made.route.removeprefix(SCHEDULED))
    if made.requested_by:
        return AskedBy("operator", made.requested_by)
    return AskedBy("alert", made.labels.get("alertname", ""))


class RemediationItem(msgspec.Struct, frozen=True, kw_only=True):
    """One remediation with its progress."""

    id: str
    runbook: str
    target: Target
    targets: list[Target]
    """All that the run is about: `target` alone, or those whose alerts joined it."""
    mode: Mode
    state: State
    outcome: Outcome | None
    reason: str
    """Value of the last decision's reason."""
    detail: str
    escalated: bool
    writing: bool
    """Whether its first write has begun."""
    labels: dict[str, str]
    route: str
    asked_by: AskedBy
    requested_by: str
    why: str
    incidents: list[str]
    open_incidents: list[str]
    deaths: int
    worker: str
    created_at: datetime | None
    updated_at: datetime | None
    finished_at: datetime | None
    due_at: datetime | None


def item_of(view: RemediationView) -> RemediationItem:
    """Return a remediation as the API shows it."""
    made = view.remediation
    return RemediationItem(
        id=made.id,
        runbook=made.runbook,
        target=made.target,
        targets=list(made.all_targets),
        mode=made.mode,
        state=view.state,
        outcome=view.outcome,
        reason=view.reason,
        detail=view.detail,
        escalated=view.escalated,
        writing=view.writing,
        labels=made.labels,
        route=made.route,
        asked_by=asked_by(made),
        requested_by=made.requested_by,
        why=made.why,
        incidents=list(view.incidents),
        open_incidents=list(view.open_incidents),
        deaths=view.deaths,
        worker=view.worker,
        created_at=moment(made.created_at),
        updated_at=moment(view.updated_at),
        finished_at=moment(view.finished_at),
        due_at=moment(view.due_at),
    )


class RemediationList(msgspec.Struct, frozen=True):
    """Newest first. `next` is the `before` of the following page; null on the last."""

    remediations: list[RemediationItem]
    next: str | None


class QuestionItem(msgspec.Struct, frozen=True, kw_only=True):
    """What people were asked last."""

    plan: str
    """Digest of the plans; `approve` and `deny` take it, so that no other plan is answered."""
    steps: dict[str, str]
    """Step's key to the hash of its changes, as the journal's plans have them."""
    needed: int
    agreed: list[str]
    """Who agrees."""
    denied_by: str
    until: datetime | None
    open: bool
    """Whether it waits for an answer."""


def question_of(view: RemediationView, entries: Sequence[Entry]) -> QuestionItem | None:
    """Return what people were asked last, by the journal; None when nobody was."""
    standing = standing_of(entries)
    if (question := standing.question) is None:
        return None
    return QuestionItem(
        plan=question.digest,
        steps=question.plans,
        needed=question.need,
        agreed=sorted(name for name, agrees in standing.answers.items() if agrees),
        denied_by=standing.no.by if standing.no else "",
        until=moment(question.until),
        open=standing.open and view.state is not State.DONE,
    )


class RemediationDetail(msgspec.Struct, frozen=True):
    """One remediation with the configuration of its creation."""

    remediation: RemediationItem
    params: dict[str, Any]
    annotations: dict[str, str]
    config_hash: str
    runbook: dict[str, Any]
    """The resolved runbook that this run follows."""
    question: QuestionItem | None = None
    allow_namespaces: tuple[str, ...] = ()
    """Protected namespaces that its route makes an exception of."""


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a remediation."""

    kind: str
    at: datetime | None
    worker: str
    text: str
    reason: str
    data: dict[str, Any]


def entry_of(entry: Entry) -> JournalEntry:
    """Return a journal entry as the API shows it: without the credentials that a plan may hold."""
    return JournalEntry(
        kind=entry.kind,
        at=moment(entry.at),
        worker=entry.worker,
        text=entry.text,
        reason=entry.reason,
        data=mask(entry.data),
    )


class JournalAnswer(msgspec.Struct, frozen=True):
    """What happened to a remediation, oldest first."""

    entries: list[JournalEntry]


class Cancelled(msgspec.Struct, frozen=True):
    """The remediation will not run."""

    id: str


class AnswerTaken(msgspec.Struct, frozen=True):
    """Where the question stands with this answer in it."""

    id: str
    answer: str
    """approve or deny."""
    again: bool
    """Whether this person had said so before: nobody counts twice."""
    agreed: int
    """How many people agree by now."""
    needed: int


class UndoTaken(msgspec.Struct, frozen=True):
    """What it changed is being put back."""

    id: str
    undo: str
    """The remediation that puts it back."""
    again: bool
    """Whether somebody had asked for it before: it is done once."""


# ---- questions


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which remediations to list."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50
    # Unset rather than None: a query cannot say null, and `state=null` must not pass for "all".
    state: State | msgspec.UnsetType = msgspec.UNSET
    before: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | msgspec.UnsetType = msgspec.UNSET


class JournalQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """With `follow`, entries are streamed as they are written, one JSON object a line, until the run is over."""

    follow: bool = False


class AnswerRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why, and which plan was seen."""

    why: Sentence = ""
    plan: Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{16})?$")] = ""
    """Digest of the question that was seen, as its journal entry says it: another plan is not answered then."""


class UndoRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is to be put back."""

    why: Sentence = ""


class CancelRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why it is not wanted."""

    why: Sentence = ""
