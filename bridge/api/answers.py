"""What people answer: approve, deny, undo. Used by the API's operations and by the page."""

from __future__ import annotations

import asyncio

from bridge.api.operation import Call, Refused
from bridge.api.schemas import AnswerRequest, AnswerTaken, UndoRequest, UndoTaken
from bridge.engine.byhand import ByHand, NothingToUndo
from bridge.model.approval import Answer, Said, standing_of
from bridge.model.principal import Principal
from bridge.ports import Journal, WorkQueue
from bridge.telemetry import get_logger

_LATER = "what still fires asks again after a while, and `alertbridge trigger` asks at once"

log = get_logger()


class Answers:
    """Handlers over the work queue."""

    def __init__(self, queue: WorkQueue, journal: Journal) -> None:
        self._queue = queue
        self._journal = journal
        self._hand = ByHand(queue, journal)

    async def approve(self, call: Call) -> AnswerTaken:
        request: AnswerRequest = call.body
        return await self.say(call.id, call.principal, agree=True, why=request.why, digest=request.plan)

    async def deny(self, call: Call) -> AnswerTaken:
        request: AnswerRequest = call.body
        return await self.say(call.id, call.principal, agree=False, why=request.why, digest=request.plan)

    async def undo(self, call: Call) -> UndoTaken:
        request: UndoRequest = call.body
        return await self.put_back(call.id, call.principal, request.why)

    async def say(
        self, remediation: str, who: Principal, *, agree: bool, why: str = "", digest: str = ""
    ) -> AnswerTaken:
        """Record what this person says of the plan; raise Refused where it does not count."""
        text = f"{who.name} {'agreed' if agree else 'said no'}" + (f": {why}" if why else "")
        answer = Answer(by=who.name, agree=agree, why=why, digest=digest)
        answered = await self._queue.answer(remediation, answer, text)
        if answered.said is Said.GONE:
            raise Refused(404, f"there is no remediation {remediation}")
        if answered.said not in (Said.TAKEN, Said.ALREADY):
            raise Refused(409, f"{remediation}: {await self._why(remediation, answered.said)}")
        log.info("answered", remediation_id=remediation, by=who.name, agree=agree, why=why)
        verb = "approve" if agree else "deny"
        return AnswerTaken(remediation, verb, answered.said is Said.ALREADY, answered.agreed, answered.need)

    async def _why(self, remediation: str, said: Said) -> str:
        """Return why an answer does not count, and what to do instead."""
        view, entries = await asyncio.gather(self._queue.get(remediation), self._journal.read(remediation))
        standing = standing_of(entries)
        if said is Said.CHANGED and standing.question is not None:
            now = standing.question.digest
            return (
                f"the plan has changed since the one that was answered: it asks about {now} now. Look at it "
                f"(`alertbridge show {remediation}`), then answer with --plan {now}"
            )
        if said is Said.LATE:
            return f"it is too late: no answer in time means no; {_LATER}"
        if said is Said.SETTLED:
            who = [standing.no.by] if standing.no else sorted(name for name, yes in standing.answers.items() if yes)
            verb = "said no" if standing.no else "agreed"
            stop = "" if standing.no else f": `alertbridge cancel {remediation}` before it writes, `undo` afterwards"
            return f"it is settled already, {' and '.join(who) or 'others'} {verb}{stop}"
        if view is not None and view.outcome is not None:
            detail = view.detail.removeprefix(f"{view.outcome.value}: ")
            how = f"{view.outcome.value} ({': '.join(filter(None, (view.reason, detail)))})"
            return f"it is over: {how}" + (f"; {_LATER}" if view.open_incidents and not view.writing else "")
        state = "" if view is None else f": it is {view.state.value}"
        return f"it does not wait for an answer{state}"

    async def put_back(self, remediation: str, who: Principal, why: str = "") -> UndoTaken:
        """Have what it changed put back; raise Refused where nothing can be."""
        view = await self._queue.get(remediation)
        if view is None:
            raise Refused(404, f"there is no remediation {remediation}")
        try:
            undo, again = await self._hand.undo(view, by=who.name, why=why)
        except NothingToUndo as error:
            raise Refused(409, str(error)) from None
        log.info("undo asked for", remediation_id=remediation, by=who.name, undo=undo, again=again, why=why)
        return UndoTaken(remediation, undo, again)
