"""How far a remediation may go by itself. The strictest of process, route, runbook and step wins."""

from __future__ import annotations

from enum import Enum


class Mode(Enum):
    """`observe` plans only, `approve` asks a person, `auto` acts."""

    OBSERVE = "observe"
    APPROVE = "approve"
    AUTO = "auto"


def strictest(*modes: Mode | None) -> Mode:
    """Return the strictest of the given modes; those that say nothing (None) are left out.

    When none says anything the answer is `observe`.
    """
    said = [mode for mode in modes if mode is not None]
    order = list(Mode)
    return min(said, key=order.index) if said else Mode.OBSERVE
