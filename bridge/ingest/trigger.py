"""A person asks for something to be run: the manual trigger's body. Called by the receiver for bodies by hand on the
webhook and by the API for `POST /api/v1/trigger`.

A trigger is an alert like any other and goes through every guard; an override is explicit and in the audit trail.
"""

from __future__ import annotations

import msgspec

from bridge.errors import InvalidInput
from bridge.ingest.limits import RequestLimits
from bridge.ingest.times import LATEST, SECOND, micros
from bridge.model.alert import Alert, Status, fingerprint
from bridge.model.intake import Seen
from bridge.model.principal import Principal
from bridge.model.reason import OVERRIDABLE
from bridge.ports import Clock, Intake

_LONGEST_TEXT = 1000


class TriggerBody(msgspec.Struct, frozen=True, rename="camel"):
    """What `POST /api/v1/trigger` takes: a runbook, or an alert's name, or labels. Unknown keys are ignored."""

    alertname: str = ""
    runbook: str = ""
    """A runbook's name: it is run without being routed to."""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    status: Status = "firing"
    starts_at: str = ""
    """RFC 3339; now when it is not given, so that each trigger is a firing of its own."""
    requested_by: str = msgspec.field(default="", name="requested_by")
    """Who asks; the credential's name when it is not given, and beside it when it is."""
    why: str = ""
    override: tuple[str, ...] = ()
    """Reasons (by value) of guards to override."""


class Triggered(msgspec.Struct, frozen=True):
    """What became of a trigger, as it is answered."""

    fingerprint: str
    source: str
    seen: Seen
    starts_at: int
    """Microseconds since the epoch."""


_decode = msgspec.json.Decoder(TriggerBody).decode


def decode_trigger(body: bytes, principal: Principal, *, now: float, limits: RequestLimits) -> Alert:
    """Return the alert that the body asks for, in the name of `principal`; `now` is unix seconds.

    Raises InvalidInput that says what is wrong. The principal's role is the caller's to check.
    """
    try:
        asked = _decode(body)
    except msgspec.ValidationError as exc:
        raise InvalidInput(f"the trigger is not understood: {exc}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"the trigger is not JSON: {exc}") from None
    except RecursionError:
        raise InvalidInput("the JSON is nested too deep") from None
    labels = dict(asked.labels)
    if asked.alertname and labels.setdefault("alertname", asked.alertname) != asked.alertname:
        raise InvalidInput("alertname and labels.alertname name two alerts")
    if not labels and not asked.runbook:
        raise InvalidInput("a trigger names an alert (alertname), labels or a runbook")
    _check_size(asked, labels, limits)
    return Alert(
        source=principal.name,
        # Two runbooks asked for by hand for the same labels are two things, not one that was superseded.
        fingerprint=fingerprint({**labels, "__runbook__": asked.runbook} if asked.runbook else labels),
        status=asked.status,
        starts_at=(starts_at := _start(asked.starts_at, now)),
        ends_at=max(starts_at, int(now * SECOND)) if asked.status == "resolved" else 0,
        labels=labels,
        annotations=asked.annotations,
        requested_by=_who(asked.requested_by, principal.name),
        why=asked.why,
        override=_override(asked.override),
        runbook=asked.runbook,
    )


async def accept_trigger(
    body: bytes, principal: Principal, *, intake: Intake, clock: Clock, limits: RequestLimits
) -> Triggered:
    """Take a trigger from `principal`, who has the role operator, and store it as an alert.

    Raises InvalidInput (400) and StoreUnavailable (503).
    """
    alert = decode_trigger(body, principal, now=clock.now(), limits=limits)
    (seen,) = await intake.accept((alert,))
    return Triggered(alert.fingerprint, alert.source, seen, alert.starts_at)


def _who(said: str, credential: str) -> str:
    """Return who asks. Whose credential it was stands beside a name that is only said."""
    return f"{said} (with the credential {credential})" if said and said != credential else credential


def _start(text: str, now: float) -> int:
    if not text:
        return int(now * SECOND)
    try:
        start = micros(text)
    except ValueError as exc:
        raise InvalidInput(f"startsAt: {exc}") from None
    if not 0 < start < LATEST:
        raise InvalidInput("startsAt is out of range (1970 to 2200)")
    return start


def _override(names: tuple[str, ...]) -> tuple[str, ...]:
    known = [reason.value for reason in OVERRIDABLE]
    for name in names:
        if name not in known:
            raise InvalidInput(f"override names what cannot be overridden; {', '.join(known)} can be")
    return tuple(dict.fromkeys(names))


def _check_size(asked: TriggerBody, labels: dict[str, str], limits: RequestLimits) -> None:
    if max(len(labels), len(asked.annotations)) > limits.labels:
        raise InvalidInput(f"more than {limits.labels} labels or annotations")
    pairs = (*labels.items(), *asked.annotations.items())
    if any(len(text) > limits.label_chars for pair in pairs for text in pair):
        raise InvalidInput(f"a label or annotation is longer than {limits.label_chars} characters")
    if max(len(asked.why), len(asked.requested_by), len(asked.runbook)) > _LONGEST_TEXT:
        raise InvalidInput(f"why, requested_by and runbook have at most {_LONGEST_TEXT} characters")
