"""HTTP beside Kubernetes: allow-listed hosts only. The process has one session, opened at first use.

Addresses come from the configuration alone, never from an alert: no redirect is followed, no proxy of the
environment is used, and a URL whose origin is not allowed is refused before anything is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import aiohttp

from bridge.errors import Hung, InvalidInput, OutcomeUnknown, TemporaryError, Unreachable
from bridge.model.http_address import origin_of
from bridge.model.outside import HttpReply, HttpRequest
from bridge.outside.options import HttpSecret

_READS = frozenset({"GET", "HEAD"})
_NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class Session:
    """The HTTP clients of the process for everything that is not Kubernetes: one to read with, one to write with."""

    def __init__(self) -> None:
        self._open: dict[bool, aiohttp.ClientSession] = {}

    def get(self, *, fresh: bool = False) -> aiohttp.ClientSession:
        """Return the client; `fresh` is one whose requests each have a connection of their own.

        A kept connection that the server has just closed would leave a write in doubt that was never sent.
        """
        session = self._open.get(fresh)
        if session is None or session.closed:
            session = self._open[fresh] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=fresh),
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "alertbridge"},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
            )
            if fresh:
                # aiohttp sends PUT and DELETE a second time by itself when the connection is cut, and has no option
                # against it; a contract test counts the requests.
                session._retry_connection = False
        return session

    async def close(self) -> None:
        while self._open:
            await self._open.popitem()[1].close()


class HttpPeers:
    """Requests to allow-listed hosts."""

    def __init__(
        self, session: Session, *, allowed: Iterable[str], secrets: Mapping[str, HttpSecret], deadline: float
    ) -> None:
        """`deadline` is that of a check, in seconds; a request says its own."""
        self._session = session
        self._allowed = frozenset(text.lower() for text in allowed)
        self._secrets = secrets
        self._deadline = deadline

    def check(self, url: str, secrets: Iterable[str] = ()) -> str:
        """Return the URL's origin; raise InvalidInput when it may not be asked, or not with these secrets."""
        origin, places = origin_of(url)
        if not places & self._allowed:
            raise InvalidInput(f"{origin} is not among the hosts that may be asked by HTTP (`http.hosts`)")
        for name in secrets:
            secret = self._secrets.get(name)
            if secret is None:
                raise InvalidInput(f"there is no secret {name!r} for HTTP requests (`http.secrets`)")
            if secret.origins and origin not in secret.origins:
                raise InvalidInput(f"the secret {name!r} is not sent to {origin} (`http.secrets.{name}.hosts`)")
        return origin

    async def status(self, url: str) -> int:
        """Return the status of a GET. Raises InvalidInput (not allowed), Unreachable, TemporaryError."""
        origin = self.check(url)
        try:
            async with asyncio.timeout(self._deadline):
                async with self._session.get().get(url, allow_redirects=False) as response:
                    return response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unanswered(f"GET {origin}", error, self._deadline) from error

    async def request(self, request: HttpRequest) -> HttpReply:
        """Send one request; see ports.Connections.http."""
        method = request.method.upper()
        origin = self.check(request.url, request.secret_headers.values())
        what = f"{method} {origin}"
        headers = dict(request.headers)
        values = {header: self._secrets[name].value for header, name in request.secret_headers.items()}
        body = request.body.encode() if request.body is not None else None
        session = self._session.get(fresh=method not in _READS)
        try:
            async with asyncio.timeout(request.deadline):
                async with session.request(
                    method, request.url, headers=headers | values, data=body, allow_redirects=False
                ) as response:
                    data = await read_bounded(response.content, request.keep)
                    return _reply(response, data, request.keep, values.values())
        except ValueError as error:
            # A header with a line break in it, for one: refused by the client before a byte was sent.
            raise InvalidInput(f"{what}: it cannot be sent: {_without(str(error), values.values())}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failed = _unanswered(what, error, request.deadline)
            if method in _READS or isinstance(error, _NOT_SENT):
                raise failed from error
            raise OutcomeUnknown(f"{failed}; whether it took effect is not known") from error


async def read_bounded(content: aiohttp.StreamReader, most: int) -> bytes:
    """Return the body, or its first `most` + 1 bytes where it is longer."""
    data = b""
    while len(data) <= most and (more := await content.read(most + 1 - len(data))):
        data += more
    return data


def _reply(response: aiohttp.ClientResponse, data: bytes, keep: int, secrets: Iterable[str]) -> HttpReply:
    # An answer that repeats the request's headers must not carry a secret into the journal.
    text = _without(data[:keep].decode(errors="replace"), secrets)
    return HttpReply(response.status, text, response.content_type, len(data) > keep)


def _without(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        for part in {secret, secret.rpartition(" ")[2]} - {""}:
            text = text.replace(part, "(secret)")
    return text


def _unanswered(what: str, error: Exception, deadline: float) -> TemporaryError:
    if isinstance(error, TimeoutError):
        return Hung(f"{what}: no answer within {deadline:g} s")
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable(f"{what}: {error}")
    return TemporaryError(f"{what}: {error}")
