"""What the actions share that call a peer: the reference to it, results of calls, and declarations of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field as ParamField

from bridge.model.plan import Repeat
from bridge.model.redact import redact
from bridge.model.runbook import Duration, Strict
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer, Verification
from bridge.ports import ActionContext

_SHOWN = 160


class CallParams(Strict):
    """What every call can be told."""

    timeout: Duration = ParamField(
        default=30.0, gt=0, le=300, description="How long it may take; without an answer by then the end is unknown."
    )


Declared = Literal["safe", "never"]
"""What an author vouches for: that doing it twice is doing it once, or not."""


def peer_ref(kind: str, name: str) -> ObjectRef:
    """Return the reference to something that is no object of a cluster; it is locked by this name."""
    return ObjectRef("", kind, "", name)


def own_ref(context: ActionContext, kind: str, name: str) -> ObjectRef:
    """Return a reference that other remediations don't wait for: a message to a channel disturbs no other."""
    return ObjectRef("", kind, "", f"{name}/{context.remediation}")


def repeat_of(declared: str) -> Repeat:
    return Repeat(declared)


def result_of(context: ActionContext) -> Mapping[str, Any]:
    """Return what the plan's one call returned; empty when that is not known."""
    return context.results[0] if context.results else {}


def not_kept(what: str) -> Verification:
    """Return the answer when the call's result is missing."""
    return Verification(Answer.UNKNOWN, f"what {what} returned is not known")


def shown(text: str, longest: int = _SHOWN) -> str:
    """Return one line of a text, without credentials: it goes into the log and to people."""
    line = " ".join(redact(text, longest=max(len(text), 1)).split())
    return line if len(line) <= longest else f"{line[: longest - 3]}..."
