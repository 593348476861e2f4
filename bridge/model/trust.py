"""How much a runbook is trusted, by how often it helped: the policy, and what is known. Pure data."""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import Field, model_validator

from bridge.model.mode import Mode
from bridge.model.runbook import Strict

Share = Annotated[float, Field(ge=0, le=1)]


class TrustSettings(Strict):
    """`trust:` of the configuration. What is lowered stays so until a person resumes the runbook."""

    stop_after: Annotated[int, Field(ge=1, le=100)] | None = 5
    """A runbook of which so many runs in a row did not help, for whatever targets, runs no more."""
    of: Annotated[int, Field(ge=1, le=100)] = 10
    """The newest runs of a runbook for one alert, of which the share that helped counts."""
    at_least: Annotated[int, Field(ge=1, le=100)] = 5
    """So many runs there have to be before that share says anything."""
    approve_below: Share = 0.5
    """A smaller share asks a person each time."""
    observe_below: Share = 0.2
    """A smaller one changes nothing."""

    @model_validator(mode="after")
    def _in_order(self) -> TrustSettings:
        if self.observe_below > self.approve_below:
            raise ValueError("observe_below has to be at most approve_below")
        if self.at_least > self.of:
            raise ValueError("at_least has to be at most `of`")
        return self


class Lowered(msgspec.Struct, frozen=True, kw_only=True):
    """A runbook for one alert that may not go as far as its route says."""

    mode: Mode
    helped: int
    runs: int
    at: float
    """When it was lowered, unix seconds."""


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """A runbook that runs no more."""

    runs: int
    """That did not help, in a row."""
    at: float


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for one runbook and one alert."""

    stopped: Stopped | None = None
    lowered: Lowered | None = None
