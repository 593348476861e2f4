"""How one stretch of work on a remediation ends: finished, parked or handed over. Raised inside execute."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bridge.model.approval import Question
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome


class Finish(msgspec.Struct, frozen=True):
    """It is over. `wait_until`: its open incidents are looked at again then (unix seconds)."""

    outcome: Outcome
    reason: Reason
    detail: str = ""
    wait_until: float | None = None
    advice: str = ""
    """What the runbook says to whoever is told."""
    report: str = ""
    """What the runbook reports of the run."""
    quiet: bool = False
    """People were told of the same thing a short while ago."""
    overdue: bool = False
    """It was only put off, but for so long that a person is told."""

    @property
    def escalated(self) -> bool:
        return (self.reason.pages or self.overdue) and not self.quiet


class Park(msgspec.Struct, frozen=True):
    """It goes on at `due_at` (unix seconds) with whichever worker is free then."""

    due_at: float
    reason: Reason | None
    detail: str
    retry: bool = False
    """Whether this counts against the cap on retries."""
    question: Question | None = None
    """What people are asked meanwhile."""
    fixed_since: Mapping[str, float] = {}
    """Key to since when a verification that has not settled yet says fixed (unix seconds)."""


class HandOver(msgspec.Struct, frozen=True):
    """This process stops; another worker carries on at once."""

    fixed_since: Mapping[str, float] = {}
    """As in Park."""


Ending = Finish | Park | HandOver


class Ended(Exception):
    """Carries the ending out of the step that found it: control flow of execute, not an error."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(type(ending).__name__)
        self.ending = ending


class RestLeft(Ended):
    """What called for the steps that are left is over by now: they are not made, and what is so now is proved."""

    def __init__(self, why: str) -> None:
        super().__init__(Finish(Outcome.UNKNOWN, Reason.OUT_OF_DATE, why))
        self.why = why


class NotMade(Ended):
    """The rest of a plan could not be made, and what was made of it is put back: the run ends, or tries otherwise."""

    def __init__(self, ending: Finish) -> None:
        super().__init__(ending)
        self.finish = ending
