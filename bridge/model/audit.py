"""What the audit trail holds. Written by the stores beside what it tells of, read by the API."""

from __future__ import annotations

from typing import Any

import msgspec

from bridge.model.plan import Change, Operation
from bridge.model.redact import mask
from bridge.model.remediation import Decision, Entry


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person did by hand."""

    what: str
    """One word: paused, resumed, triggered, cancelled, reloaded, ..."""
    who: str
    """Name of the credential."""
    why: str = ""
    about: str = ""
    """What it was done to: a scope, a fingerprint."""
    remediation: str = ""
    text: str = ""


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """One thing of the trail: a journal's entry, a decision about an alert, or a person's act."""

    at: float
    """Unix seconds by the store's clock."""
    remediation: str = ""
    entry: Entry | None = None
    """Of that remediation's journal; None when that is no longer kept."""
    number: int = 0
    """Its place in the journal."""
    fingerprint: str = ""
    decision: Decision | None = None
    note: Note | None = None


def told(change: Change) -> dict[str, Any]:
    """Return a change as the trail tells it: object, operation, before and after, without credentials."""
    plain = mask(msgspec.to_builtins(change))
    fields = [field for field in plain["fields"] if field.get("change", True)]
    before: Any = {field["pointer"]: field.get("before") for field in fields}
    after: Any = {field["pointer"]: field.get("after") for field in fields}
    manifest = plain.get("manifest")
    if change.operation is Operation.CREATE:
        before, after = None, manifest
    elif change.operation in (Operation.DELETE, Operation.EVICT):
        before, after = manifest or before or None, None
    elif change.operation is Operation.CALL:
        before, after = None, plain["call"]
    return {
        "operation": change.operation.value,
        "object": str(change.ref),
        "ref": msgspec.to_builtins(change.ref),
        "uid": change.ref.uid,
        "summary": plain["summary"],
        "before": before,
        "after": after,
    }
