"""A log that an attacker cannot fill: at most so many lines of one kind in a while, the others are counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bridge.telemetry import get_logger

LINES = 10
SECONDS = 10.0

log = get_logger()


class SampledLog:
    """Warnings about what others do to us. One instance for each process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._windows: dict[str, tuple[float, int]] = {}

    def warning(self, event: str, **facts: Any) -> None:
        """Log `event` (one of a few fixed texts), unless it was logged too often lately."""
        now = self._monotonic()
        since, count = self._windows.get(event, (now, 0))
        if now - since >= SECONDS:
            if count > LINES:
                facts["left_out"] = count - LINES
            since, count = now, 0
        self._windows[event] = (since, count + 1)
        if count < LINES:
            log.warning(event, **facts)
