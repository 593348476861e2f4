"""What an operator does by hand and what anybody asks: trigger, pause, resume, explain, reload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from bridge.api.operation import Call, Refused
from bridge.api.operation_schemas import (
    Explanation,
    PauseItem,
    PauseList,
    PauseRequest,
    RefusalList,
    RefusalQuery,
    Reloaded,
    Resumed,
    ResumeRequest,
    Triggered,
    decision_of,
    incident_of,
    pause_of,
    refusal_of,
)
from bridge.model.intake import Pause, Seen
from bridge.model.principal import Principal
from bridge.model.reason import Reason
from bridge.model.sentences import story
from bridge.ports import Clock, Guardbook, IntakeQueue, Refusals
from bridge.telemetry import get_logger

Reload = Callable[[str], Awaitable[tuple[int, int]]]
"""Read the configuration again for this person, which gets into the trail; returns the numbers of routes and
runbooks. Raises ConfigurationError."""

log = get_logger()


class Taken(Protocol):
    """What the receiver says of an alert that was fired by hand."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def seen(self) -> Seen: ...
    @property
    def starts_at(self) -> int:
        """Microseconds since the epoch."""
        ...


Trigger = Callable[[bytes, Principal], Awaitable[Taken]]
"""Take in a body by hand, as the receiver does. Raises InvalidInput and StoreUnavailable."""


class Operations:
    """Handlers over the receiver's trigger and the guardbook."""

    def __init__(
        self,
        *,
        trigger: Trigger,
        waiting: IntakeQueue,
        guardbook: Guardbook,
        refusals: Refusals,
        clock: Clock,
        reload: Reload,
    ) -> None:
        self._trigger = trigger
        self._waiting = waiting
        self._guardbook = guardbook
        self._refusals = refusals
        self._clock = clock
        self._reload = reload

    async def trigger(self, call: Call) -> Triggered:
        """Take in an alert by hand: from here on it goes where every alert goes."""
        taken = await self._trigger(call.body, call.principal)
        log.info("triggered", fingerprint=taken.fingerprint, by=call.principal.name, seen=taken.seen.value)
        incident = f"{taken.source}/{taken.fingerprint}/{taken.starts_at}"
        return Triggered(taken.fingerprint, taken.seen, incident)

    async def pause(self, call: Call) -> PauseItem:
        request: PauseRequest = call.body
        now = self._clock.now()
        until = now + request.seconds if request.seconds else None
        pause = Pause(scope=request.scope, by=call.principal.name, why=request.why, since=now, until=until)
        await self._guardbook.pause(pause)
        log.warning("paused", scope=pause.scope, by=pause.by, why=pause.why, until=until)
        return pause_of(pause)

    async def resume(self, call: Call) -> Resumed:
        request: ResumeRequest = call.body
        if not await self._guardbook.resume(request.scope, by=call.principal.name, why=request.why):
            raise Refused(404, f"{request.scope} is not paused")
        woken = await self._waiting.wake((Reason.PAUSED, Reason.HALTED, Reason.RUNBOOK_STOPPED))
        log.warning("resumed", scope=request.scope, by=call.principal.name, woken=woken)
        return Resumed(request.scope, woken)

    async def pauses(self, _call: Call) -> PauseList:
        return PauseList([pause_of(pause) for pause in await self._guardbook.pauses()])

    async def explain(self, call: Call) -> Explanation:
        incidents = [incident_of(incident) for incident in await self._guardbook.incidents(call.id)]
        found = await self._guardbook.explain(call.id)
        decisions = [decision_of(decision) for decision in found]
        if not incidents and not decisions:
            raise Refused(404, f"nothing is kept about an alert with the fingerprint {call.id}")
        return Explanation(call.id, incidents, decisions, story(found))

    async def refused(self, call: Call) -> RefusalList:
        query: RefusalQuery = call.query
        return RefusalList([refusal_of(refusal) for refusal in await self._refusals.recent(limit=query.limit)])

    async def reload(self, call: Call) -> Reloaded:
        routes, runbooks = await self._reload(call.principal.name)
        log.info("configuration reloaded", by=call.principal.name, routes=routes, runbooks=runbooks)
        return Reloaded(routes, runbooks)
