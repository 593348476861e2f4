"""A program on the worker's host, for what nothing else does. Off unless the settings name it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.calls import CallParams, Declared, not_kept, peer_ref, repeat_of, result_of, shown
from bridge.errors import PermanentError
from bridge.model.peers import CommandName
from bridge.model.permission import Permission
from bridge.model.plan import Change, Operation, Plan, Repeat, Undo
from bridge.model.runbook import Strict
from bridge.model.verification import Answer, Verification
from bridge.ports import ActionContext


class CommandUndo(Strict):
    """What makes up for it."""

    command: CommandName = ParamField(description="The command, as `commands` of the settings names it.")
    arguments: tuple[str, ...] = ParamField(default=(), max_length=50, description="Its further arguments.")


class CommandParams(CallParams):
    command: CommandName = ParamField(description="The command, as `commands` of the settings names it.")
    arguments: tuple[str, ...] = ParamField(
        default=(),
        max_length=50,
        description="Further arguments; each has to meet its pattern in the settings.",
    )
    expect_exit_codes: tuple[int, ...] = ParamField(
        default=(0,), min_length=1, description="Exit codes that mean success."
    )
    repeat: Declared = ParamField(
        default="never",
        description="`safe` when running it twice is running it once; otherwise a crash in its midst is unknown.",
    )
    undo: CommandUndo | None = ParamField(
        default=None, description="A command that makes up for it, when the remediation did not help."
    )


class Command(BaseAction):
    """An allow-listed argument list."""

    name = "command"
    summary = "Run a configured program on the worker's host: an argument list, never a shell line. Off by default."
    params: type[BaseModel] = CommandParams
    example: Mapping[str, Any] = {"command": "flush-cdn", "arguments": ["shop"], "repeat": "safe"}
    repeat = Repeat.NEVER
    undo = Undo.NONE

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return ()

    async def plan(self, context: ActionContext, params: CommandParams) -> Plan:
        """Plan the call; raise InvalidInput for a command or arguments that the settings do not allow."""
        context.reach.check("command", params.command, params.arguments)
        back = None
        if params.undo is not None:
            context.reach.check("command", params.undo.command, params.undo.arguments)
            back = _call(params.undo.command, params.undo.arguments, params) | {"undo": True}
        summary = shown(f"run {params.command} {list(params.arguments)} on the worker's host")
        change = Change(
            ref=peer_ref("Command", params.command),
            operation=Operation.CALL,
            call=_call(params.command, params.arguments, params),
            inverse_call=back,
            summary=summary,
        )
        return self.planned(
            summary,
            change,
            repeat=repeat_of(params.repeat),
            undo=Undo.COMPENSATING if back else Undo.NONE,
            undo_failed=back is not None,
        )

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        """Run it; return exit code and output. An undo that fails is an error: nobody looks at its result."""
        call = change.call
        reply = await context.reach.command(call["command"], call["arguments"], deadline=call["timeout"])
        if call.get("undo") and reply.exit_code not in call["expect_exit_codes"]:
            raise PermanentError(f"{call['command']} ended with {reply.exit_code}: {shown(reply.stderr)}")
        return {
            "exit_code": reply.exit_code,
            "stdout": reply.stdout,
            "stderr": reply.stderr,
            "truncated": reply.truncated,
        }

    async def verify(self, context: ActionContext, plan: Plan, params: CommandParams) -> Verification:
        """Fixed when it ended with an expected exit code."""
        return exit_answer(result_of(context), params.expect_exit_codes)


def exit_answer(result: Mapping[str, Any], expected: Sequence[int]) -> Verification:
    """Return what an exit code means; the end of what it said on stderr goes with a bad one."""
    if "exit_code" not in result:
        return not_kept("the command")
    code = result["exit_code"]
    if code in expected:
        return Verification(Answer.FIXED, f"it ended with {code}")
    said = shown(str(result.get("stderr") or result.get("stdout") or "")[-400:], 300)
    return Verification(Answer.NOT_FIXED, f"it ended with {code}{': ' if said else ''}{said}", final=True)


def _call(command: str, arguments: Sequence[str], params: CommandParams) -> dict[str, Any]:
    return {
        "command": command,
        "arguments": list(arguments),
        "timeout": params.timeout,
        "expect_exit_codes": list(params.expect_exit_codes),
    }
