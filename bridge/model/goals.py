"""What remediations have to come to, as an organisation's success metrics say it: schema, and whether it is so. Pure.

Called by the API with the newest remediations. A goal for a time is about the mean, as in "mean time to resolve".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from pydantic import Field, model_validator

from bridge.model.remediation import RemediationView
from bridge.model.report import Times
from bridge.model.runbook import Duration
from bridge.model.stats import false_positive
from bridge.model.telling import Concerned, SeveritySpec

Seconds = Annotated[Duration, Field(gt=0)]


class Goal(Concerned):
    """Goals for remediations of some runbooks, alerts or severities; at least one."""

    detect: Seconds | None = None
    """From the alert's start to its being received, at most so long on average."""
    respond: Seconds | None = None
    """From there to the first action, at most so long on average."""
    resolve: Seconds | None = None
    """From the alert's start to the proof that it is mended, at most so long on average."""
    false_positives: Annotated[float, Field(ge=0, le=1)] | None = None
    """The share of alerts that may turn out to be none."""

    @model_validator(mode="after")
    def _something(self) -> Goal:
        if (self.detect, self.respond, self.resolve, self.false_positives) == (None, None, None, None):
            raise ValueError("a goal says at least one of detect, respond, resolve and false_positives")
        return self


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One figure beside its goal."""

    name: str
    """detect, respond, resolve (seconds, the mean) or false_positives (a share)."""
    goal: float
    count: int
    """How often it was measured."""
    found: float | None = None
    met: bool | None = None
    """None: nothing was measured."""


class GoalMet(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `goals`, and what was measured of it."""

    about: str
    remediations: int
    figures: list[Measured]


def goals_met(
    goals: Iterable[Goal], severity: SeveritySpec, runs: Sequence[tuple[RemediationView, Times]]
) -> list[GoalMet]:
    """Return for each goal whether it is met; undos are no remediations of their own."""
    return [_met(goal, [run for run in runs if _concerns(goal, severity, run[0])]) for goal in goals]


def _concerns(goal: Goal, severity: SeveritySpec, view: RemediationView) -> bool:
    made = view.remediation
    return not made.undo_of and goal.meets(
        made.runbook, made.labels, severity.of(made.runbook, made.labels, made.severity)
    )


def _met(goal: Goal, runs: Sequence[tuple[RemediationView, Times]]) -> GoalMet:
    over = [view for view, _ in runs if view.outcome is not None]
    taken: dict[str, tuple[float | None, list[float | None]]] = {
        "detect": (goal.detect, [times.to_detect for _, times in runs]),
        "respond": (goal.respond, [times.to_respond for _, times in runs]),
        "resolve": (goal.resolve, [times.to_resolve for view, times in runs if not false_positive(view)]),
        "false_positives": (goal.false_positives, [float(false_positive(view)) for view in over]),
    }
    figures = [_figure(name, wanted, found) for name, (wanted, found) in taken.items() if wanted is not None]
    words = [*(goal.runbooks or ("all runbooks",)), *(str(each.value) for each in goal.severity)]
    return GoalMet(about=", ".join(words), remediations=len(runs), figures=figures)


def _figure(name: str, goal: float, measured: Sequence[float | None]) -> Measured:
    known = [each for each in measured if each is not None]
    if not known:
        return Measured(name=name, goal=goal, count=0)
    mean = round(sum(known) / len(known), 4)
    return Measured(name=name, goal=goal, count=len(known), found=mean, met=mean <= goal)
