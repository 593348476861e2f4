"""Bodies as they come over the wire, and their decoders. Used by decode alone.

One struct for all senders, so that a body is decoded once: the version, and which keys are there, tell who sent it.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class WireAlert(msgspec.Struct, rename="camel"):
    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    starts_at: str
    ends_at: str | None = None
    annotations: dict[str, str] | None = None
    # Nothing depends on these two: a wrong kind of value counts as absent.
    generator_url: Any = msgspec.field(default="", name="generatorURL")
    fingerprint: Any = ""


class Document(msgspec.Struct, rename="camel"):
    version: Any = None
    alerts: list[WireAlert] | msgspec.UnsetType | None = msgspec.UNSET
    truncated_alerts: int | None = 0
    # What tells a body written by hand.
    alertname: Any = msgspec.UNSET
    labels: Any = msgspec.UNSET
    runbook: Any = msgspec.UNSET


class Envelope(msgspec.Struct, rename="camel"):
    version: Any = None
    alerts: list[msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    truncated_alerts: int | None = 0
    alertname: Any = msgspec.UNSET
    labels: Any = msgspec.UNSET
    runbook: Any = msgspec.UNSET


class LooseEnvelope(msgspec.Struct, rename="camel"):
    version: Any = None
    alerts: list[Any] | msgspec.UnsetType | None = msgspec.UNSET
    truncated_alerts: int | None = 0
    alertname: Any = msgspec.UNSET
    labels: Any = msgspec.UNSET
    runbook: Any = msgspec.UNSET


AnyDocument = Document | Envelope | LooseEnvelope

decode_document = msgspec.json.Decoder(Document).decode
decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_alert = msgspec.json.Decoder(WireAlert).decode
