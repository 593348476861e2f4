"""A run asked for by hand: `curl` or `alertbridge trigger` by an operator."""

from __future__ import annotations

from typing import Annotated

import msgspec

from bridge.errors import InvalidInput
from bridge.model.alert import Alert, fingerprint
from bridge.model.reason import Reason

Name = Annotated[str, msgspec.Meta(max_length=253)]
Labels = Annotated[dict[str, str], msgspec.Meta(max_length=64)]

_REASONS = {reason.value for reason in Reason}


class TriggerRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An alert by hand: a name (or labels with an `alertname`) that is routed, or a runbook that is named.

    It goes through every guard that an alert goes through, but for those that `override` names.
    """

    alert: Name = ""
    runbook: Name = ""
    labels: Labels = {}
    annotations: Labels = {}
    why: Annotated[str, msgspec.Meta(max_length=500)] = ""
    override: Annotated[list[str], msgspec.Meta(max_length=16)] = []


def alert_of(request: TriggerRequest, *, by: str, now: float) -> Alert:
    """Return the alert that `by` asks for at `now` (unix seconds); raise InvalidInput.

    It starts now, so that asking again is a new incident, which the cooldown slows down as it does any other.
    """
    labels = dict(request.labels)
    named = labels.get("alertname", request.alert)
    if request.alert and request.alert != named:
        raise InvalidInput(f"alert {request.alert!r} and the label alertname {named!r} differ: give one of them")
    if not named and not request.runbook:
        raise InvalidInput("name an alert to be routed (`alert`), or the runbook to run (`runbook`)")
    unknown = sorted(set(request.override) - _REASONS)
    if unknown:
        raise InvalidInput(f"override: {unknown[0]!r} is no reason of a guard")
    if named:
        labels["alertname"] = named
    return Alert(
        source=by,
        fingerprint=fingerprint(labels),
        status="firing",
        starts_at=int(now * 1_000_000),
        labels=labels,
        annotations=dict(request.annotations),
        requested_by=by,
        why=request.why,
        override=tuple(request.override),
        runbook=request.runbook,
    )
