"""A runbook: target, evidence, scenarios, verification. The schema of its YAML and the record of a run."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

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


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^(0|([0-9]+(ms|[smhdwy]))+)$"},
                {"type": "number", "minimum": 0},
            ],
            "examples": ["30s", "1h30m"],
        }
    ),
]
"""Seconds; written as in Prometheus."""
DayAtMost = Annotated[Duration, Field(gt=0, le=86400)]
"""A wait of a run: never longer than a day."""
Expression = Annotated[str, Field(max_length=4096)]
"""CEL. Longer ones are refused: the evaluator's depth is bounded."""


Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
"""A word that expressions can use."""

MOST_STEPS = 500
"""What the steps of one scenario may come to, each counted with its items or rounds."""
RUN = "runbook"
"""The action that runs another runbook."""
FEW_ITEMS = 10
"""How many items `for_each` takes when the step says nothing of it."""


class Strict(BaseModel):
    """The base of all configuration: unknown keys are errors."""

    # The text under a field is its description, also in the JSON Schema that editors read.
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Parameter(Strict):
    """A parameter of a runbook, set by a route's `params`; without a default it must be set."""

    description: str = ""
    """What it is for, for those who write routes."""
    default: Any = None
    """What holds when no route sets it; may hold `${CEL}` over `labels` and `annotations`."""
    required: bool = False
    """Whether a route has to set it."""


class TargetSpec(Strict):
    """What the runbook is about. Each value may hold `${CEL}` over `labels`, `annotations` and `params`."""

    kind: str = "Deployment"
    """The object's kind."""
    api_version: str = "apps/v1"
    """The kind's API group and version."""
    namespace: str = ""
    """The object's namespace; left out for a kind that has none."""
    name: str
    """The object's name."""
    at_most: int | None = Field(default=None, ge=1, le=100)
    """One run for several targets: the alerts of one group (the route's `group_by`) join it, each adding its target,
    up to so many; `targets` lists them. Left out: one run for each target."""


class Collect(Strict):
    """One piece of evidence: the collector's name and its parameters (each may hold `${CEL}`)."""

    collect: str
    """The collector's name."""
    with_: dict[str, Any] = Field(default={}, alias="with")
    """Its parameters."""
    timeout: Duration = 10.0
    """What has not come by then is missing."""


class Wait(Strict):
    """A pause: for a time, or until something is so. It holds neither a worker's slot nor the claim."""

    for_: DayAtMost | None = Field(default=None, alias="for")
    """How long."""
    until: Expression | None = None
    """What has to be so; the evidence that it reads is gathered afresh for each look."""
    within: DayAtMost | None = None
    """until: how long it is waited for."""
    every: DayAtMost = 5.0
    """until: how often it is looked at."""
    otherwise: Literal["fail", "continue"] = "fail"
    """until: what it means that it was not so in time: the step did not help, or the next step is made."""
    on_unknown: Literal["escalate", "continue"] = "escalate"
    """until: what is done when it could not be told in time: nothing more, or the next step."""

    @model_validator(mode="after")
    def _one_kind(self) -> Wait:
        if (self.for_ is None) == (self.until is None):
            raise ValueError("a wait has either `for:` with a time or `until:` with a CEL expression")
        if (self.until is None) != (self.within is None):
            raise ValueError("a wait `until:` something needs `within:`, the longest time to wait; `for:` takes none")
        return self


class Loop(Strict):
    """The step's action is made again until something is so. The first round is always made."""

    until: Expression
    """What ends the loop: looked at after each round, on evidence that is gathered afresh."""
    at_most: int = Field(ge=1, le=50)
    """Rounds. When it is not so after the last one, the step did not help."""
    every: DayAtMost = 30.0
    """The time that each round is given to show its effect."""


class Step(Strict):
    """One action with its parameters, or a wait."""

    id: Identifier | None = None
    """The word under which later expressions find its result: `steps.ID`."""
    action: str = ""
    """The action's name."""
    with_: dict[str, Any] = Field(default={}, alias="with")
    """The action's parameters; each may hold `${CEL}`."""
    wait: Wait | None = None
    """A pause in place of an action."""
    when: Expression | None = None
    """The step is left out when this is false; when it is unknown, nothing more is done and a person is told."""
    for_each: str | tuple[Any, ...] | None = None
    """The step is made once for each item of this list, or of the list that this `${CEL}` gives; `item` is the item.
    All of them are planned before the first is made."""
    at_most: int | None = Field(default=None, ge=1, le=100)
    """for_each: a longer list is an error, and nothing is made of the step; 10 when left out."""
    parallel: int | None = Field(default=None, ge=1, le=20)
    """for_each: how many items at once; 1 when left out. One that fails stops further ones from starting."""
    loop: Loop | None = None
    """The step is made again until something is so, a bounded number of times."""
    mode: Mode | None = None
    """How far this step may go; the strictest step of a scenario counts for all of it."""
    verify_within: Duration | None = None
    """How long the action's own verification may take; 5 minutes when left out, an hour for another runbook's run."""
    on_failed: Literal["fail", "continue"] = "fail"
    """What it means that the step could not be made or did not help: the attempt ends, or the next step is made all
    the same (of several items: all of them). What is unknown, or denied by a guard, ends the run in any case."""
    until: DayAtMost | None = None
    """Temporary: the change is undone by itself after this time at the latest."""
    hold: DayAtMost | None = None
    """Temporary: the change stays for this time at least, also when the alert resolves before."""
    keep: bool = False
    """What it changed stays, also when it did not help: what eases an overload is not taken away in its midst."""

    @property
    def items_at_most(self) -> int:
        return self.at_most or FEW_ITEMS

    @property
    def size(self) -> int:
        """How many steps it can come to."""
        if self.for_each is not None:
            return self.items_at_most
        return self.loop.at_most if self.loop is not None else 1

    @model_validator(mode="after")
    def _fits(self) -> Step:
        if bool(self.action) == (self.wait is not None):
            raise ValueError("a step has either `action:` or `wait:`")
        if self.wait is not None:
            given = {"with": self.with_, "for_each": self.for_each, "loop": self.loop, "until": self.until}
            given |= {"hold": self.hold, "on_failed": self.on_failed == "continue", "keep": self.keep}
            for key in (key for key, value in given.items() if value):
                raise ValueError(f"a wait takes no `{key}:`")
        if self.for_each is not None and self.loop is not None:
            raise ValueError("a step has one of `for_each:` and `loop:`, not both")
        if self.for_each is None and (self.at_most is not None or self.parallel is not None):
            raise ValueError("`at_most:` and `parallel:` belong to `for_each:`, which this step has not")
        if self.hold is not None and self.until is None:
            raise ValueError("`hold:` is the least time of a temporary change: it needs `until:`, the longest one")
        if self.hold is not None and self.until is not None and self.hold > self.until:
            raise ValueError("`hold:` is longer than `until:`")
        if self.keep and self.until is not None:
            raise ValueError("`keep: true` stays, and what is `until:` some time does not: leave one of them out")
        return self


Steps = Annotated[tuple[Step, ...], Field(min_length=1, max_length=20)]


class Attempt(Strict):
    """One of several ways to try: its steps, and how long the runbook's verification may take after them."""

    name: str
    """What reports call it."""
    when: Expression | None = None
    """The attempt is left out when this is false; when it is unknown, nothing more is done and a person is told."""
    steps: Steps
    """What is done, in order."""
    verify_within: Duration | None = None
    """How long the runbook's `verify` may take to say fixed; its own `within` when left out."""


class Scenario(Strict):
    """A condition and what to do when it holds. Exactly one of `when` and `otherwise: true`."""

    name: str
    """What reports call it."""
    when: Expression | None = None
    """The first scenario whose condition holds is made, when all before it are false."""
    otherwise: bool = False
    """Holds when no scenario before it does."""
    on_unknown: Literal["escalate", "continue"] = "escalate"
    """What is done when the condition is unknown: a person is told, or the next scenario is asked."""
    steps: tuple[Step, ...] = Field(default=(), max_length=20)
    """What is done, in order."""
    try_: tuple[Attempt, ...] = Field(default=(), max_length=10, alias="try")
    """Ways to try in order until the runbook's `verify` says fixed. What did not help is put back before the next
    one, where its actions call that safe; unknown ends the search, and a person is told."""
    on_not_fixed: Literal["escalate", "next"] = "escalate"
    """What is done when it did not help: a person is told, or the scenarios after it are asked, with evidence
    gathered afresh."""

    escalate: str = ""
    """What the person who is woken should know or do first, in place of the runbook's; may hold `${CEL}`. A scenario
    with this alone, without steps, is left to a person."""
    of: str = ""
    """The runbook that it is used from: set when the configuration is loaded, never written."""

    @property
    def title(self) -> str:
        """Its name, with the runbook that it is from where that is another."""
        return f"{self.name} (of {self.of})" if self.of else self.name

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The ways to try: a plain list of steps is a single one without a name; none where it is a person's."""
        return self.try_ or ((Attempt(name="", steps=self.steps),) if self.steps else ())

    @property
    def all_steps(self) -> tuple[Step, ...]:
        return tuple(step for attempt in self.attempts for step in attempt.steps)

    @model_validator(mode="after")
    def _fits(self) -> Scenario:
        if (self.when is None) != self.otherwise:
            raise ValueError("a scenario has either `when:` with a CEL expression or `otherwise: true`")
        if (self.steps and self.try_) or not (self.steps or self.try_ or self.escalate):
            raise ValueError(
                "a scenario has either `steps:` or `try:`, with at least one entry, or `escalate:` with what a person"
                " is to do"
            )
        if (size := sum(step.size for step in self.all_steps)) > MOST_STEPS:
            raise ValueError(f"its steps, with their items and rounds, can come to {size}: at most {MOST_STEPS}")
        return self


class Use(Strict):
    """In place of a scenario: those of another runbook, with the evidence and the parameters that they read."""

    use: str
    """The other runbook's name. A library will do."""
    scenario: str | None = None
    """The one scenario that is used; all of them, in their order, when left out."""
    with_: dict[str, Any] = Field(default={}, alias="with")
    """Other defaults for the other runbook's parameters. What this runbook declares itself counts for both."""
    when: Expression | None = None
    """What has to be so besides, for each of them."""
    on_not_fixed: Literal["escalate", "next"] | None = None
    """In place of what each of them says."""


class VerifySpec(Strict):
    """Proof that it worked: `fixed` holds within the time. Unknown closes nothing."""

    evidence: dict[str, Collect] = {}
    """What is gathered for each look, beside the runbook's evidence that `fixed` reads."""
    fixed: Expression
    """What has to be so."""
    steps: tuple[Step, ...] = Field(default=(), max_length=10)
    """What is tried once `fixed` holds, in order: that something works by doing it (`http_probe`). One that does not
    help means that it is not fixed."""
    within: Duration = 600.0
    """How long it is waited for."""
    every: Duration = 5.0
    """How often it is looked at."""
    settle: Duration = 0.0
    """`fixed` has to hold for this long without a break."""
    decay: Duration = 3600.0
    """How much longer than `within` it may be waited for where the alert's rule, or a query, looks back on the time
    before the repair; 0: never."""


class Runbook(Strict):
    """A named way to mend something."""

    name: str
    """By which routes name it."""
    summary: str
    """What it mends, in one sentence."""
    source: str = ""
    """Where the people's version of it stands; shown in reports, never fetched."""
    severity: Annotated[str, Field(max_length=60)] = ""
    """How bad it is, as its organisation calls it; it counts where the alert has no severity of its own."""
    respond_within: Duration | None = None
    """Within which time somebody has to respond to it."""
    impact: Annotated[str, Field(max_length=500)] = ""
    """What it means for those who use the system."""
    symptoms: Annotated[tuple[str, ...], Field(max_length=50)] = ()
    """How people notice it."""
    mode: Mode | None = None
    """How far it may go; the strictest of process, route, runbook and step wins."""
    approvers: int = Field(default=1, ge=1, le=20)
    """Mode approve: how many different people have to agree to the plan; a route may want more."""
    approve_within: DayAtMost = 1800.0
    """Mode approve: how long people are asked; no answer by then means no. A route may say otherwise."""
    params: dict[str, Parameter] = {}
    """What routes can set."""
    library: bool = False
    """Only there to be used by others (`use:`): it has no target, and no route leads to it."""
    target: TargetSpec
    """What it is about."""
    evidence: dict[str, Collect] = {}
    """What is gathered before a scenario is chosen, side by side."""
    scenarios: tuple[Scenario, ...] = Field(min_length=1, max_length=50)
    """What may be the matter, and what to do about it."""
    verify: VerifySpec | None = None
    """How it is proved that it worked."""
    checklist: tuple[str, ...] = Field(default=(), max_length=100)
    """What only a person can do, before and after: it stands in the incident report, to be ticked off."""
    report: str = Field(default="", max_length=20_000)
    """What is told of a run when it is over, `${CEL}` filled with what was found: kept with it, and sent with what is
    told of its end. A step may send it as `${report}`."""
    escalate: str = ""
    """What the person who is woken should know or do first; may hold `${CEL}`."""
    expires: Duration = 3600.0
    """A run that could not start within this time is out of date and skipped with a record."""
