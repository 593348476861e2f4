"""Take alerts from the intake, route them, and record what they ask for. Started by app; knows nothing of HTTP.

A decision is made per alert with the configuration of now, and recorded in one script with its effects. One
alert that cannot be handled is set aside with its error; its siblings go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol

import msgspec
import structlog

from bridge.engine.assign import ClusterMap, Refused, Wish, assign, turn_away
from bridge.errors import StoreUnavailable
from bridge.model.alert import NEVER_ACT, Alert
from bridge.model.intake import Dispatch, Dispatched, IntakeEntry, Seen, Transition
from bridge.model.reason import Reason
from bridge.model.remediation import Decision
from bridge.ports import Clock, IntakeQueue
from bridge.telemetry import Metrics

log = structlog.get_logger(__name__)

_TRIES = 3
"""How often one alert may have been under way when its dispatcher died, before it is set aside."""

_BY_HAND = 3600.0
"""For how many seconds what was asked for by hand is begun, or looked at again, after it was asked."""


class Routing(Protocol):
    """The routing table and what it refers to, as configured now."""

    clusters: ClusterMap

    def wishes(self, alert: Alert, *, now: float) -> list[Wish | Muted]:
        """Return what the alert's routes ask for, in their order; empty when no route names a runbook."""
        ...


class Muted(msgspec.Struct, frozen=True):
    """A route that matches but does not act now because of its time intervals."""

    path: str
    detail: str


class Dispatcher:
    """Reads entries, decides for each alert, and acknowledges an entry when every alert of it is settled."""

    def __init__(
        self,
        queue: IntakeQueue,
        routing: Callable[[], Routing],
        *,
        name: str,
        clock: Clock,
        metrics: Metrics,
        new_id: Callable[[], str],
        side_by_side: int = 32,
        give_way: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`give_way` is awaited before every few alerts: it returns later while its process is busy receiving."""
        self._queue = queue
        self._routing = routing
        self._name = name
        self._clock = clock
        self._metrics = metrics
        self._new_id = new_id
        self._side_by_side = side_by_side
        self._give_way = give_way
        self._stopping = False

    async def run(self) -> None:
        """Dispatch until `stop` is called. What is not settled then stays in the intake."""
        while not self._stopping:
            try:
                await self.settle(*await self._queue.read(self._name, count=32, block=1.0))
            except StoreUnavailable as error:
                log.warning("the store is away", error=str(error))
                await self._clock.sleep(1.0)
            except Exception:
                # Nothing may end the loop that all alerts depend on. What was read stays pending and is reclaimed.
                log.exception("dispatcher loop failed")
                await self._clock.sleep(1.0)

    def stop(self) -> None:
        self._stopping = True

    async def recover(self) -> None:
        """Settle what dead dispatchers left; called from time to time."""
        await self.settle(*await self._queue.reclaim(self._name))

    async def look_again(self, *, limit: int = 100) -> int:
        """Dispatch open incidents whose wait is over (decision 1); return how many.

        One that cannot be handled now is looked at again at the store's pace; it costs the others nothing.
        """
        due = await self._queue.due(limit=limit)
        for transition in due:
            try:
                await self.dispatch(transition)
            except StoreUnavailable:
                raise
            except Exception:
                log.exception("alert cannot be dispatched again", fingerprint=transition.alert.fingerprint)
        return len(due)

    async def settle(self, *entries: IntakeEntry) -> None:
        """Dispatch every alert of the entries, some side by side, and acknowledge each entry when all of its are.

        Raises StoreUnavailable: then nothing is lost, and what was not acknowledged comes again.
        """
        left = {entry.id: len(entry.transitions) for entry in entries}
        for _ in range(sum(entry.undecodable for entry in entries)):
            self._metrics.dead_letter("alert")
        await self._acknowledge(left)
        for part in _parts(entries, self._side_by_side):
            if self._give_way is not None:
                await self._give_way()
            results = await asyncio.gather(*(self._settle_alert(*one) for one in part), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
            for entry, _, _ in part:
                left[entry.id] -= 1
            await self._acknowledge(left)

    async def _acknowledge(self, left: dict[str, int]) -> None:
        """Acknowledge the entries of which no alert is left, and forget them."""
        settled = [entry for entry, alerts in left.items() if not alerts]
        for entry in settled:
            del left[entry]
        if settled:
            await self._queue.done(settled)

    async def _settle_alert(self, entry: IntakeEntry, index: int, transition: Transition) -> None:
        if entry.deliveries > 1 and await self._queue.begin_alert(entry.id, index) > _TRIES:
            await self._set_aside(entry, index, transition, "its dispatchers died while they handled it")
            return
        try:
            await self.dispatch(transition)
        except StoreUnavailable:
            raise
        except Exception as error:
            log.exception("alert cannot be dispatched", fingerprint=transition.alert.fingerprint)
            await self._set_aside(entry, index, transition, f"{type(error).__name__}: {error}")

    async def _set_aside(self, entry: IntakeEntry, index: int, transition: Transition, error: str) -> None:
        await self._queue.dead_letter(entry.id, index, transition, error)
        self._metrics.dead_letter("alert")
        self._metrics.decision(Reason.DEAD_LETTER)

    async def dispatch(self, transition: Transition) -> Dispatched:
        """Decide for one alert and record it; equal and older transitions change nothing."""
        decision = self.decide(transition)
        result = await self._queue.dispatch(decision)
        if not result.stale:
            self._count(transition, decision, result)
        return result

    def decide(self, transition: Transition) -> Dispatch:
        """Return what is to be recorded for one transition; pure but for the ids of new remediations."""
        alert = transition.alert
        if transition.seen is Seen.RESOLVED:
            decision = _decision(Reason.RESOLVED, alert)
            return Dispatch(transition=transition, decisions=(decision,))
        if alert.requested_by and self._clock.now() - transition.received_at > _BY_HAND:
            # Nothing ever resolves what was asked for by hand: a reload in the morning is not to do what the night
            # has long settled.
            decision = _decision(Reason.OUT_OF_DATE, alert, "asked for by hand too long ago: ask again")
            return Dispatch(transition=transition, decisions=(decision,))
        if alert.name in NEVER_ACT:
            return Dispatch(transition=transition, decisions=(_decision(Reason.TEST_ALERT, alert),))
        routing = self._routing()
        wishes = routing.wishes(alert, now=self._clock.now())
        if not wishes:
            return _waiting(transition, [_decision(Reason.NO_ROUTE, alert)], Reason.NO_ROUTE)
        return self._assign(transition, wishes, routing.clusters)

    def _assign(self, transition: Transition, wishes: list[Wish | Muted], clusters: ClusterMap) -> Dispatch:
        alert, assignments, decisions = transition.alert, [], []
        reason = Reason.NO_ROUTE
        for wish in wishes:
            if isinstance(wish, Muted):
                reason = Reason.MUTED
                decisions.append(_decision(reason, alert, wish.detail, route=wish.path))
                continue
            try:
                assignments.append(
                    assign(alert, wish, clusters=clusters, new_id=self._new_id, since=transition.received_at)
                )
            except Refused as refused:
                if refused.reason.pages and not alert.requested_by:
                    # Whoever asks by hand sees it at once; of what an alert asks for people are told as of every end.
                    away = turn_away(alert, wish, refused, new_id=self._new_id, since=transition.received_at)
                    assignments.append(away)
                    continue
                reason = refused.reason
                decisions.append(_decision(reason, alert, refused.detail, route=wish.path, runbook=wish.runbook.name))
        if assignments:
            return Dispatch(transition=transition, assignments=tuple(assignments), decisions=tuple(decisions))
        return _waiting(transition, decisions, reason)

    def _count(self, transition: Transition, decision: Dispatch, result: Dispatched) -> None:
        for made in decision.decisions:
            reason = Reason.of(made.reason)
            self._metrics.decision(reason)
            if reason.pages:
                self._metrics.escalated(reason)
        self._metrics.decision(Reason.CREATED, len(result.created))
        self._metrics.decision(Reason.JOINED, len(result.joined))
        self._metrics.dispatched(self._clock.now() - transition.received_at)
        log.info(
            "alert dispatched",
            alert=transition.alert.name,
            fingerprint=transition.alert.fingerprint,
            seen=transition.seen.value,
            reasons=[made.reason for made in decision.decisions],
            created=list(result.created),
            joined=list(result.joined),
            cancelled=list(result.cancelled),
        )


Unit = tuple[IntakeEntry, int, Transition]


def _parts(entries: Sequence[IntakeEntry], most: int) -> Iterator[list[Unit]]:
    """Return the alerts of the entries, in order, in parts of which no two are transitions of the same alert.

    Those of an entry that comes again go one by one: if its dispatcher died of one of them, only that one was under
    way when the next one dies, and no sibling is taken for the killer.
    """
    part: list[Unit] = []
    keys: set[str] = set()
    for entry in entries:
        again = entry.deliveries > 1
        for index, transition in enumerate(entry.transitions):
            key = transition.alert.key
            if part and (again or len(part) == most or key in keys):
                yield part
                part, keys = [], set()
            part.append((entry, index, transition))
            keys.add(key)
        if again and part:
            yield part
            part, keys = [], set()
    if part:
        yield part


def _waiting(transition: Transition, decisions: list[Decision], reason: Reason) -> Dispatch:
    return Dispatch(transition=transition, decisions=tuple(decisions), wait=reason.value)


def _decision(reason: Reason, alert: Alert, detail: str = "", *, route: str = "", runbook: str = "") -> Decision:
    return Decision(
        reason=reason.value, detail=detail or reason.text, incident=alert.incident_id, route=route, runbook=runbook
    )
