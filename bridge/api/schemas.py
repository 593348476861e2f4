"""What the API takes and gives, as types: handlers fill them, OpenAPI is generated from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from bridge.model.approval import standing_of
from bridge.model.intake import Pause, Seen
from bridge.model.mode import Mode
from bridge.model.redact import mask
from bridge.model.refusal import Refusal
from bridge.model.remediation import Decision, Entry, Outcome, RemediationView, State
from bridge.model.target import Target

Scope = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(all|(cluster|namespace|runbook):[^\x00-\x20\x7f]{1,253})$",
        description="`all`, or `cluster:NAME`, `namespace:NAME`, `runbook:NAME`",
    ),
]
Sentence = Annotated[str, msgspec.Meta(max_length=500)]


def moment(seconds: float | None) -> datetime | None:
    """Return unix seconds as a UTC time; None for None and for 0, which stands for "not known"."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


# ---- answers


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


class DecisionItem(msgspec.Struct, frozen=True, kw_only=True):
    """One decision about an alert, those to do nothing included."""

    at: datetime | None
    reason: str
    detail: str
    incident: str
    remediation: str
    route: str
    runbook: str


def decision_of(decision: Decision) -> DecisionItem:
    """Return a decision as the API shows it."""
    return DecisionItem(
        at=moment(decision.at),
        reason=decision.reason,
        detail=decision.detail,
        incident=decision.incident,
        remediation=decision.remediation,
        route=decision.route,
        runbook=decision.runbook,
    )


class IncidentItem(msgspec.Struct, frozen=True, kw_only=True):
    """One source's latest incident of the alert, as far as it is still kept."""

    source: str
    incident: str
    state: str
    """open, closed or held."""
    starts_at: datetime | None
    """By the sender's clock; all other times by ours."""
    ended_at: datetime | None
    opened_at: datetime | None
    closed_at: datetime | None
    last_seen: datetime | None
    held_since: datetime | None
    waits_on: str
    """Reason after whose end it is looked at again."""
    remediations: list[str]


def incident_of(facts: Mapping[str, Any]) -> IncidentItem:
    """Return what the store keeps of an incident as the API shows it."""
    times = ("starts_at", "ended_at", "opened_at", "closed_at", "last_seen", "held_since")
    return IncidentItem(
        source=facts.get("source", ""),
        incident=facts.get("incident", ""),
        state=facts.get("state", ""),
        waits_on=facts.get("waits_on", ""),
        remediations=list(facts.get("remediations", ())),
        **{name: moment(facts.get(name)) for name in times},
    )


class Explanation(msgspec.Struct, frozen=True):
    """What is known of an alert, and every decision about it, oldest first."""

    fingerprint: str
    incidents: list[IncidentItem]
    decisions: list[DecisionItem]
    story: list[str] = []
    """The decisions as sentences, with their times (UTC)."""


class PauseItem(msgspec.Struct, frozen=True, kw_only=True):
    """One stop that an operator set."""

    scope: str
    by: str
    why: str
    since: datetime | None
    until: datetime | None


def pause_of(pause: Pause) -> PauseItem:
    """Return a pause as the API shows it."""
    return PauseItem(
        scope=pause.scope, by=pause.by, why=pause.why, since=moment(pause.since), until=moment(pause.until)
    )


class PauseList(msgspec.Struct, frozen=True):
    """All stops that hold now."""

    pauses: list[PauseItem]


class RefusalItem(msgspec.Struct, frozen=True, kw_only=True):
    """One alert that the receiver could not take."""

    at: datetime | None
    source: str
    sender: str
    reason: str
    detail: str
    index: int
    excerpt: str


def refusal_of(refusal: Refusal) -> RefusalItem:
    """Return a refusal as the API shows it."""
    return RefusalItem(
        at=moment(refusal.at),
        source=refusal.source,
        sender=refusal.sender,
        reason=refusal.reason.value,
        detail=refusal.detail,
        index=refusal.index,
        excerpt=refusal.excerpt,
    )


class RefusalList(msgspec.Struct, frozen=True):
    """The newest refused alerts, newest first."""

    refusals: list[RefusalItem]


class Resumed(msgspec.Struct, frozen=True):
    """The pause is over; `woken` open incidents that waited for that are looked at again."""

    scope: str
    woken: int


class Triggered(msgspec.Struct, frozen=True):
    """The alert is stored. What becomes of it: `GET /api/v1/explain/FINGERPRINT`."""

    fingerprint: str
    seen: Seen
    incident: str


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


class Reloaded(msgspec.Struct, frozen=True):
    """The configuration was read again and is in use."""

    routes: int
    runbooks: int


class Health(msgspec.Struct, frozen=True):
    """`ok`; everything else is a problem document."""

    status: str = "ok"


class Welcome(msgspec.Struct, frozen=True):
    """Where to go from here."""

    name: str
    version: str
    links: dict[str, str]


# ---- questions


class ListQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which remediations to list."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50
    # Unset rather than None: a query cannot say null, and `state=null` must not pass for "all".
    state: State | msgspec.UnsetType = msgspec.UNSET
    before: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | msgspec.UnsetType = msgspec.UNSET


class RefusalQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many refused alerts to show."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


class JournalQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """With `follow`, entries are streamed as they are written, one JSON object a line, until the run is over."""

    follow: bool = False


class PauseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Stop acting. Alerts are still taken in; what still fires is looked at when the pause ends."""

    why: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    scope: Scope = "all"
    seconds: Annotated[float, msgspec.Meta(gt=0, le=31_536_000)] | None = None
    """How long; without it until somebody resumes."""


class ResumeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """End the pause of this scope."""

    scope: Scope = "all"
    why: Sentence = ""


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
