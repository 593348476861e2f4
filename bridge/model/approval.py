"""What people are asked before a run writes, what they answered, and what follows from it. Pure data and functions.

A question is about plans: its digest is made of their hashes, so that the same changes are the same question, whoever
planned them and when (decision 6 of the design). The journal holds questions and answers; nothing else is believed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import msgspec

from bridge.model.remediation import Entry

ASKED = "asked"
ANSWERED = "answered"
APPROVED = "approved"
KINDS = frozenset({ASKED, ANSWERED, APPROVED})
"""Kinds of journal entries that this module reads."""


def digest_of(plans: Mapping[str, str]) -> str:
    """Return what stands for a set of plans: step's key to the hash of its changes (hex, 16 digits)."""
    return hashlib.sha256(msgspec.json.encode(dict(plans), order="sorted")).hexdigest()[:16]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What people are asked."""

    plans: dict[str, str]
    """Key of a step to the hash of its changes."""
    need: int = 1
    """How many different people have to agree."""
    until: float
    """Unix seconds; no answer by then means no."""

    @property
    def digest(self) -> str:
        return digest_of(self.plans)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said."""

    by: str
    agree: bool
    why: str = ""
    digest: str = ""
    """Of the question that was seen; empty: whichever stands."""


class Said(Enum):
    """What became of an answer."""

    TAKEN = "taken"
    ALREADY = "already"
    """This person said so before: nobody counts twice."""
    SETTLED = "settled"
    """Enough people had agreed, or somebody had said no, before."""
    CHANGED = "changed"
    """The plan that was seen is not the one that is asked about now."""
    LATE = "late"
    NOT_ASKED = "not_asked"
    DONE = "done"
    GONE = "gone"


class Answered(msgspec.Struct, frozen=True):
    """An answer's fate, with how many agree by now and how many have to."""

    said: Said
    agreed: int = 0
    need: int = 0


class Standing(msgspec.Struct, kw_only=True):
    """Where the questions of a run stand, from its journal alone."""

    question: Question | None = None
    """The last one."""
    answers: dict[str, bool] = {}
    """Who agreed to it, or did not, by name."""
    no: Answer | None = None
    """Somebody's no: it is final, whatever is asked afterwards."""
    covered: dict[str, str] = {}
    """Plans that people agreed to: step's key to hash."""
    open: bool = False
    """Whether the run waits with the last question: not once it went on, for whatever reason."""
    asked: int = 0
    """How many different questions there were."""

    @property
    def agreed(self) -> bool:
        """Whether enough people agree to the last question."""
        return self.question is not None and sum(self.answers.values()) >= self.question.need

    def covers(self, plans: Mapping[str, str]) -> bool:
        """Whether people agreed to each of these plans, as it is."""
        return all(self.covered.get(key) == known for key, known in plans.items())


def after(state: Standing, kind: str, data: Mapping[str, Any]) -> Standing:
    """Return where the questions stand after one journal entry more; `state` itself is used up."""
    if kind == ASKED:
        question = msgspec.convert(data["question"], Question)
        if state.question is None or state.question.digest != question.digest:
            state.answers, state.asked = {}, state.asked + 1
        state.question, state.open = question, True
    elif kind == ANSWERED:
        _answered(state, data)
    elif kind == APPROVED:
        state.covered, state.open = {**state.covered, **data["plans"]}, False
    return state


def standing_of(entries: Iterable[Entry]) -> Standing:
    """Return where the questions of a run stand, from its journal."""
    state = Standing()
    for entry in entries:
        if entry.kind in KINDS:
            state = after(state, entry.kind, entry.data)
    return state


def _answered(state: Standing, data: Mapping[str, Any]) -> None:
    if not data["agree"]:
        state.no = Answer(by=data["by"], agree=False, why=data.get("why", ""), digest=data.get("question", ""))
    elif state.question is not None and data.get("question") == state.question.digest:
        state.answers = {**state.answers, data["by"]: True}
