"""Alertmanager's alerts and silences, as far as they matter here. Pure data."""

from __future__ import annotations

import msgspec


class ActiveAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that fires at Alertmanager now."""

    fingerprint: str
    labels: dict[str, str]
    silenced_by: tuple[str, ...] = ()
    """Ids of silences."""


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """A silence that stands."""

    id: str
    created_by: str
    comment: str = ""
    ends_at: float | None = None
    """Unix seconds."""
