"""What the API takes and gives beside remediations: alerts, refusals, pauses, the server itself. As schemas.py."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from bridge.api.moments import moment
from bridge.api.schemas import Sentence
from bridge.model.intake import Pause, Seen
from bridge.model.refusal import Refusal
from bridge.model.remediation import Decision

Scope = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(all|(cluster|namespace|runbook):[^\x00-\x20\x7f]{1,253})$",
        description="`all`, or `cluster:NAME`, `namespace:NAME`, `runbook:NAME`",
    ),
]


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


class RefusalQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many refused alerts to show."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50


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
