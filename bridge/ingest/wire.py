"""Bodies as they come over the wire, and their decoders. Used by decode alone.

One struct for all senders, so that a body is decoded once: the version, and which keys are there, tell who sent it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from bridge.ingest.limits import RequestLimits


class WireAlert(msgspec.Struct, rename="camel", kw_only=True):
    """One alert. Its lengths are not checked."""

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

decode_envelope = msgspec.json.Decoder(Envelope).decode
decode_alert = msgspec.json.Decoder(WireAlert).decode


def document_decoder(limits: RequestLimits) -> Callable[[bytes], Document]:
    """Return a decoder that finds labels beyond the limits while it decodes: looking at them once more costs a third.

    It raises ValidationError for the whole body; which alert it was is found out one by one.
    """
    name = Annotated[str, Meta(max_length=limits.label_chars)]
    labels = Annotated[dict[name, name], Meta(min_length=1, max_length=limits.labels)]
    annotations = Annotated[dict[name, str], Meta(max_length=limits.labels)]
    within = msgspec.defstruct(
        "WireAlert",
        [("labels", labels), ("annotations", annotations | None, None)],
        bases=(WireAlert,),
        kw_only=True,
        rename="camel",
    )
    document = msgspec.defstruct(
        "Document",
        [("alerts", list[within] | msgspec.UnsetType | None, msgspec.UNSET)],  # type: ignore[valid-type]
        bases=(Document,),
        rename="camel",
    )
    return cast("Callable[[bytes], Document]", msgspec.json.Decoder(document).decode)
