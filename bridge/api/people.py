"""Who was told of a remediation, and who has taken it on: over HTTP."""

from __future__ import annotations

from datetime import datetime

import msgspec

from bridge.api.moments import moment
from bridge.api.operation import Call, Refused
from bridge.api.schemas import Sentence
from bridge.model.notice import Ack
from bridge.ports import Notices, WorkQueue
from bridge.telemetry import get_logger

log = get_logger()


class AckRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why, or what is done about it."""

    why: Sentence = ""
    """Stands in the messages that follow."""


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """Who has taken it on: the first who said so."""

    id: str
    by: str
    why: str
    at: datetime | None


class NoticeItem(msgspec.Struct, frozen=True, kw_only=True):
    """One message to people."""

    name: str
    channel: str
    state: str
    """waiting, sent, or lost: given up after hours of tries."""
    at: datetime | None
    attempts: int
    error: str


class NoticeList(msgspec.Struct, frozen=True):
    """What people were told, oldest first."""

    acknowledged: Acknowledged | None
    notices: list[NoticeItem]


class People:
    """Handlers over the notices."""

    def __init__(self, notices: Notices, queue: WorkQueue) -> None:
        self._notices = notices
        self._queue = queue

    async def ack(self, call: Call) -> Acknowledged:
        request: AckRequest = call.body
        first = await self._notices.acknowledge(call.id, Ack(by=call.principal.name, why=request.why))
        if first is None:
            raise Refused(404, f"there is no remediation {call.id}")
        log.info("acknowledged", remediation_id=call.id, by=call.principal.name, why=request.why)
        return _acknowledged(call.id, first)

    async def notices(self, call: Call) -> NoticeList:
        if await self._queue.get(call.id) is None:
            raise Refused(404, f"there is no remediation {call.id}")
        found = await self._notices.deliveries(call.id)
        items = [
            NoticeItem(
                name=each.name,
                channel=each.channel,
                state=each.state,
                at=moment(each.at),
                attempts=each.attempts,
                error=each.error,
            )
            for each in found.messages
        ]
        return NoticeList(_acknowledged(call.id, found.ack) if found.ack else None, items)


def _acknowledged(name: str, ack: Ack) -> Acknowledged:
    return Acknowledged(id=name, by=ack.by, why=ack.why, at=moment(ack.at))
