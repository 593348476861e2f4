"""An object's conditions, as every kind that follows the API conventions has them. Used by `describe`, `objects`."""

from __future__ import annotations

from pydantic import Field

from bridge.evidence.base import Facts
from bridge.evidence.objects import age
from bridge.model.redact import redact
from bridge.model.workload import Document, at, parse_time

_MOST = 30
_ADVERSE = ("Failed", "Failure", "Stalled", "Degraded", "Pressure", "Unavailable", "Denied", "Suspended")
"""Conditions of which True is bad news."""


class ConditionItem(Facts):
    type: str = Field(description="Its type, such as Ready.")
    status: str = Field(description="True, False or Unknown.")
    reason: str = Field(description="Why, in one word.")
    message: str = Field(description="Why, in a sentence, without credentials.")
    age_seconds: float = Field(description="How long it has been so.")


def conditions_of(document: Document, now: float) -> list[ConditionItem]:
    """Return its conditions in their order, 30 at most."""
    found = at(document, "status", "conditions")
    return [
        ConditionItem(
            type=str(one.get("type") or ""),
            status=str(one.get("status") or ""),
            reason=str(one.get("reason") or ""),
            message=redact(str(one.get("message") or ""), longest=400),
            age_seconds=age(parse_time(one.get("lastTransitionTime")), now),
        )
        for one in (found if isinstance(found, list) else [])[:_MOST]
        if isinstance(one, dict)
    ]


def is_well(conditions: list[ConditionItem]) -> bool | None:
    """Whether it says of itself that it is well (Ready, Available, Complete); None where it doesn't say."""
    states = {one.type: one.status for one in conditions}
    if any(states.get(kind) == "True" for kind in states if kind.endswith(_ADVERSE)):
        return False
    for kind in ("Ready", "Available", "Complete", "Established", "Accepted"):
        if kind in states:
            return {"True": True, "False": False}.get(states[kind])
    return None
