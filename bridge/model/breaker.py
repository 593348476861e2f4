"""The state of a circuit breaker as its users see it."""

from __future__ import annotations

from enum import Enum

import msgspec


class BreakerState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerPolicy(msgspec.Struct, frozen=True):
    """Opens after `threshold` failures in a row within `window` seconds; one probe runs after `cooldown` seconds."""

    threshold: int = 5
    window: float = 60.0
    cooldown: float = 30.0
    probe_timeout: float = 30.0
    """A probe that has not reported after this many seconds is given up: the next caller may probe."""


class Permit(msgspec.Struct, frozen=True):
    """Leave to make one call; handed back with its result."""

    name: str
    probe: bool
    token: str = ""
