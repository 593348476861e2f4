"""`run_limits:` of the configuration: how often anything runs for an alert, for a target, or by a runbook."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import Field

from bridge.model.runbook import Duration, Strict

SORTS = ("alert", "target", "runbook")
HOUR, DAY = 3600.0, 86400.0
Runs = Annotated[int, Field(ge=1, le=1000)]


class RunLimits(Strict):
    """Of runs with a write; what is not given has no limit."""

    cooldown: Annotated[Duration, Field(le=86400)] = 0.0
    """From the first write of one run to the beginning of the next."""
    hour: Runs | None = None
    """In any hour."""
    day: Runs | None = None
    """In any day."""


class Most(msgspec.Struct, frozen=True):
    """At most so many runs in so many seconds, for one `alert`, `target` or `runbook`."""

    sort: str
    runs: int
    seconds: float


class RunLimitSettings(Strict):
    """Beside what a route says for its runbook and target."""

    alert: RunLimits = RunLimits(hour=6, day=20)
    """One alert: a set of labels."""
    target: RunLimits = RunLimits(hour=6, day=20)
    """By all runbooks together."""
    runbook: RunLimits = RunLimits()
    """For all targets together."""

    def limits(self, *, cooldown: bool = True, runs: bool = True) -> list[Most]:
        """Return all that is said, a cooldown as one run in its time; without those that are overridden."""
        found = []
        for sort in SORTS:
            said: RunLimits = getattr(self, sort)
            if cooldown and said.cooldown:
                found.append(Most(sort, 1, said.cooldown))
            found += [
                Most(sort, most, seconds)
                for most, seconds in ((said.hour, HOUR), (said.day, DAY))
                if runs and most is not None
            ]
        return found
