"""What people are told: remediations with news, and the outbox of each channel. Written and read by notify.

told:ID          hash: v:LIST and doc:LIST (the version of what a look keeps, and that), ack, f:CHANNEL (until when
                 one is being sent there), and for each message s:NAME what became of it, m:NAME the message and
                 n:NAME the tries, as long as it waits
watch:LIST       sorted set: remediations by when they are to be looked at
outbox:CHANNEL   sorted set: `ID NAME` by when it is to be sent
cause:CAUSE      hash: v (its version) and doc: what is remembered of the calls for one cause
pace:CHANNEL     hash: how many were handed out (sent) in this minute (since)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import msgspec

from bridge.model.notice import Ack, Deliveries, Delivery, Due, Memory, Notice, Sending
from bridge.model.outside import Message
from bridge.model.remediation import Entry
from bridge.stores.codec import ENCODER, milliseconds, pairs, stamped
from bridge.stores.link import Arg, Link

_LOOK = 30.0
"""Seconds after which what was taken and not kept comes again."""
_SEND = 90.0
"""The same for a message: longer than the longest deadline of a channel."""
MOST_WAITING = 5000
"""Messages of one channel."""
MOST_TOGETHER = 100
"""Messages that are told as one."""
_ACK = msgspec.json.Decoder(Ack)
_MESSAGE = msgspec.json.Decoder(Message)
_DELIVERY = msgspec.json.Decoder(Delivery)


class RedisNotices:
    """Implements ports.Notices."""

    def __init__(self, link: Link, *, most_waiting: int = MOST_WAITING) -> None:
        self._link = link
        self._most = most_waiting

    async def take(self, watch: str, *, limit: int) -> list[Due]:
        rows = await self._link.script("notices_take", watch, int(_LOOK * 1000), limit)
        return [
            Due(name.decode(), int(version), kept, _ACK.decode(ack) if ack else None)
            for name, version, kept, ack in rows
        ]

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
        args: list[Arg] = [watch, due.remediation, due.version, kept, read, milliseconds(look_at), enrol, self._most]
        args.append(msgspec.json.encode(withdraw))
        args += _memory(memory)
        for notice in notices:
            args += (notice.name, notice.channel, ENCODER.encode(notice.message))
        return bool(await self._link.script("notices_keep", *args))

    async def remembered(self, cause: str) -> Memory:
        version, kept = await self._link.command("HMGET", self._link.key(f"cause:{_digest(cause)}"), "v", "doc")
        return Memory(cause=cause, version=int(version or 0), kept=kept or b"")

    async def send(self, channel: str, *, limit: int, pace: int = 0) -> list[Sending]:
        rows = await self._link.script("notices_send", channel, int(_SEND * 1000), limit, pace, MOST_TOGETHER)
        return [
            Sending(name.decode(), what.decode(), _MESSAGE.decode(message), int(tries), _DELIVERY.decode(state).at)
            for name, what, message, tries, state in rows
        ]

    async def sent(self, channel: str, sending: Sending) -> None:
        await self._link.script("notices_end", channel, sending.remediation, sending.name, "sent", "", "")

    async def failed(self, channel: str, sending: Sending, error: str, *, retry_at: float | None) -> None:
        state = "lost" if retry_at is None else "waiting"
        args = (channel, sending.remediation, sending.name, state, error[:300], milliseconds(retry_at))
        await self._link.script("notices_end", *args)

    async def deliveries(self, remediation: str) -> Deliveries:
        fields = pairs(await self._link.command("HGETALL", self._link.key(f"told:{remediation}")))
        ack = fields.get(b"ack")
        told = [_DELIVERY.decode(value) for name, value in fields.items() if name.startswith(b"s:")]
        told.sort(key=lambda each: (each.at, each.name))
        return Deliveries(ack=_ACK.decode(ack) if ack else None, messages=tuple(told))

    async def acknowledge(self, remediation: str, ack: Ack) -> Ack | None:
        document = msgspec.json.encode({"by": ack.by, "why": ack.why[:500]})
        text = f"{ack.by} took it on" + (f": {ack.why[:500]}" if ack.why else "")
        entry = Entry(kind="acknowledged", text=text, data={"by": ack.by, "why": ack.why[:500]})
        first = await self._link.script("notices_ack", remediation, document, stamped(entry))
        return _ACK.decode(first) if first else None

    async def waiting(self) -> Mapping[str, int]:
        flat = await self._link.script("notices_waiting")
        return {name.decode(): int(count) for name, count in zip(flat[::2], flat[1::2], strict=True)}


def _digest(cause: str) -> str:
    return blake2b(cause.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _memory(memory: Memory | None) -> tuple[Arg, Arg]:
    """Return it as notices_keep takes it."""
    if memory is None:
        return "", b""
    about = {
        "cause": _digest(memory.cause),
        "version": str(memory.version),
        "ms": max(1, round(memory.seconds * 1000)),
        "wake": memory.wake,
    }
    return msgspec.json.encode(about), memory.kept
