"""Look at remediations with news, and write what is to be told of them to the outbox. A job of each worker.

Nothing is sent here, and no remediation waits for it: what was decided is in the journal, which makes a remediation
due here in the same script. A crash loses nothing, and of two that look at the same one is kept.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from bridge.errors import StoreUnavailable
from bridge.model.mode import Mode
from bridge.model.notice import Due, Memory, Notice, Paged, Told
from bridge.model.remediation import State
from bridge.model.telling import Notify, TellAgain
from bridge.notify.again import cause_of
from bridge.notify.decide import Look, look
from bridge.notify.texts import message
from bridge.ports import Clock, Journal, Notices, WorkQueue

log = structlog.get_logger(__name__)

_AT_ONCE = 50


class Crier:
    """Decides what is told, by the configuration of now."""

    def __init__(
        self,
        notices: Notices,
        queue: WorkQueue,
        journal: Journal,
        rules: Callable[[], Notify],
        *,
        external_url: Callable[[], str],
        holds: Callable[[], bool],
        clock: Clock,
    ) -> None:
        """`holds` says whether pages are held while a repair runs."""
        self._notices = notices
        self._queue = queue
        self._journal = journal
        self._rules = rules
        self._external_url = external_url
        self._holds = holds
        self._clock = clock

    async def look(self) -> int:
        """Look at what is due; return how many. Raises StoreUnavailable."""
        due = await self._notices.take("notices", limit=_AT_ONCE)
        for each in due:
            try:
                await self._look_at(each)
            except StoreUnavailable:
                raise
            except Exception:
                # One that cannot be told of costs no other; it comes again when its lease is over.
                log.exception("cannot tell of a remediation", remediation=each.remediation)
        return len(due)

    async def _look_at(self, due: Due) -> None:
        # The entries first: the view is at least as new then.
        entries = await self._journal.read(due.remediation)
        view = await self._queue.get(due.remediation)
        if view is None:
            await self._notices.keep("notices", due, b"", read=len(entries), look_at=None)
            return
        told = Told()
        if due.kept:
            told = msgspec.json.decode(due.kept, type=Told)
        rules, now = self._rules(), self._clock.now()
        sent = None
        if told.heard_by is not None and (told.heard_by <= now or not view.open_incidents):
            messages = (await self._notices.deliveries(due.remediation)).messages
            sent = {each.name for each in messages if each.state == "sent"}
        cause = cause_of(view)
        memory = await self._notices.remembered(cause) if cause else None
        paged = msgspec.json.decode(memory.kept, type=Paged) if memory is not None and memory.kept else None
        found = look(rules, view, entries, due.ack, told, now=now, sent=sent, paged=paged)
        kept = await self._evidence(due.remediation) if found.say else {}
        notices = [
            Notice(
                name=f"{say.name}/{channel}",
                channel=channel,
                event=say.event,
                message=message(
                    rules,
                    view,
                    entries,
                    say.event,
                    now=now,
                    external_url=self._external_url(),
                    level=say.level,
                    unreached=say.unreached,
                    ack=found.ack,
                    kept=kept,
                ),
            )
            for say in found.say
            for channel in say.channels
        ]
        changes = view.state is not State.DONE and view.remediation.mode is not Mode.OBSERVE
        hold = not due.kept and changes and self._holds()
        await self._notices.keep(
            "notices",
            due,
            msgspec.json.encode(found.told),
            read=len(entries),
            look_at=found.look_at,
            notices=notices,
            withdraw=found.withdraw,
            enrol="holds" if hold else "",
            memory=_kept(memory, found, rules.tell_again),
        )

    async def _evidence(self, remediation: str) -> dict[str, Any]:
        """Return the evidence document; empty where none can be read: what is to be told is told all the same."""
        blob = await self._journal.evidence(remediation)
        if not blob:
            return {}
        try:
            return await asyncio.to_thread(_unpacked, blob)
        except (OSError, EOFError, zlib.error, msgspec.MsgspecError, ValueError, TypeError):
            log.warning("evidence cannot be read for a message", remediation=remediation)
            return {}


def _kept(memory: Memory | None, found: Look, spec: TellAgain) -> Memory | None:
    """Return what is to be remembered of the cause, for as long as it matters."""
    if memory is None:
        return None
    return msgspec.structs.replace(
        memory,
        kept=msgspec.json.encode(found.paged),
        seconds=max(spec.every, spec.acknowledged) + spec.quiet,
        wake=found.wake,
    )


def _unpacked(blob: bytes) -> dict[str, Any]:
    return dict(msgspec.json.decode(gzip.decompress(blob)))
