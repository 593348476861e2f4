"""Carry messages from the outbox to their channels. A job of each worker, one for each channel.

A channel that fails or hangs costs nobody else anything: its messages wait, are tried again with back-off, and are
given up in the end, which `show` and the metrics tell. Sending is at least once: a process that dies between the
service's answer and its note sends the message again.

When much happens at once, whoever reads a channel gets a few messages a minute and the rest as one: nobody reads the
fiftieth, and services refuse them. Channels that keep an incident of each remediation, or are read by programs, get
every message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence

import structlog

from bridge.errors import AlertbridgeError, CircuitOpen, PermanentError, StoreUnavailable
from bridge.model.notice import Sending
from bridge.model.outside import Message
from bridge.notify.together import together
from bridge.ports import Clock, Notices
from bridge.telemetry import Metrics

log = structlog.get_logger(__name__)

Send = Callable[[str, Message], Awaitable[None]]
"""Tell a message on a channel. Raises InvalidInput, PermanentError and TemporaryError."""

FIRST = 5.0
LONGEST = 600.0
GIVE_UP = 4 * 3600.0
"""Seconds after which a message is old news."""
PACE = 10
"""Messages in a minute to a channel that people read; beyond that they are told as one."""
_AT_ONCE = 10


class Courier:
    """Sends what waits for the channels of this process."""

    def __init__(
        self,
        notices: Notices,
        send: Send,
        *,
        one_by_one: Callable[[str], bool],
        external_url: Callable[[], str],
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        """`one_by_one` says of a channel whether every message has to arrive there by itself."""
        self._notices = notices
        self._send = send
        self._one_by_one = one_by_one
        self._external_url = external_url
        self._clock = clock
        self._metrics = metrics

    async def deliver(self, channel: str) -> int:
        """Send what is due on a channel, one after the other; return how many were sent. Raises StoreUnavailable."""
        sent = 0
        pace = 0 if self._one_by_one(channel) else PACE
        while sent < _AT_ONCE:
            due = await self._notices.send(channel, limit=1, pace=pace)
            if not due or not await self._try(channel, due):
                break
            sent += len(due)
        return sent

    async def strays(self, known: Collection[str]) -> None:
        """Try what waits for channels that the configuration no longer has, so that it is given up and seen."""
        for channel in await self._notices.waiting():
            if channel not in known:
                await self.deliver(channel)

    async def _try(self, channel: str, due: Sequence[Sending]) -> bool:
        """Send one message, or several as one; False when the channel had better be left alone for a moment."""
        message = due[0].message if len(due) == 1 else together(due, external_url=self._external_url())
        try:
            await self._send(channel, message)
        except StoreUnavailable:
            # The circuit breaker's own store: nothing was sent, and the message comes again.
            raise
        except Exception as error:
            for sending in due:
                await self._failed(channel, sending, error)
            return False
        for sending in due:
            await self._notices.sent(channel, sending)
            self._metrics.notice(channel, "sent")
        return True

    async def _failed(self, channel: str, sending: Sending, error: Exception) -> None:
        now = self._clock.now()
        retry_at: float | None = now + self._pause(sending.attempts, error)
        # A channel that is not known here may be known to a newer process: only time says that it is gone.
        if isinstance(error, PermanentError) or now - sending.at > GIVE_UP:
            retry_at = None
        text = str(error) if isinstance(error, AlertbridgeError) else f"{type(error).__name__}: {error}"
        await self._notices.failed(channel, sending, text, retry_at=retry_at)
        self._metrics.notice(channel, "lost" if retry_at is None else "failed")
        tell = log.error if retry_at is None else log.warning
        tell(
            "a message was given up" if retry_at is None else "a message was not sent, it is tried again",
            channel=channel,
            remediation=sending.remediation,
            message=sending.name,
            attempts=sending.attempts,
            error=text,
        )

    def _pause(self, attempts: int, error: Exception) -> float:
        asked = error.delay if isinstance(error, CircuitOpen) and error.delay else 0.0
        return max(asked, min(FIRST * 2.0 ** min(attempts - 1, 20), LONGEST))
