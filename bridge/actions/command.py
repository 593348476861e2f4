"""A program on the worker's host, for what nothing else does. Off unless the settings name it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.calls import (
    CallAction,
    CallParams,
    Declared,
    exit_answer,
    exit_result,
    peer_ref,
    repeat_of,
    result_of,
    shown,
)
from bridge.model.peers import CommandName
from bridge.model.plan import Change, Plan
from bridge.model.runbook import Strict
from bridge.model.verification import Verification
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


class Command(CallAction):
    """An allow-listed argument list."""

    name = "command"
    summary = "Run a configured program on the worker's host: an argument list, never a shell line. Off by default."
    params: type[BaseModel] = CommandParams
    example: Mapping[str, Any] = {"command": "flush-cdn", "arguments": ["shop"], "repeat": "safe"}

    async def plan(self, context: ActionContext, params: CommandParams) -> Plan:
        """Plan the call; raise InvalidInput for a command or arguments that the settings do not allow."""
        context.reach.check("command", params.command, params.arguments)
        back = None
        if params.undo is not None:
            context.reach.check("command", params.undo.command, params.undo.arguments)
            back = _call(params.undo.command, params.undo.arguments, params)
        summary = shown(f"run {params.command} {list(params.arguments)} on the worker's host")
        call = _call(params.command, params.arguments, params)
        ref = peer_ref("Command", params.command)
        return self.planned_call(ref, summary, call, repeat=repeat_of(params.repeat), back=back)

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        """Run it; return exit code and output."""
        call = change.call
        reply = await context.reach.command(call["command"], call["arguments"], deadline=call["timeout"])
        return exit_result(call, reply)

    async def verify(self, context: ActionContext, plan: Plan, params: CommandParams) -> Verification:
        """Fixed when it ended with an expected exit code."""
        return exit_answer(result_of(context), params.expect_exit_codes)


def _call(command: str, arguments: Sequence[str], params: CommandParams) -> dict[str, Any]:
    return {
        "command": command,
        "arguments": list(arguments),
        "timeout": params.timeout,
        "expect_exit_codes": list(params.expect_exit_codes),
    }
