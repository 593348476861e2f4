"""`psql -c`, natively: one statement that the runbook fixes, with values bound to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel, model_validator
from pydantic import Field as ParamField

from bridge.actions.calls import CallAction, CallParams, Declared, not_kept, peer_ref, repeat_of, result_of, shown
from bridge.actions.rollout_restart import RolloutRestart
from bridge.actions.workloads import TargetParams
from bridge.model.peers import SqlName
from bridge.model.permission import Permission
from bridge.model.plan import Change, Plan
from bridge.model.statement import Statement
from bridge.model.verification import Answer, Verification
from bridge.ports import ActionContext

_KEPT_ROWS = 20
_RESTART = RolloutRestart()

Scalar = str | int | float | bool | None


class SqlParams(CallParams):
    connection: SqlName = ParamField(description="The database, as `sql` of the settings names it.")
    statement: Statement = ParamField(
        description="One SQL statement, written down as it is: no templates in it; values are $1, $2, …"
    )
    arguments: tuple[Scalar | tuple[Scalar, ...], ...] = ParamField(
        default=(), max_length=50, description="The values of $1, $2, …: bound by the driver, never part of the text."
    )
    expect_rows: int | None = ParamField(
        default=None, ge=0, description="How many rows it has to return or change; another count did not help."
    )
    at_least_rows: int | None = ParamField(
        default=None, ge=0, description="How many rows it has to return or change at least."
    )
    repeat: Declared = ParamField(
        default="never",
        description="`safe` when running it twice is running it once; otherwise a crash in its midst is unknown.",
    )
    undo_statement: Statement | None = ParamField(
        default=None, description="What makes up for it, when the remediation did not help; fixed text as well."
    )
    undo_arguments: tuple[Scalar | tuple[Scalar, ...], ...] = ParamField(
        default=(), max_length=50, description="The values of that statement."
    )

    restart: TargetParams | None = ParamField(
        default=None,
        description="A workload that reads what was set when it starts: restarted after the statement, and after "
        "the one that makes up for it.",
    )

    @model_validator(mode="after")
    def _fits(self) -> SqlParams:
        if self.restart is not None and self.repeat != "safe":
            raise ValueError("`restart` needs `repeat: safe`: what is interrupted between the two is done again")
        if self.undo_arguments and self.undo_statement is None:
            raise ValueError("`undo_arguments` belong to an `undo_statement`")
        if self.expect_rows is not None and self.at_least_rows is not None:
            raise ValueError("give one of `expect_rows` and `at_least_rows`")
        return self


class Sql(CallAction):
    """A statement at a named database."""

    name = "sql"
    summary = "Run one fixed SQL statement at a configured PostgreSQL; values are bound, never put into the text."
    params: type[BaseModel] = SqlParams
    example: Mapping[str, Any] = {
        "connection": "orders-db",
        "statement": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle' "
        "AND state_change < now() - make_interval(mins => $1) AND pid <> pg_backend_pid()",
        "arguments": [30],
        "repeat": "safe",
    }

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        given = params.get("restart")
        if not isinstance(given, Mapping):
            return ()
        place = given.get("namespace")
        return [
            msgspec.structs.replace(one, namespace=place) if place else one
            for one in _RESTART.permissions(kind, given)
        ]

    async def plan(self, context: ActionContext, params: SqlParams) -> Plan:
        """Plan the call, and the restart; raise InvalidInput when there is no such connection."""
        context.reach.check("sql", params.connection)
        call = {
            "statement": params.statement,
            "arguments": _plain(params.arguments),
            "connection": params.connection,
            "timeout": params.timeout,
        }
        back = None
        if params.undo_statement is not None:
            back = {**call, "statement": params.undo_statement, "arguments": _plain(params.undo_arguments)}
        summary = f"run at {params.connection}: {shown(params.statement)}"
        ref = peer_ref("Postgres", params.connection)
        plan = self.planned_call(ref, summary, call, repeat=repeat_of(params.repeat), back=back)
        if params.restart is None:
            return plan
        restart = await _RESTART.plan(context, params.restart)
        # What reads the setting starts after it was set, also on the way back.
        return msgspec.structs.replace(
            plan,
            summary=f"{summary}, and {restart.summary}",
            changes=(*plan.changes, *restart.changes),
            forward_undo=True,
        )

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        """Run it; return the first rows, how many there were and what the server said."""
        call = change.call
        reply = await context.reach.sql(
            call["connection"], call["statement"], call["arguments"], deadline=call["timeout"]
        )
        return {
            "row_count": _count(reply.status, len(reply.rows)),
            "rows": [dict(row) for row in reply.rows[:_KEPT_ROWS]],
            "status": reply.status,
        }

    async def verify(self, context: ActionContext, plan: Plan, params: SqlParams) -> Verification:
        """Fixed when it ran and met as many rows as it was to."""
        result = result_of(context)
        if "row_count" not in result:
            return not_kept("the statement")
        count, told = int(result["row_count"]), str(result.get("status", ""))
        if params.expect_rows is not None and count != params.expect_rows:
            return Verification(Answer.NOT_FIXED, f"{told}: {params.expect_rows} rows were expected", final=True)
        if params.at_least_rows is not None and count < params.at_least_rows:
            text = f"{told}: at least {params.at_least_rows} rows were expected"
            return Verification(Answer.NOT_FIXED, text, final=True)
        if params.restart is not None and len(plan.changes) > 1:
            restart = msgspec.structs.replace(plan, changes=plan.changes[1:])
            return await _RESTART.verify(context, restart, params.restart)
        return Verification(Answer.FIXED, told)


def _plain(values: Sequence[Any]) -> list[Any]:
    return [list(value) if isinstance(value, tuple) else value for value in values]


def _count(status: str, rows: int) -> int:
    """Return the rows of a command tag, e.g. of `INSERT 0 3`. Source: PostgreSQL, protocol, CommandComplete."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdecimal() else rows
