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

    until: float
    every: float = 2.0
    settle: float = 0.0


async def watch(look: Look, how: Watch, *, clock: Clock, limits: Limits, lease: Lease) -> Verification:
    """Return the answer that stands: the first `fixed` that settled, a final `not fixed`, or the last one seen.

    After `limits.inline_wait` seconds it parks between looks (raises Ended), so that a long verification
    holds neither claim nor slot; it raises Ended(HandOver) when the process stops.
    """
    began = clock.now()
    fixed_since: float | None = None
    pause = how.every
    while True:
        found = await look()
        now = clock.now()
        fixed_since = None if found.answer is not Answer.FIXED else fixed_since or now
        if fixed_since is not None and now - fixed_since >= how.settle:
            return found
        if (found.answer is Answer.NOT_FIXED and found.final) or now >= how.until:
            return _at_the_end(found, fixed_since)
        if lease.stopping:
            raise Ended(HandOver())
        wait = min(pause, max(how.until - now, 0.05))
        if now - began >= limits.inline_wait and fixed_since is None:
            raise Ended(Park(now + wait, None, found.detail))
        await clock.sleep(wait)
        if clock.now() - began > limits.inline_wait / 2:
            pause = min(pause * 1.5, max(limits.longest_pause, how.every))


def _at_the_end(found: Verification, fixed_since: float | None) -> Verification:
    if fixed_since is not None:
        return Verification(Answer.UNKNOWN, f"{found.detail}; it did not hold long enough to be sure")
    return found
