"""Collector `events`: what Kubernetes noted about a workload and its pods."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.evidence.objects import ObjectParams, age
from bridge.model.redact import redact
from bridge.model.target import check_name, check_namespace
from bridge.model.workload import Document, at, parse_time
from bridge.ports import ActionContext

_MOST_EVENTS = 1000
_LONGEST_MESSAGE = 400


class EventsParams(ObjectParams):
    last: int = ParamField(default=30, ge=1, le=200)
    """How many are kept."""
    everything: bool = False
    """All of the namespace instead of those about the workload."""


class Events:
    """Implements bridge.ports.Collector."""

    name = "events"
    summary = "The newest events about a workload, its ReplicaSets and its pods, newest last."
    params: type[BaseModel] = EventsParams

    async def collect(self, context: ActionContext, params: EventsParams) -> dict[str, Any]:
        """Return counts over all that were found and the newest `last` of them."""
        namespace = check_namespace(params.namespace or context.target.namespace)
        name = check_name(params.name or context.target.name)
        found = await context.reach.cluster.list("v1", "Event", namespace, limit=_MOST_EVENTS)
        about = [event for event in found if params.everything or _is_about(event, name)]
        about.sort(key=_moment)
        now = context.reach.clock.now()
        items = [_item(event, now) for event in about[-params.last :]]
        return {
            "total": len(about),
            "warnings": sum(event.get("type") == "Warning" for event in about),
            "reasons": dict(Counter(str(event.get("reason") or "") for event in about).most_common(50)),
            "truncated": len(found) >= _MOST_EVENTS,
            "items": items,
        }


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


def _item(event: Document, now: float) -> dict[str, Any]:
    subject = at(event, "involvedObject") or {}
    count = at(event, "series", "count") or event.get("count") or 1
    return {
        "at": _moment(event),
        "age_seconds": age(_moment(event), now),
        "type": str(event.get("type") or ""),
        "reason": str(event.get("reason") or ""),
        "object": f"{str(subject.get('kind') or '').lower()}/{subject.get('name') or ''}",
        "message": redact(str(event.get("message") or ""), longest=_LONGEST_MESSAGE),
        "count": int(count),
    }
