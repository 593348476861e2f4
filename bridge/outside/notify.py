"""Messages on named channels, sent by apprise. Knows nothing of who is to be told what, and when.

apprise is synchronous and slow to load, so it runs in a few threads of its own: a channel that hangs keeps one of
them at most until its socket gives up, and whoever sends waits no longer than the channel's deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

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
        if not channel.url:
            raise PermanentError(f"channel {name}: its address is not there yet (`optional`)")
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


def threaded(url: str, message: Message) -> str:
    """Return the channel's address for a message of a thread, where apprise has a way to say so.

    E-mail by References to an id that all messages of a thread share (RFC 5322), PagerDuty and Opsgenie by the key of
    their own incident, Google Chat by its thread key, webhooks as one more field. Slack, Teams and others would need
    the id of the first message, which apprise does not return: there the remediation's id in each text has to do.
    """
    scheme, _, rest = url.partition("://")
    added = _THREADS_OF.get(scheme.lower())
    if not message.thread or added is None:
        return url
    fields = added(quote(message.thread, safe=""), message.sign)
    taken = rest.partition("?")[2]
    # What the address says itself stays.
    more = "&".join(f"{name}={value}" for name, value in fields if f"{name}=" not in taken)
    return f"{url}{'&' if '?' in url else '?'}{more}" if more else url


def _mail(thread: str, _sign: str) -> list[tuple[str, str]]:
    root = f"%3C{thread}%40alertbridge%3E"
    return [("%2BReferences", root), ("%2BIn-Reply-To", root)]


def _pagerduty(thread: str, sign: str) -> list[tuple[str, str]]:
    # apprise has no way to acknowledge there: that is one more event of the same incident.
    return [("dedup", thread), ("action", "resolve" if sign == "resolve" else "trigger")]


def _field(thread: str, _sign: str) -> list[tuple[str, str]]:
    return [(":thread", thread)]


_THREADS_OF: dict[str, Callable[[str, str], list[tuple[str, str]]]] = {
    "mailto": _mail,
    "mailtos": _mail,
    "pagerduty": _pagerduty,
    "opsgenie": lambda thread, _sign: [("alias", thread)],
    "gchat": lambda thread, _sign: [("thread", thread)],
    **dict.fromkeys(("json", "jsons", "form", "forms", "xml", "xmls"), _field),
}


def _send(name: str, url: str, message: Message) -> bool:
    import apprise

    service = apprise.Apprise(asset=apprise.AppriseAsset(app_id="alertbridge", async_mode=False))
    if not service.add(threaded(url, message)):
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
