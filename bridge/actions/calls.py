"""What the actions share that call a peer: the reference to it, results of calls, and declarations of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.errors import PermanentError
from bridge.model.outside import ExecReply
from bridge.model.permission import Permission
from bridge.model.plan import Change, Operation, Plan, Repeat, Undo
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


class CallAction(BaseAction):
    """An action that is one call to a peer; what a step says of `repeat` and `undo` is in its plan."""

    repeat = Repeat.NEVER
    undo = Undo.NONE

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return ()

    def planned_call(
        self,
        ref: ObjectRef,
        summary: str,
        call: dict[str, Any],
        *,
        repeat: Repeat,
        back: dict[str, Any] | None,
        harmless: bool = False,
    ) -> Plan:
        """Return the plan of a call; `back` is the one that makes up for it."""
        inverse = None if back is None else {**back, "undo": True}
        change = Change(ref=ref, operation=Operation.CALL, call=call, inverse_call=inverse, summary=summary)
        undo = Undo.NONE if back is None else Undo.COMPENSATING
        return self.planned(
            summary, change, repeat=repeat, undo=undo, undo_failed=back is not None, harmless=harmless
        )


def exit_result(call: Mapping[str, Any], reply: ExecReply) -> dict[str, Any]:
    """Return what is kept of a command's end. An undo that fails is an error: nobody looks at its result."""
    if call.get("undo") and reply.exit_code not in call["expect_exit_codes"]:
        raise PermanentError(f"{call['command']} ended with {reply.exit_code}: {shown(reply.stderr)}")
    return {
        "exit_code": reply.exit_code,
        "stdout": reply.stdout,
        "stderr": reply.stderr,
        "truncated": reply.truncated,
    }


def exit_answer(result: Mapping[str, Any], expected: Sequence[int]) -> Verification:
    """Return what an exit code means; the end of what it said on stderr goes with a bad one."""
    if "exit_code" not in result:
        return not_kept("the command")
    code = result["exit_code"]
    if code in expected:
        return Verification(Answer.FIXED, f"it ended with {code}")
    said = shown(str(result.get("stderr") or result.get("stdout") or "")[-400:], 300)
    return Verification(Answer.NOT_FIXED, f"it ended with {code}{': ' if said else ''}{said}", final=True)


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
