"""Collector `events`: what Kubernetes noted about a workload and its pods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import ObjectParams, age, place
from bridge.model.permission import Permission
from bridge.model.permits import kind_of, permit
from bridge.model.redact import redact
from bridge.model.target import check_name
from bridge.model.workload import Document, at, parse_time
from bridge.ports import ActionContext

_MOST_EVENTS = 1000
_LONGEST_MESSAGE = 400


class EventsParams(ObjectParams):
    last: int = Field(default=30, ge=1, le=200, description="How many of the newest are kept as items.")
    scope: Literal["object", "namespace", "cluster"] = Field(
        default="object",
        description="`object`: about it, its ReplicaSets and pods; `namespace`, `cluster`: all that are there.",
    )


class EventItem(Facts):
    at: float = Field(description="When it was last seen.")
    age_seconds: float = Field(description="How long ago that was.")
    type: str = Field(description="Normal or Warning.")
    reason: str = Field(description="One word, such as BackOff.")
    object: str = Field(description="What it is about: `pod/web-1`.")
    namespace: str = Field(description="Where that is.")
    message: str = Field(description="The message, without credentials.")
    count: int = Field(description="How often it was seen.")


class EventFacts(Facts):
    total: int = Field(description="How many events there are.")
    warnings: int = Field(description="How many of them are warnings.")
    reasons: dict[str, int] = Field(description="How many there are of each reason.")
    warning_reasons: dict[str, int] = Field(description="How many warnings there are of each reason.")
    truncated: bool = Field(description="Whether there are more than were read.")
    items: list[EventItem] = Field(description="The newest ones, newest last.")


class Events(BaseCollector):
    name = "events"
    summary = "The newest events about a workload, its ReplicaSets and its pods, newest last."
    params: type[BaseModel] = EventsParams
    result: type[BaseModel] = EventFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        # Events about cluster-wide objects stand in the namespace `default`.
        wide = params.get("scope") == "cluster" or kind_of(kind, params) == "Node"
        return [permit("v1", "Event", "list", namespace="" if wide else None)]

    async def gather(self, context: ActionContext, params: EventsParams) -> EventFacts:
        """Return counts over all that were found and the newest `last` of them."""
        kind = params.kind or context.target.kind
        wide = params.scope == "cluster" or kind == "Node"
        name = "" if params.scope != "object" else check_name(params.name or context.target.name)
        found = await context.reach.cluster.list(
            "v1", "Event", "" if wide else place(context, params), limit=_MOST_EVENTS, everywhere=wide
        )
        about = [event for event in found if not name or _is_about(event, name)]
        about.sort(key=_moment)
        now = context.reach.clock.now()
        warnings = [event for event in about if event.get("type") == "Warning"]
        return EventFacts(
            total=len(about),
            warnings=len(warnings),
            reasons=_by_reason(about),
            warning_reasons=_by_reason(warnings),
            truncated=len(found) >= _MOST_EVENTS,
            items=[_item(event, now) for event in about[-params.last :]],
        )


def _by_reason(events: list[dict[str, Any]]) -> dict[str, int]:
    return dict(Counter(str(event.get("reason") or "") for event in events).most_common(50))


def _is_about(event: Document, name: str) -> bool:
    """Whether it is about the object or one that carries its name in front: a ReplicaSet, a pod."""
    subject = str(at(event, "involvedObject", "name") or "")
    return subject == name or subject.startswith(f"{name}-")


def _moment(event: Document) -> float:
    """Return when it was last seen; the API has four places for that."""
    times = (
        at(event, "series", "lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
        at(event, "metadata", "creationTimestamp"),
    )
    return next((seconds for seconds in map(parse_time, times) if seconds), 0.0)


def _item(event: Document, now: float) -> EventItem:
    subject = at(event, "involvedObject") or {}
    count = at(event, "series", "count") or event.get("count") or 1
    return EventItem(
        at=_moment(event),
        age_seconds=age(_moment(event), now),
        type=str(event.get("type") or ""),
        reason=str(event.get("reason") or ""),
        object=f"{str(subject.get('kind') or '').lower()}/{subject.get('name') or ''}",
        namespace=str(subject.get("namespace") or ""),
        message=redact(str(event.get("message") or ""), longest=_LONGEST_MESSAGE),
        count=int(count),
    )
