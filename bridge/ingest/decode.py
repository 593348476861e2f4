"""Turn a webhook's body into alerts. Called by the receiver with a body that is authenticated; does no I/O.

The usual body is decoded once, typed, in C. Only when that fails is it taken apart alert by alert, so that one
wrong alert costs no sibling. What we read must be right; what is wrong in fields that we ignore is ignored.
Facts about the senders: Alertmanager's notify/webhook and template/template.go (version "4"), Grafana alerting's
receivers/webhook/v1 (version "1").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from bridge.errors import InvalidInput
from bridge.ingest import tolerant
from bridge.ingest.limits import MIB, RequestLimits
from bridge.ingest.times import LATEST, micros
from bridge.ingest.wire import AnyDocument, LooseEnvelope, WireAlert, decode_alert, decode_envelope, document_decoder
from bridge.model.alert import Alert, fingerprint
from bridge.model.refusal import Refused

Sender = Literal["alertmanager", "grafana", "manual"]

EXCERPT: Final = 300
"""Characters of a refused alert that its record keeps."""
_VERSIONS: Final[dict[Any, Sender]] = {"4": "alertmanager", "1": "grafana"}
_fingerprint_form = re.compile(r"[0-9a-f]{16}").fullmatch


class Malformed(InvalidInput):
    """The body as a whole can never be right: 400 (413 for `too_much`). The message says what was wrong."""

    too_much = False


class TooMuch(Malformed):
    """The body holds more than the limits allow."""

    too_much = True


class CustomPayload(Malformed):
    """Well-formed JSON that none of the senders makes: a payload template."""


class Rejected(msgspec.Struct, frozen=True):
    """One alert that was not taken."""

    index: int
    reason: Refused
    detail: str
    excerpt: str


class Batch(msgspec.Struct, frozen=True):
    """What a body held. For `manual` both lists are empty: the trigger's decoder reads it."""

    sender: Sender
    alerts: Sequence[Alert] = ()
    rejected: Sequence[Rejected] = ()
    truncated: int = 0
    """Alerts that the sender cut off and we never saw."""


class Decoder:
    """Decodes webhooks within limits."""

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._document = document_decoder(limits)

    def decode(
        self, body: bytes, *, source: str, expected: Literal["alertmanager", "grafana"] | None = None
    ) -> Batch:
        """Return the alerts of a webhook's body, with those that were refused.

        `expected` is the sender that the request's path names; it is believed where the version says nothing.
        Raises Malformed (CustomPayload, TooMuch) when there is nothing to take from the body at all.
        """
        limits = self._limits
        if len(body) > MIB and body.count(b",") > limits.values:
            raise TooMuch(f"the body holds more than {limits.values} values")
        try:
            document = self._document(body)
        except msgspec.ValidationError:
            return _one_by_one(body, source, limits, expected)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            return _tolerantly(body, source, limits, expected, exc)
        except RecursionError:
            raise Malformed("the JSON is nested too deep") from None
        sender = _sender(document, expected)
        wires = document.alerts or ()
        _check_count(len(wires), limits)
        alerts: list[Alert] = []
        rejected: list[Rejected] = []
        for index, wire in enumerate(wires):
            try:
                alerts.append(_alert(wire, source, limits))
            except _Refuse as exc:
                excerpt = msgspec.json.encode(wire)[: EXCERPT * 4].decode("utf-8", "replace")[:EXCERPT]
                rejected.append(Rejected(index, exc.reason, exc.detail, excerpt))
        return Batch(sender, alerts, rejected, document.truncated_alerts or 0)


def _sender(document: AnyDocument, expected: Sender | None) -> Sender:
    if document.alerts is msgspec.UNSET:
        if not (document.alertname is document.labels is document.runbook is msgspec.UNSET):
            return "manual"
    else:
        version = document.version
        sender = (_VERSIONS.get(version) if isinstance(version, str) else None) or expected
        if sender is not None:
            return sender
    raise CustomPayload(
        'not a body of Alertmanager (version "4") or Grafana (version "1") with a list of alerts, and no alertname '
        "or labels of a trigger either; custom payloads cannot be read: use the sender's default payload"
    )


def _check_count(count: int, limits: RequestLimits) -> None:
    if count > limits.alerts:
        raise TooMuch(f"{count} alerts in one request; at most {limits.alerts} are taken")


class _Refuse(Exception):
    def __init__(self, reason: Refused, detail: str) -> None:
        self.reason = reason
        self.detail = detail


def _alert(wire: WireAlert, source: str, limits: RequestLimits) -> Alert:
    """Return the alert; raise _Refuse. Its labels are within the limits, each for itself."""
    labels = wire.labels
    annotations = wire.annotations or {}
    # Labels, and names of annotations, are at most that long together: adding them up is rarely needed.
    most = (len(labels) * 2 + len(annotations)) * limits.label_chars + len("".join(annotations.values()))
    if most > limits.alert_chars:
        _check_length(labels, annotations, limits)
    ends_at = 0
    try:
        starts_at = micros(wire.starts_at)
        if wire.status == "resolved" and wire.ends_at:
            ends_at = micros(wire.ends_at)
    except ValueError as exc:
        raise _Refuse(Refused.BAD_TIME, f"startsAt or endsAt: {exc}") from None
    if not 0 < starts_at < LATEST or ends_at >= LATEST:
        raise _Refuse(Refused.BAD_TIME, "startsAt or endsAt is out of range (1970 to 2200)")
    if wire.status == "resolved" and ends_at <= 0:
        # Resolved without saying when: no later than it could have been, so that it hides no newer firing.
        ends_at = starts_at
    given = wire.fingerprint
    url = wire.generator_url
    return Alert(
        source=source,
        # Any other form is not the sender's hash of the labels, and must not become a part of our keys.
        fingerprint=given if given.__class__ is str and _fingerprint_form(given) else fingerprint(labels),
        status=wire.status,
        starts_at=starts_at,
        ends_at=ends_at,
        labels=labels,
        annotations=annotations,
        generator_url=url if url.__class__ is str and len(url) <= limits.label_chars else "",
    )


def _check_length(labels: dict[str, str], annotations: dict[str, str], limits: RequestLimits) -> None:
    total = sum(len(name) + len(value) for texts in (labels, annotations) for name, value in texts.items())
    if total > limits.alert_chars:
        raise _Refuse(Refused.TOO_LONG, f"labels and annotations are longer than {limits.alert_chars} characters")


def _check_labels(wire: WireAlert, limits: RequestLimits) -> None:
    """Check what the quick decoder checks while it decodes."""
    labels, annotations = wire.labels, wire.annotations or {}
    if not labels:
        raise _Refuse(Refused.NO_LABELS, "the alert has no labels")
    if len(labels) > limits.labels or len(annotations) > limits.labels:
        raise _Refuse(Refused.TOO_MANY_LABELS, f"more than {limits.labels} labels or annotations")
    longest = limits.label_chars
    if any(len(text) > longest for texts in (labels, labels.values(), annotations) for text in texts):
        raise _Refuse(Refused.TOO_LONG, f"a label is longer than {longest} characters")


def _one_by_one(body: bytes, source: str, limits: RequestLimits, expected: Sender | None) -> Batch:
    """Decode each alert by itself: at least one is not what it should be, or the envelope isn't."""
    try:
        envelope = decode_envelope(body)
    except msgspec.ValidationError as exc:
        raise Malformed(f"the body is not a webhook's: {exc}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        return _tolerantly(body, source, limits, expected, exc)
    except RecursionError:
        raise Malformed("the JSON is nested too deep") from None
    sender = _sender(envelope, expected)
    raws = envelope.alerts or ()
    _check_count(len(raws), limits)
    alerts: list[Alert] = []
    rejected: list[Rejected] = []
    for index, raw in enumerate(raws):
        try:
            wire = decode_alert(raw)
            _check_labels(wire, limits)
            alerts.append(_alert(wire, source, limits))
            continue
        except _Refuse as exc:
            reason, detail = exc.reason, exc.detail
        except msgspec.ValidationError as exc:
            reason, detail = Refused.WRONG_TYPE, str(exc)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            return _tolerantly(body, source, limits, expected, exc)
        except RecursionError:
            raise Malformed("the JSON is nested too deep") from None
        excerpt = bytes(memoryview(raw)[: EXCERPT * 4]).decode("utf-8", "replace")[:EXCERPT]
        rejected.append(Rejected(index, reason, detail, excerpt))
    return Batch(sender, alerts, rejected, envelope.truncated_alerts or 0)


def _tolerantly(body: bytes, source: str, limits: RequestLimits, expected: Sender | None, error: Exception) -> Batch:
    """Decode JSON with NaN, Infinity or lone surrogates in it: no matter in fields that we ignore."""
    try:
        envelope = msgspec.convert(tolerant.loads(body, error), LooseEnvelope)
    except msgspec.ValidationError as exc:
        raise Malformed(f"the body is not a webhook's: {exc}") from None
    except tolerant.NotJson as exc:
        raise Malformed(str(exc)) from None
    sender = _sender(envelope, expected)
    values = envelope.alerts or ()
    _check_count(len(values), limits)
    alerts: list[Alert] = []
    rejected: list[Rejected] = []
    for index, value in enumerate(values):
        try:
            wire = msgspec.convert(value, WireAlert)
            tolerant.check_text(wire.labels, wire.annotations, wire.fingerprint, wire.generator_url)
            _check_labels(wire, limits)
            alerts.append(_alert(wire, source, limits))
            continue
        except tolerant.NotJson as exc:
            raise Malformed(f"alert {index}: {exc}") from None
        except _Refuse as exc:
            reason, detail = exc.reason, exc.detail
        except msgspec.ValidationError as exc:
            reason, detail = Refused.WRONG_TYPE, str(exc)
        rejected.append(Rejected(index, reason, detail, tolerant.excerpt(value, EXCERPT)))
    return Batch(sender, alerts, rejected, envelope.truncated_alerts or 0)
