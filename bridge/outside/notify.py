"""Messages on named channels, sent by apprise. Knows nothing of who is to be told what, and when.

apprise is synchronous and slow to load, so it runs in a few threads of its own: a channel that hangs keeps one of
them at most until its socket gives up, and whoever sends waits no longer than the channel's deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bridge.errors import Hung, InvalidInput, PermanentError, TemporaryError
from bridge.model.outside import Message
from bridge.outside.options import Channel

MOST_TEXT = 8000
"""Characters of a message's text; services have limits of their own below that."""

_THREADS = 4


class Channels:
    """The configured channels."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = channels
        self._threads: ThreadPoolExecutor | None = None

    def channel(self, name: str) -> Channel:
        """Return one; raise InvalidInput when there is none of that name."""
        if name not in self._channels:
            raise InvalidInput(f"there is no notification channel {name!r} (`notify.channels`)")
        return self._channels[name]

    async def send(self, name: str, message: Message) -> None:
        """Send one message; see ports.Connections.notify."""
        channel = self.channel(name)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="notify")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(channel.deadline):
                sent = await loop.run_in_executor(self._threads, _send, name, channel.url, message)
        except TimeoutError as error:
            raise Hung(f"channel {name}: not sent within {channel.deadline:g} s") from error
        if not sent:
            raise TemporaryError(f"channel {name}: the service did not take the message")

    async def close(self) -> None:
        """Give up what is still being sent."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


def _send(name: str, url: str, message: Message) -> bool:
    import apprise

    service = apprise.Apprise(asset=apprise.AppriseAsset(app_id="alertbridge", async_mode=False))
    if not service.add(url):
        raise PermanentError(f"channel {name}: its address is none that apprise knows")
    told: Any = service.notify(
        title=message.title[:250],
        body=message.text[:MOST_TEXT] or message.title[:250],
        notify_type=message.level,
        # Labels of alerts are in it: nothing of it is to be read as markup or as a file's name.
        body_format="text",
        interpret_escapes=False,
    )
    return bool(told)
