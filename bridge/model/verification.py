"""The three answers of a verification."""

from __future__ import annotations

from enum import Enum

import msgspec


class Answer(Enum):
    FIXED = "fixed"
    NOT_FIXED = "not_fixed"
    UNKNOWN = "unknown"


class Verification(msgspec.Struct, frozen=True):
    """An answer with a sentence that says what it rests on."""

    answer: Answer
    detail: str = ""
    final: bool = False
    """Unless it is `fixed`: waiting longer cannot change it (a rollout past its progress deadline)."""
