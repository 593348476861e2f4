"""What the audit trail holds. Written by the stores beside what it tells of, read by the API."""

from __future__ import annotations

import msgspec

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
