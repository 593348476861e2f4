"""Messages on named channels, sent by apprise. Knows nothing of who is to be told what, and when.

apprise is synchronous and slow to load, so each message is sent by a thread of its own, a few for each channel at
most: a channel that hangs keeps its own threads and nobody else's, whoever sends waits no longer than the channel's
deadline, and the end of the process waits for none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Mapping
from typing import Any

from bridge.errors import AlertbridgeError, Hung, InvalidInput, PermanentError, TemporaryError
from bridge.model.outside import Message
from bridge.outside.addresses import addressed, incidents
from bridge.outside.options import Channel

MOST_TEXT = 8000
"""Characters of a message's text; services have limits of their own below that."""
CUT = "… (cut)"

_AT_ONCE = 4
"""Messages of one channel that are being sent."""
_ANSWER = re.compile(r"error=(\d{3})\b")


class Channels:
    """The configured channels."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = channels
        self._room: dict[str, asyncio.Semaphore] = {}

    def channel(self, name: str) -> Channel:
        """Return one; raise InvalidInput when there is none of that name."""
        if name not in self._channels:
            raise InvalidInput(f"there is no notification channel {name!r} (`notify.channels`)")
        return self._channels[name]

    def one_by_one(self, name: str) -> bool:
        """Whether messages of several remediations may not be told as one there."""
        return name not in self._channels or incidents(self._channels[name].url)

    async def send(self, name: str, message: Message) -> None:
        """Send one message; see ports.Connections.notify."""
        channel = self.channel(name)
        if not channel.url:
            raise PermanentError(f"channel {name}: its address is not there yet (`optional`)")
        room = self._room.setdefault(name, asyncio.Semaphore(_AT_ONCE))
        try:
            async with asyncio.timeout(channel.deadline):
                # Given back by the thread, which may need longer than anybody waits.
                await room.acquire()
                sent = _in_thread(name, channel.url, message, room)
                await asyncio.shield(sent)
        except TimeoutError as error:
            raise Hung(f"channel {name}: not sent within {channel.deadline:g} s") from error

    async def close(self) -> None:
        """Give up what is still being sent: nobody waits for the threads."""
        self._room = {}


def _in_thread(name: str, url: str, message: Message, room: asyncio.Semaphore) -> asyncio.Future[None]:
    """Return what a thread of its own comes to. The thread ends with the process, whatever it waits for."""
    loop = asyncio.get_running_loop()
    sent: asyncio.Future[None] = loop.create_future()

    def ended(error: Exception | None) -> None:
        room.release()
        if sent.done():
            return
        if error is None:
            sent.set_result(None)
        else:
            sent.set_exception(error)
            # Nobody may be there any more to hear of it.
            sent.exception()

    def work() -> None:
        found: Exception | None = None
        try:
            _send(name, url, message)
        except AlertbridgeError as error:
            found = error
        except Exception as error:
            # The text of a library's error may hold the address.
            found = TemporaryError(f"channel {name}: {type(error).__name__} in the library that sends")
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(ended, found)

    threading.Thread(target=work, name=f"notify {name}", daemon=True).start()
    return sent


def _send(name: str, url: str, message: Message) -> None:
    import apprise

    asset = apprise.AppriseAsset(
        app_id="alertbridge",
        app_desc="alertbridge",
        async_mode=False,
        # A POST that is led elsewhere arrives as a GET without its body, and is answered as if all were well.
        http_redirects=False,
        # Ours is the thread, and the deadline.
        service_timeout=0,
        pgp_autogen=False,
        pem_autogen=False,
    )
    service = apprise.Apprise(asset=asset)
    if not service.add(addressed(url, message)) or not len(service):
        raise PermanentError(f"channel {name}: its address is none that apprise knows")
    if len(service) > 1:
        raise PermanentError(f"channel {name}: its address is several: a channel has one")
    # Some services read markup in titles: no link is made of a label.
    title = message.title[:250].replace("](", "] (")
    told: Any = service.notify(
        title=title,
        body=_fitted(service[0], title, message.text[:MOST_TEXT] or title),
        notify_type=message.level,
        # Labels of alerts are in it: nothing of it is to be read as markup or as a file's name.
        body_format="text",
        interpret_escapes=False,
    )
    if not told:
        said = " ".join(str(entry.message) for entry in told.logs())
        raise TemporaryError(f"channel {name}: the service did not take the message{_why(said)}")


def _fitted(service: Any, title: str, text: str) -> str:
    """Return a text that the service takes whole, cut at its end. One that is told to split gets all of it."""
    if service.overflow_mode.value != "upstream":
        return text
    # A service without titles gets them above the text.
    room = service.body_maxlen - (0 if service.title_maxlen else len(title) + 2)
    if len(text) <= room:
        return text
    kept = text[: max(room - len(CUT) - 1, 0)]
    return f"{kept.rpartition(chr(10))[0] or kept}\n{CUT}"


def _why(said: str) -> str:
    """Return what may be told of apprise's own words, which can hold parts of the address."""
    if found := _ANSWER.search(said):
        return f": it answered {found.group(1)}"
    return ": it cannot be reached" if "onnection error" in said else ""
