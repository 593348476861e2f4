"""Look until the answer is there: fixed, not fixed or unknown. Called by execute after each write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from bridge.engine.ending import Ended, HandOver, Park
from bridge.engine.lease import Lease
from bridge.engine.parts import Limits
from bridge.model.verification import Answer, Verification
from bridge.ports import Clock

Look = Callable[[], Awaitable[Verification]]


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """How to look: until when (unix seconds), how often, and how long `fixed` has to hold (seconds)."""

    key: str = ""
    """What is looked at, in the run's journal."""
    until: float
    every: float = 1.0
    settle: float = 0.0
    fixed_since: float | None = None
    """Since when it was fixed (unix seconds) before the run was interrupted."""


async def watch(look: Look, how: Watch, *, clock: Clock, limits: Limits, lease: Lease) -> Verification:
    """Return the answer that stands: the first `fixed` that settled, a final `not fixed`, or the last one seen.

    Where more than `limits.inline_wait` seconds would pass it parks between looks (raises Ended), so that a long
    verification holds neither claim nor slot; it raises Ended(HandOver) as soon as the process wants to stop.
    """
    # A wall clock that is set meanwhile must not end a wait: only what survives a restart is in unix seconds.
    began = clock.monotonic()
    ends = began + how.until - clock.now()
    fixed_since = None if how.fixed_since is None else began - max(0.0, clock.now() - how.fixed_since)
    pause = how.every
    while True:
        found = await look()
        now = clock.monotonic()
        left = ends - now
        if found.answer is not Answer.FIXED:
            fixed_since = None
        elif fixed_since is None:
            fixed_since = now
        if fixed_since is not None and now - fixed_since >= how.settle:
            return found
        if (found.answer is not Answer.FIXED and found.final) or left <= 0:
            return _at_the_end(found, fixed_since)
        since = None if fixed_since is None else clock.now() - (now - fixed_since)
        wait = min(pause, max(left, 0.05))
        if now - began + wait > limits.inline_wait:
            raise Ended(Park(clock.now() + wait, None, found.detail, fixed_since=_noted(how, since)))
        await lease.pause(wait)
        if lease.stopping:
            raise Ended(HandOver(_noted(how, since)))
        if clock.monotonic() - began > limits.inline_wait / 2:
            pause = min(pause * 1.5, max(limits.longest_pause, how.every))


def _noted(how: Watch, since: float | None) -> dict[str, float]:
    return {} if since is None else {how.key: since}


def _at_the_end(found: Verification, fixed_since: float | None) -> Verification:
    if fixed_since is not None:
        return Verification(Answer.UNKNOWN, f"{found.detail}; it did not hold long enough to be sure")
    return found
