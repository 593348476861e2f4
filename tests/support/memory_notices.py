"""What people are told, in memory, with the meaning of ports; held by the same contract test as Redis's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from bridge.model.notice import Ack, Deliveries, Delivery, Due, Memory, Notice, Sending
from bridge.model.outside import Message
from bridge.ports import Clock

_LOOK, _SEND = 30.0, 90.0


class MemoryNotices:
    """Implements ports.Notices. `length` says how long a journal is, None for a remediation that does not exist."""

    def __init__(self, clock: Clock, length: Callable[[str], int | None], *, most_waiting: int = 5000) -> None:
        self._clock = clock
        self._length = length
        self._most = most_waiting
        self._watch: dict[str, dict[str, float]] = {"notices": {}, "holds": {}}
        self._kept: dict[tuple[str, str], tuple[int, bytes]] = {}
        self._acks: dict[str, Ack] = {}
        self._outbox: dict[str, dict[tuple[str, str], float]] = {}
        self._messages: dict[tuple[str, str], Message] = {}
        self._states: dict[str, dict[str, Delivery]] = {}
        self._tries: dict[tuple[str, str], int] = {}
        self._busy: dict[tuple[str, str], float] = {}
        self._pace: dict[str, tuple[float, int]] = {}
        self._causes: dict[str, tuple[Memory, float]] = {}
        self._versions = 0

    def news(self, remediation: str) -> None:
        """What the scripts do that append to a journal."""
        now = self._clock.now()
        notices, holds = self._watch["notices"], self._watch["holds"]
        notices[remediation] = min(notices.get(remediation, now), now)
        if remediation in holds:
            holds[remediation] = min(holds[remediation], now)

    async def take(self, watch: str, *, limit: int) -> list[Due]:
        now, found = self._clock.now(), []
        due = sorted((at, name) for name, at in self._watch[watch].items() if at <= now)
        for _, name in due[:limit]:
            self._watch[watch][name] = now + _LOOK
            version, kept = self._kept.get((watch, name), (0, b""))
            found.append(Due(name, version, kept, self._acks.get(name)))
        return found

    async def keep(
        self,
        watch: str,
        due: Due,
        kept: bytes,
        *,
        read: int,
        look_at: float | None,
        notices: Sequence[Notice] = (),
        withdraw: Sequence[str] = (),
        enrol: str = "",
        memory: Memory | None = None,
    ) -> bool:
        name, now = due.remediation, self._clock.now()
        if self._kept.get((watch, name), (0, b""))[0] != due.version:
            return False
        if memory is not None:
            if (await self.remembered(memory.cause)).version != memory.version:
                self._watch[watch][name] = now
                return False
            self._versions += 1
            renewed = msgspec.structs.replace(memory, version=self._versions, wake=())
            self._causes[memory.cause] = (renewed, now + memory.seconds)
            for other in memory.wake:
                if (watch, other) in self._kept:
                    self._watch[watch][other] = min(self._watch[watch].get(other, now), now)
        self._kept[watch, name] = (due.version + 1, kept)
        states = self._states.setdefault(name, {})
        for old in [each for each in states.values() if each.state == "waiting"]:
            if old.name.startswith(tuple(withdraw)) and old.name not in {each.name for each in notices}:
                self._outbox[old.channel].pop((name, old.name), None)
                self._note(name, old.name, state="withdrawn", error="", attempts=0, at=now)
        for notice in notices:
            if notice.name not in states:
                states[notice.name] = Delivery(name=notice.name, channel=notice.channel, state="waiting", at=now)
                self._messages[name, notice.name] = notice.message
                out = self._outbox.setdefault(notice.channel, {})
                out[name, notice.name] = now
                while len(out) > self._most:
                    self._lose(notice.channel, min(out, key=lambda each: out[each]))
        if enrol:
            self._watch[enrol][name] = min(self._watch[enrol].get(name, now), now)
        if (self._length(name) or 0) > read:
            self._watch[watch][name] = now
        elif look_at is not None:
            self._watch[watch][name] = look_at
        else:
            self._watch[watch].pop(name, None)
        return True

    async def remembered(self, cause: str) -> Memory:
        kept, until = self._causes.get(cause, (Memory(cause=cause), 0.0))
        return kept if until > self._clock.now() else Memory(cause=cause)

    async def send(self, channel: str, *, limit: int, pace: int = 0) -> list[Sending]:
        now, out = self._clock.now(), self._outbox.get(channel, {})
        due = sorted((at, place) for place, at in out.items() if at <= now)
        began, sent = self._pace.get(channel, (now, 0))
        began, sent = (began, sent) if now < began + 60 else (now, 0)
        if pace and sent >= pace:
            return []
        limit = 100 if pace and len(due) > pace else limit
        found: list[Sending] = []
        for _, place in due:
            if len(found) == limit:
                break
            if self._busy.get((place[0], channel), 0) > now:
                continue
            self._busy[place[0], channel] = out[place] = now + _SEND
            self._tries[place] = self._tries.get(place, 0) + 1
            at = self._states[place[0]][place[1]].at
            found.append(Sending(*place, self._messages[place], self._tries[place], at))
        if pace and found:
            self._pace[channel] = (now, pace) if len(found) > 1 else (began, sent + 1)
        return found

    async def sent(self, channel: str, sending: Sending) -> None:
        self._end(channel, sending, state="sent", error="", at=self._clock.now())

    async def failed(self, channel: str, sending: Sending, error: str, *, retry_at: float | None) -> None:
        self._busy.pop((sending.remediation, channel), None)
        if self._states[sending.remediation][sending.name].state != "waiting":
            return
        if retry_at is None:
            self._end(channel, sending, state="lost", error=error, at=self._clock.now())
            return
        self._outbox[channel][sending.remediation, sending.name] = retry_at
        self._note(sending.remediation, sending.name, state="waiting", error=error, attempts=sending.attempts)

    async def deliveries(self, remediation: str) -> Deliveries:
        states = sorted(self._states.get(remediation, {}).values(), key=lambda each: (each.at, each.name))
        return Deliveries(ack=self._acks.get(remediation), messages=tuple(states))

    async def acknowledge(self, remediation: str, ack: Ack) -> Ack | None:
        if self._length(remediation) is None:
            return None
        if remediation not in self._acks:
            self._acks[remediation] = msgspec.structs.replace(ack, at=self._clock.now())
            version, kept = self._kept.get(("notices", remediation), (0, b""))
            self._kept["notices", remediation] = (version + 1, kept)
            self.news(remediation)
        return self._acks[remediation]

    async def waiting(self) -> Mapping[str, int]:
        return {channel: len(out) for channel, out in self._outbox.items()}

    def _end(self, channel: str, sending: Sending, **fields: object) -> None:
        self._busy.pop((sending.remediation, channel), None)
        self._outbox[channel].pop((sending.remediation, sending.name), None)
        if self._states[sending.remediation][sending.name].state != "waiting":
            return
        self._note(sending.remediation, sending.name, attempts=sending.attempts, **fields)

    def _lose(self, channel: str, place: tuple[str, str]) -> None:
        self._outbox[channel].pop(place)
        self._note(*place, state="lost", error="too many messages waited for this channel", at=self._clock.now())

    def _note(self, remediation: str, name: str, **fields: object) -> None:
        states = self._states[remediation]
        states[name] = msgspec.structs.replace(states[name], **fields)
