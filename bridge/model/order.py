"""What alertbridge asks of itself: a run for a step of another one, or one that is due by a schedule."""

from __future__ import annotations

from typing import Any

import msgspec

from bridge.model.mode import Mode
from bridge.model.target import Target

OURS = "alertbridge"
"""The source of such alerts; no credential is called so."""
SCHEDULED = "schedule:"
"""What the path of a run by a schedule begins with, and then the schedule's name."""


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """In place of a route: which runbook, with which parameters and limits. See bridge.model.route.Match."""

    runbook: str
    path: str
    """What stands where a route's path does, such as `schedule:daily`."""
    params: dict[str, Any] = {}
    mode: Mode = Mode.OBSERVE
    cooldown: float = 600.0
    max_attempts: int = 3
    attempts_window: float = 3600.0
    allow_drift: bool = False
    allow_irreversible: bool = False
    allow_namespaces: tuple[str, ...] = ()
    approvers: int = 1
    approve_within: float | None = None
    parents: tuple[str, ...] = ()
    """The remediations that wait for it, the outermost first."""
    above: tuple[Target, ...] = ()
    """What those are about: it cannot be about the same, for it would wait for them."""
