"""A runbook: target, evidence, scenarios, verification. The schema of its YAML and the record of a run."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bridge.model.mode import Mode

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_DURATION = re.compile(r"(\d+)(ms|[smhdwy])")


def parse_duration(value: object) -> float:
    """Return seconds from a Prometheus duration (`90s`, `1h30m`), a number of seconds or a timedelta.

    Source: prometheus/common, model.ParseDuration. Raises ValueError.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    if isinstance(value, str) and (value == "0" or _DURATION.sub("", value) == "" != value):
        return float(sum(int(n) * _UNITS[unit] for n, unit in _DURATION.findall(value)))
    raise ValueError(f"expected a duration such as 30s, 5m or 1h30m, got {value!r}")


Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds; written as in Prometheus."""
Expression = Annotated[str, Field(max_length=4096)]
"""CEL. Longer ones are refused: the evaluator's depth is bounded."""


class Strict(BaseModel):
    """The base of all configuration: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameter(Strict):
    """A parameter of a runbook, set by a route's `params`; without a default it must be set."""

    description: str = ""
    default: Any = None
    required: bool = False


class TargetSpec(Strict):
    """What the runbook is about. Each value may hold `${CEL}` over `labels`, `annotations` and `params`."""

    kind: str = "Deployment"
    api_version: str = "apps/v1"
    namespace: str = ""
    name: str


class Collect(Strict):
    """One piece of evidence: the collector's name and its parameters (each may hold `${CEL}`)."""

    collect: str
    with_: dict[str, Any] = Field(default={}, alias="with")
    timeout: Duration = 10.0


class Step(Strict):
    """One action with its parameters."""

    action: str
    with_: dict[str, Any] = Field(default={}, alias="with")
    mode: Mode | None = None
    verify_within: Duration = 300.0
    """How long the action's own verification may take."""


class Scenario(Strict):
    """A condition and what to do when it holds. Exactly one of `when` and `otherwise: true`."""

    name: str
    when: Expression | None = None
    otherwise: bool = False
    on_unknown: Literal["escalate", "continue"] = "escalate"
    steps: tuple[Step, ...] = Field(min_length=1, max_length=20)

    @model_validator(mode="after")
    def _one_condition(self) -> Scenario:
        if (self.when is None) != self.otherwise:
            raise ValueError("a scenario has either `when:` with a CEL expression or `otherwise: true`")
        return self


class VerifySpec(Strict):
    """Proof that it worked: `fixed` holds within the time. Unknown closes nothing."""

    evidence: dict[str, Collect] = {}
    fixed: Expression
    within: Duration = 600.0
    every: Duration = 5.0
    settle: Duration = 0.0
    """`fixed` has to hold for this long without a break."""


class Runbook(Strict):
    """A named way to mend something."""

    name: str
    summary: str
    source: str = ""
    """Where the people's version of it stands; shown in reports, never fetched."""
    mode: Mode | None = None
    params: dict[str, Parameter] = {}
    target: TargetSpec
    evidence: dict[str, Collect] = {}
    scenarios: tuple[Scenario, ...] = Field(min_length=1, max_length=50)
    verify: VerifySpec | None = None
    escalate: str = ""
    """What the person who is woken should know or do first."""
    expires: Duration = 3600.0
    """A run that could not start within this time is out of date and skipped with a record."""
