"""What people answer: approve, deny, undo. Used by the API's operations and by the page."""

from __future__ import annotations

from bridge.api.operation import Call, Refused
from bridge.api.schemas import AnswerRequest, AnswerTaken, UndoRequest, UndoTaken
from bridge.engine.byhand import ByHand, NothingToUndo
from bridge.model.approval import Answer, Said
from bridge.model.principal import Principal
from bridge.ports import Journal, WorkQueue
from bridge.telemetry import get_logger

_NO = {
    Said.SETTLED: "it is settled already: `cancel` or `undo` what is not wanted",
    Said.CHANGED: "the plan has changed since the one that was answered: look at it again",
    Said.LATE: "it is too late: no answer in time means no",
    Said.NOT_ASKED: "it does not wait for an answer",
    Said.DONE: "it is over",
}

log = get_logger()


class Answers:
    """Handlers over the work queue."""

    def __init__(self, queue: WorkQueue, journal: Journal) -> None:
        self._queue = queue
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
        if answered.said in _NO:
            raise Refused(409, f"{remediation}: {_NO[answered.said]}")
        log.info("answered", remediation_id=remediation, by=who.name, agree=agree, why=why)
        verb = "approve" if agree else "deny"
        return AnswerTaken(remediation, verb, answered.said is Said.ALREADY, answered.agreed, answered.need)

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
