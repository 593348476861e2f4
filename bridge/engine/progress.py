"""Where a run stands: its plans, its attempts, what it waits for. Rebuilt from its journal by engine/journal.py."""

from __future__ import annotations

from typing import Any

import msgspec

from bridge.model.approval import Standing
from bridge.model.breaker import Permit
from bridge.model.plan import Change, Plan
from bridge.model.plan import Undo as UndoKind
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome

PUT_OFF = frozenset({Reason.BUDGET_SPENT, Reason.ROLLOUT_IN_PROGRESS, Reason.PAUSED})
"""Reasons for which what is half made waits, instead of being left so."""


class Left(msgspec.Struct, frozen=True):
    """A change that was not put back, and why."""

    why: str
    unknown: bool = False
    """Whether it may have been put back all the same."""


class Failure(msgspec.Struct, frozen=True):
    """How the run ends where nothing else can be tried."""

    outcome: Outcome
    reason: Reason
    detail: str


class Undo(msgspec.Struct):
    """What is being put back: all of an attempt, or what was made of one plan that could not be finished."""

    key: str
    """The attempt's place, or the key of the plan."""
    reason: str
    detail: str = ""
    done: int = 0
    """How many changes were put back, refused to be, or are not to be because of one that was."""
    in_flight: bool = False
    """Putting a change back was announced and its end never recorded."""
    left: list[Left] = []
    """What could not be put back."""


class Piece(msgspec.Struct, kw_only=True):
    """One plan of a run and how far it is: of a step, of one of its items, or of one of its rounds."""

    key: str
    place: str
    """The attempt that it is of."""
    plan: Plan
    params: dict[str, Any] = {}
    """The parameters that the plan was made with: evidence that they were taken from is not gathered again."""
    applied: int = 0
    """How many of the plan's changes were made."""
    in_flight: bool = False
    """A write was announced and its end never recorded."""
    doubtful: bool = False
    """The write in flight was interrupted: it may have been made, whatever is said about a later try."""
    since: float = 0.0
    """When the write in flight was announced for the first time (unix seconds)."""
    made: list[Change] = []
    """Changes that this run wrote, as they were made; those that were so already belong to somebody else."""
    results: list[dict[str, Any]] = []
    """What each change returned: empty but for calls."""
    answer: str = ""
    """Of its verification, once that is over."""
    failure: Failure | None = None
    """Why the rest of it could not be made."""
    back: bool = False
    """Whether what was made of it is put back, all of it that could be."""

    @property
    def begun(self) -> bool:
        return bool(self.applied or self.in_flight or self.answer or self.failure)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to change, and nothing to wait for either."""
        return self.plan.empty and not self.plan.waits

    @property
    def complete(self) -> bool:
        return self.applied == len(self.plan.changes)

    @property
    def as_made(self) -> Plan:
        """The plan with what this run wrote: what an undo inverts."""
        return msgspec.structs.replace(self.plan, changes=tuple(self.made))


class Progress(msgspec.Struct, kw_only=True):
    """Where a remediation stands, rebuilt from its journal alone."""

    writing: bool = False
    """A write may have reached the cluster: from here on it is carried on, not begun again."""
    changed: bool = False
    """Whether anything was written at all."""
    begun: bool = False
    """Something is waited for, or an attempt is over: the scenario stays chosen, also before a first write."""
    scenario: str = ""
    place: str = ""
    """The attempt that is under way."""
    tried: dict[str, Failure] = {}
    """Attempts that did not help or were left out, by their place, oldest first."""
    pieces: dict[str, Piece] = {}
    """By their key, in the order in which they were planned."""
    items: dict[str, list[Any]] = {}
    """The items of steps with `for_each`, by the step's key."""
    rounds: dict[str, int] = {}
    """How many rounds of a loop are over, by the step's key."""
    over: dict[str, dict[str, Any]] = {}
    """Steps that are over without a plan of their own (left out, waited, looped), with what expressions see."""
    deadlines: dict[str, float] = {}
    """Key to the unix time at which a verification or a wait gives up."""
    own_time: dict[str, tuple[float, float]] = {}
    """Key to when a proof began, and when its own time is over, which a rule that looks back may prolong."""
    fixed_since: dict[str, float] = {}
    """Key to since when a verification that has not settled yet says fixed (unix seconds)."""
    permit: Permit | None = None
    approval: Standing = msgspec.field(default_factory=Standing)
    """What people were asked, and what they answered."""
    undo: Undo | None = None
    """What is being put back, or was last."""
    retries: int = 0
    put_off_since: float = 0.0
    """Since when what is half made waits for leave to go on (unix seconds); 0: it does not."""
    idle: float = 0.0
    """For how many seconds nobody worked on it, when that was long and it was not looked at again since."""
    rest_left: str = ""
    """Why no further step is made."""
    latest: str = ""
    """Key of what was planned or verified last: entries of the version before don't say what they are about."""

    @property
    def waited(self) -> bool:
        """Whether it waited for people, or as its runbook wants it to, without ever being left alone for long."""
        return self.approval.question is not None or (self.begun and not self.idle)

    @property
    def in_flight(self) -> bool:
        return any(piece.in_flight for piece in self.pieces.values())

    @property
    def doubtful(self) -> bool:
        return any(piece.doubtful for piece in self.pieces.values())

    def done_plans(self, place: str | None = None) -> list[Plan]:
        """Return the plans whose changes were all made, oldest first, with what this run wrote; of one attempt."""
        return [
            piece.as_made
            for piece in self.pieces.values()
            if piece.applied and piece.complete and place in (None, piece.place)
        ]

    def staying(self) -> list[Plan]:
        """Return the plans whose changes no undo of the run puts back, though something of them lasts."""
        return [piece.as_made for piece in self.pieces.values() if _stays(piece)]

    def changed_in(self, place: str) -> bool:
        return any(piece.made for piece in self.pieces.values() if piece.place == place)


def _stays(piece: Piece) -> bool:
    plan = piece.as_made
    if not piece.made or plan.harmless:
        return False
    if plan.undo is UndoKind.NONE:
        return True
    goes_back = plan.undo_failed if piece.complete else piece.back
    return bool(plan.inverses) and not goes_back
