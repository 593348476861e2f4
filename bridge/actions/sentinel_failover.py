"""`SENTINEL FAILOVER`, spoken natively: another server becomes the primary, and the others follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.calls import peer_ref
from bridge.errors import PlanError, PlanStale, TemporaryError
from bridge.model.peers import RedisName
from bridge.model.permission import Permission
from bridge.model.plan import Change, Field, Operation, Plan, Repeat, Undo
from bridge.model.runbook import Strict
from bridge.model.sentinel import MasterState, connected_replicas, master_state, pairs, replication
from bridge.model.verification import Answer, Verification
from bridge.ports import ActionContext

_BUSY = 30.0
"""Seconds after which a failover that is under way is looked at again."""


class SentinelFailoverParams(Strict):
    connection: RedisName = ParamField(description="The Sentinels, as `redis_peers` of the settings names them.")
    master: str | None = ParamField(
        default=None, description="What they call the primary; left out: the only one that they watch."
    )
    replicas: int | None = ParamField(
        default=None,
        ge=0,
        description="How many replicas the new primary has to have in the end; left out: all that were well, and the "
        "old primary when it was up.",
    )


class SentinelFailover(BaseAction):
    """A forced failover."""

    name = "sentinel_failover"
    summary = "Make the Sentinels promote a replica, and wait for the new primary and its replicas."
    params: type[BaseModel] = SentinelFailoverParams
    example: Mapping[str, Any] = {"connection": "gateway-redis", "master": "mymaster"}
    # Who is the primary can be read: that tells whether a command whose answer was lost took effect.
    repeat = Repeat.DETECTABLE
    undo = Undo.NONE

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return ()

    async def plan(self, context: ActionContext, params: SentinelFailoverParams) -> Plan:
        """Plan it; raise PlanError without a replica to promote, TemporaryError while another one is under way."""
        context.reach.check("redis", params.connection)
        state = await _state(context, params.connection, await _name(context, params))
        if state.failing_over:
            raise TemporaryError(f"a failover of {state.name} is under way: wait for its end", delay=_BUSY)
        good = state.good_replicas
        if not good:
            seen = ", ".join(f"{each.address} ({','.join(sorted(each.flags))})" for each in state.replicas) or "none"
            raise PlanError(
                f"{state.name} has no replica that could be promoted (seen: {seen}): bring one up first, with its "
                "link to the primary, and a replica-priority above 0"
            )
        primary = state.primary.address
        wanted = params.replicas
        if wanted is None:
            wanted = len(good) - 1 + (0 if state.primary.down else 1)
        summary = (
            f"fail {state.name} over from {primary} to one of {', '.join(each.address for each in good)} "
            f"({state.sentinels + 1} Sentinels, quorum {state.quorum})"
        )
        change = Change(
            ref=peer_ref("Sentinel", f"{params.connection}/{state.name}"),
            operation=Operation.CALL,
            fields=(
                Field("/primary", primary, primary, change=False),
                Field("/epoch", state.epoch, state.epoch, change=False),
            ),
            call={
                "connection": params.connection,
                "master": state.name,
                "primary": primary,
                "epoch": state.epoch,
                "replicas": wanted,
            },
            summary=summary,
        )
        notes = () if state.sentinels + 1 >= state.quorum else (f"fewer Sentinels than the quorum {state.quorum}",)
        return self.planned(summary, change, notes=notes)

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        """Ask for it; raises PlanStale when somebody, or the Sentinels themselves, failed over meanwhile."""
        call = change.call
        state = await _state(context, call["connection"], call["master"])
        if state.primary.address != call["primary"] or state.epoch != call["epoch"]:
            raise PlanStale(
                f"{call['master']} has the primary {state.primary.address} (epoch {state.epoch}), it was "
                f"{call['primary']} (epoch {call['epoch']}) when planned"
            )
        if state.failing_over:
            raise TemporaryError(f"a failover of {call['master']} is under way: wait for its end", delay=_BUSY)
        await context.reach.redis(call["connection"], ["SENTINEL", "FAILOVER", call["master"]])
        return {"old_primary": call["primary"]}

    async def done(self, context: ActionContext, change: Change) -> bool | None:
        """Whether it was begun: the primary or the epoch is another, or a failover is under way."""
        call = change.call
        state = await _state(context, call["connection"], call["master"])
        return state.failing_over or state.primary.address != call["primary"] or state.epoch != call["epoch"]

    async def verify(self, context: ActionContext, plan: Plan, params: SentinelFailoverParams) -> Verification:
        """Fixed when another server is the primary, says so itself, and has its replicas."""
        call = plan.changes[0].call
        state = await _state(context, call["connection"], call["master"])
        now = state.primary.address
        if state.failing_over:
            return Verification(Answer.NOT_FIXED, f"the failover of {state.name} is under way")
        if now == call["primary"]:
            return Verification(Answer.NOT_FIXED, f"{now} is the primary still")
        if state.primary.down:
            return Verification(Answer.NOT_FIXED, f"the new primary {now} is down")
        fields = replication(await context.reach.redis(call["connection"], ["INFO", "replication"], address=now))
        if fields.get("role") != "master":
            return Verification(Answer.NOT_FIXED, f"{now} is to be the primary and says that it is not")
        count = connected_replicas(fields)
        text = f"{now} is the primary, with {count} of {call['replicas']} replicas"
        return Verification(Answer.FIXED if count >= call["replicas"] else Answer.NOT_FIXED, text)


async def _name(context: ActionContext, params: SentinelFailoverParams) -> str:
    """Return what the Sentinels call the primary; raise PlanError where that has to be said."""
    if params.master is not None:
        return params.master
    found = await context.reach.redis(params.connection, ["SENTINEL", "MASTERS"])
    names = sorted(pairs(each).get("name", "") for each in found)
    if len(names) == 1:
        return names[0]
    raise PlanError(f"the Sentinels watch {', '.join(names) or 'nothing'}: say which by `master`")


async def _state(context: ActionContext, connection: str, name: str) -> MasterState:
    master = await context.reach.redis(connection, ["SENTINEL", "MASTER", name])
    replicas = await context.reach.redis(connection, ["SENTINEL", "REPLICAS", name])
    return master_state(pairs(master), [pairs(each) for each in replicas])
