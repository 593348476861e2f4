"""`run_limits:` of the configuration: how often anything runs for an alert, for a target, or by a runbook."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from bridge.model.runbook import Duration, Strict

Runs = Annotated[int, Field(ge=1, le=1000)]


class RunLimits(Strict):
    """Of runs with a write; what is not given has no limit."""

    cooldown: Annotated[Duration, Field(le=86400)] = 0.0
    """From the first write of one run to the beginning of the next."""
    hour: Runs | None = None
    """In any hour."""
    day: Runs | None = None
    """In any day."""


class RunLimitSettings(Strict):
    """Beside what a route says for its runbook and target."""

    alert: RunLimits = RunLimits(hour=6, day=20)
    """One alert: a set of labels."""
    target: RunLimits = RunLimits(hour=6, day=20)
    """By all runbooks together."""
    runbook: RunLimits = RunLimits()
    """For all targets together."""
