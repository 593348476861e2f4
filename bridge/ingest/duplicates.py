"""Count keys that an object gives twice. Called by the receiver after it has answered.

There is one decoding of a body, which takes the last value, so that a duplicate key never has two meanings; but it
says that a sender is broken or that somebody tries something, and is counted. The decoder does not tell, and a second
look costs ten times the decoding: it is done after the answer, for bodies of ordinary size, and within a share of
the processor's time. At the rate of real senders this looks at every body; in a storm at some, and counts the others.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

LONGEST = 64 * 1024
SHARE = 0.01
"""Of the time that passes."""
SAVED = 0.05
"""Seconds of looking that a quiet time saves up."""


class DuplicateKeys:
    """Looks through bodies as long as its share of the time lasts."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._left = SAVED
        self._at = monotonic()

    def may_look(self, body: bytes) -> bool:
        """Whether a look at this body is within the share."""
        if len(body) > LONGEST:
            return False
        now = self._monotonic()
        self._left = min(SAVED, self._left + (now - self._at) * SHARE)
        self._at = now
        return self._left > 0

    def look(self, body: bytes) -> int:
        """Return how many keys are given again within their object."""
        begin = self._monotonic()
        found = count_duplicates(body)
        self._left -= self._monotonic() - begin
        return found


def count_duplicates(body: bytes) -> int:
    """Return how many keys of a JSON document are given again within their object; 0 for what is no JSON."""
    again = 0

    def pairs(given: list[tuple[str, Any]]) -> None:
        nonlocal again
        if len(given) > 1:
            again += len(given) - len({key for key, _ in given})

    try:
        json.loads(body, object_pairs_hook=pairs, parse_int=_nothing, parse_float=_nothing)
    except (ValueError, RecursionError):
        return again
    return again


def _nothing(_digits: str) -> None:
    return None
