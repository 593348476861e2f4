"""One request to an API server: under a deadline, with the session's credentials, its errors made ours.

Used by the rest of bridge.kube. Boundary: it knows HTTP and no kinds, and repeats nothing but once after a 401.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from bridge.errors import KubeError, KubeInvalid, KubeReplyLost, KubeUnavailable
from bridge.kube.connection import Session, Sessions
from bridge.kube.replies import Failure, to_error

FIELD_MANAGER = "alertbridge"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
JSON = "application/json"
_LARGEST_ANSWER = 32 * 1024 * 1024

Observe = Callable[[str, str, int, float], None]
"""Told of each request: cluster, verb, HTTP status (0: none) and seconds."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request, with what errors say about it."""

    method: str
    path: str
    """Path and query, encoded."""
    verb: str
    what: str
    permission: str = ""
    body: bytes | None = None
    content_type: str = JSON
    secret: bool = False
    largest: int = _LARGEST_ANSWER
    cut: bool = False
    """Whether an answer that is larger is cut off there rather than refused."""
    effect: bool | None = None
    """Whether it can change something, where the method does not say so."""

    @property
    def mutating(self) -> bool:
        return self.method != "GET" if self.effect is None else self.effect


class Reply(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    retry_after: str | None
    content_type: str = ""
    truncated: bool = False


class Transport:
    """Sends calls to one cluster. `deadline` is in seconds and holds for each call, reading the answer included."""

    def __init__(self, name: str, sessions: Sessions, deadline: float, observe: Observe | None = None) -> None:
        self.name = name
        self.sessions = sessions
        self.deadline = deadline
        self._observe = observe or (lambda cluster, verb, status, seconds: None)

    async def json(self, call: Call) -> dict[str, Any]:
        """Return the object of a successful answer; raise the Kube* error of any other."""
        reply = await self.checked(call)
        try:
            document = msgspec.json.decode(reply.body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise lost(call, "the answer is not JSON") from error
        if not isinstance(document, dict):
            raise lost(call, "the answer is not a JSON object")
        return document

    async def checked(self, call: Call) -> Reply:
        """Return a successful answer; raise the Kube* error of any other."""
        reply = await self.send(call)
        if not 200 <= reply.status < 300:
            raise refused(call, reply)
        return reply

    async def send(self, call: Call) -> Reply:
        """Return the answer, whatever its status; raise a Kube* error when there is none."""
        began = time.perf_counter()
        status = 0
        try:
            with translated(call, self.deadline):
                async with asyncio.timeout(self.deadline):
                    reply = await self._authorized(call)
            status = reply.status
            return reply
        finally:
            self.observe(call, status, began)

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[AsyncIterator[bytes]]:
        """Hold a successful answer open and give its chunks as they come; its end is no error.

        The deadline holds for the head of the answer; how long the body may take is for the caller to say.
        """
        for last in (False, True):
            async with self.sessions.use() as session:
                opened = await self._open(session, call)
                if isinstance(opened, aiohttp.ClientResponse):
                    try:
                        async with aclosing(_chunks(call, opened)) as chunks:
                            yield chunks
                    finally:
                        opened.close()
                    return
            if opened.status != 401 or last:
                raise refused(call, opened)
            await self.sessions.refresh(session)

    async def _open(self, session: Session, call: Call) -> aiohttp.ClientResponse | Reply:
        """Return a success with its body unread, or the whole of another answer."""
        began = time.perf_counter()
        status = 0
        try:
            with translated(call, self.deadline):
                async with asyncio.timeout(self.deadline):
                    response = await _request(session, call)
                    status = response.status
                    if status == 200:
                        return response
                    async with response:
                        return await _read(call, response)
        finally:
            self.observe(call, status, began)

    def observe(self, call: Call, status: int, began: float) -> None:
        """Tell of a request that began at `began` (perf_counter)."""
        self._observe(self.name, call.verb, status, time.perf_counter() - began)

    async def _authorized(self, call: Call) -> Reply:
        """Send; after a 401 read the credentials again (they rotate) and send once more."""
        async with self.sessions.use() as session:
            reply = await _exchange(session, call)
        if reply.status == 401:
            await self.sessions.refresh(session)
            async with self.sessions.use() as session:
                reply = await _exchange(session, call)
        return reply


@contextmanager
def translated(call: Call, seconds: float) -> Iterator[None]:
    """Raise our errors for what goes wrong on the way; `seconds` is the deadline that a time-out names."""
    try:
        yield
    except aiohttp.InvalidURL as error:
        raise KubeInvalid("the address is not valid", what=call.what) from error
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientSSLError) as error:
        raise KubeUnavailable(f"no connection: {short(error)}", what=call.what) from error
    except (TimeoutError, aiohttp.ServerTimeoutError) as error:
        raise lost(call, f"no answer within {seconds:g} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise lost(call, f"the connection broke: {short(error)}") from error


async def _request(session: Session, call: Call) -> aiohttp.ClientResponse:
    headers = await session.headers()
    if call.body is not None:
        headers["Content-Type"] = call.content_type
    return await session.http.request(
        call.method,
        URL(session.host + call.path, encoded=True),
        data=call.body,
        headers=headers,
        allow_redirects=False,
        proxy=session.proxy,
        server_hostname=session.server_hostname,
    )


async def _exchange(session: Session, call: Call) -> Reply:
    async with await _request(session, call) as response:
        return await _read(call, response)


async def _read(call: Call, response: aiohttp.ClientResponse) -> Reply:
    body = bytearray()
    truncated = False
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > call.largest:
            if not call.cut:
                raise lost(call, f"the answer is larger than {call.largest} bytes")
            truncated = True
            del body[call.largest :]
            # What is left unread cannot be followed by another request on this connection.
            response.close()
            break
    retry_after = response.headers.get("Retry-After")
    return Reply(response.status, bytes(body), retry_after, response.content_type, truncated)


async def _chunks(call: Call, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise lost(call, f"the connection broke: {short(error)}") from error


def refused(call: Call, reply: Reply) -> KubeError:
    """Return the error for an answer that is no success."""
    return to_error(
        Failure(
            status=reply.status,
            body=reply.body,
            retry_after=reply.retry_after,
            what=call.what,
            permission=call.permission,
            mutating=call.mutating,
            secret=call.secret,
        )
    )


def lost(call: Call, message: str) -> KubeError:
    """Return the error for an answer that did not come or cannot be read: a write may have happened."""
    if call.mutating:
        return KubeReplyLost(f"{message}; its effect is unknown", what=call.what)
    return KubeUnavailable(message, what=call.what)


def short(error: Exception) -> str:
    """Return an error's text, bounded."""
    text = str(error) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
