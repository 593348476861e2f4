"""Commands to named Redis servers and Sentinels: somebody else's, never the one that keeps our own state.

Each call has a connection of its own. Behind Sentinels a command goes to the primary that they name, a `SENTINEL …`
command to the first of them that answers, and `address` picks one server that they have named.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from bridge.errors import Hung, InvalidInput, OutcomeUnknown, PermanentError, TemporaryError, Unreachable
from bridge.model.redis_commands import only_reads
from bridge.outside.options import PeerTls, RedisPeer

MOST_ITEMS = 1000
MOST_TEXT = 64 << 10
"""Characters of one value that are kept."""

_LOST = (ConnectionError, OSError, EOFError)
_NOT_NOW = ("LOADING", "MASTERDOWN", "READONLY", "BUSY ", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN", "INPROG")
"""How errors begin that a server gives before it does anything, and that pass."""


class RedisPeers:
    """The configured servers."""

    def __init__(self, peers: Mapping[str, RedisPeer]) -> None:
        self._peers = peers

    def peer(self, name: str) -> RedisPeer:
        """Return one; raise InvalidInput when there is none of that name."""
        if name not in self._peers:
            raise InvalidInput(f"there is no Redis connection {name!r} (`redis_peers`)")
        return self._peers[name]

    async def run(self, name: str, command: Sequence[str], *, address: str = "") -> Any:
        """Run one command; see ports.Connections.redis."""
        peer = self.peer(name)
        if not command:
            raise InvalidInput(f"Redis {name}: there is no command")
        call = _Call(name, peer, command)
        async with call.deadline():
            if not peer.sentinels:
                if address not in ("", peer.address):
                    raise InvalidInput(f"Redis {name}: {address} is not its address, {peer.address} is")
                return await call.at(peer.address)
            if address:
                if address not in peer.sentinels and address not in await _named(call):
                    raise InvalidInput(f"Redis {name}: no Sentinel of it has named {address}")
                return await call.at(address)
            if command[0].lower() == "sentinel":
                return await call.at_a_sentinel(command)
            return await call.at(await _primary(call))


class _Call:
    """One command under way, with what its errors are to say."""

    def __init__(self, name: str, peer: RedisPeer, command: Sequence[str]) -> None:
        self.peer = peer
        self._command = command
        self._what = f"Redis {name}: {' '.join(command[:2])}"
        self._reads = only_reads(command)
        self._sent = False

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.peer.deadline):
                yield
        except TimeoutError as error:
            text = f"{self._what}: no answer within {self.peer.deadline:g} s"
            raise (OutcomeUnknown(text) if self._sent else Hung(text)) from error

    async def at(self, address: str) -> Any:
        """Send the command to one server; it is what the caller asked for, so its effect counts."""
        sentinel = address in self.peer.sentinels or self._command[0].lower() == "sentinel"
        async with _connected(self.peer, address, self._what, sentinel=sentinel) as connection:
            self._sent = not self._reads
            reply = await self._ask(connection, self._command)
            self._sent = False
            return reply

    async def at_a_sentinel(self, command: Sequence[str]) -> Any:
        """Send `command` to the first Sentinel that answers."""
        failed: Exception = InvalidInput(f"{self._what}: it has no Sentinel")
        for address in self.peer.sentinels:
            try:
                # A hung Sentinel must leave time for the next.
                async with asyncio.timeout(self.peer.deadline / (len(self.peer.sentinels) + 1)):
                    async with _connected(self.peer, address, self._what, sentinel=True) as connection:
                        self._sent = command is self._command and not self._reads
                        reply = await self._ask(connection, command)
                        self._sent = False
                        return reply
            except TimeoutError:
                if self._sent:
                    raise
                failed = Hung(f"{self._what}: the Sentinel at {address} does not answer")
            except TemporaryError as error:
                if self._sent:
                    raise
                failed = error
        raise failed

    async def _ask(self, connection: Connection, command: Sequence[str]) -> Any:
        try:
            await connection.send_command(*command)
            return _plain(await connection.read_response())
        except (AuthenticationError, AuthorizationError) as error:
            raise PermanentError(f"{self._what}: {error}") from error
        except (ReadOnlyError, BusyLoadingError) as error:
            raise self._settled(TemporaryError(f"{self._what}: {error}")) from error
        except ResponseError as error:
            kind = TemporaryError if str(error).startswith(_NOT_NOW) else PermanentError
            raise self._settled(kind(f"{self._what}: {str(error)[:300]}")) from error
        except (RedisError, *_LOST) as error:
            text = f"{self._what}: the connection was lost"
            raise (OutcomeUnknown(text) if self._sent else TemporaryError(text)) from error

    def _settled(self, error: Exception) -> Exception:
        """Return `error` after noting that the server answered: it did nothing of what was asked."""
        self._sent = False
        return error


async def _primary(call: _Call) -> str:
    found = await call.at_a_sentinel(["SENTINEL", "get-master-addr-by-name", call.peer.master])
    if not isinstance(found, list) or len(found) != 2:
        raise PermanentError(f"the Sentinels know no master called {call.peer.master!r}")
    return f"{found[0]}:{found[1]}"


async def _named(call: _Call) -> set[str]:
    """Return every address that the Sentinels name: primary, replicas and the other Sentinels."""
    found = {await _primary(call)}
    for part in ("replicas", "sentinels"):
        for item in await call.at_a_sentinel(["SENTINEL", part, call.peer.master]):
            pairs = dict(zip(item[::2], item[1::2], strict=False))
            found.add(f"{pairs.get('ip')}:{pairs.get('port')}")
    return found


@asynccontextmanager
async def _connected(peer: RedisPeer, address: str, what: str, *, sentinel: bool) -> AsyncIterator[Connection]:
    host, _, port = address.rpartition(":")
    kind: type[Connection] = SSLConnection if peer.tls else Connection
    password = peer.sentinel_password if sentinel else peer.password
    connection = kind(
        host=host.strip("[]"),
        port=int(port),
        # Sentinels share no users with the servers that they watch.
        username=(peer.username or None) if not sentinel and password else None,
        password=password or None,
        decode_responses=True,
        encoding_errors="replace",
        protocol=2,
        socket_timeout=None,
        socket_connect_timeout=peer.deadline,
        retry=Retry(NoBackoff(), 0),
        client_name="alertbridge" if not sentinel else None,
        **(_tls(peer.tls) if peer.tls else {}),
    )
    try:
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except (AuthenticationError, AuthorizationError, ResponseError) as error:
            kind_ = TemporaryError if str(error).startswith(_NOT_NOW) else PermanentError
            raise kind_(f"{what}: {address}: {str(error)[:300]}") from error
        except (RedisError, *_LOST) as error:
            raise Unreachable(f"{what}: no connection to {address}") from error
        yield connection
    finally:
        with contextlib.suppress(Exception):
            await connection.disconnect(nowait=True)


def _tls(tls: PeerTls) -> dict[str, Any]:
    options: dict[str, Any] = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    if tls.ca_file:
        options["ssl_ca_certs"] = tls.ca_file
    if tls.cert_file:
        options |= {"ssl_certfile": tls.cert_file, "ssl_keyfile": tls.key_file or tls.cert_file}
    return options


def _plain(value: Any, depth: int = 6) -> Any:
    """Return a reply as plain, bounded JSON. An error within a reply becomes its text."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, list | tuple):
        return [_plain(item, depth - 1) for item in value[:MOST_ITEMS]] if depth else []
    return str(value)[:MOST_TEXT]
