"""Statements to named PostgreSQL databases. Each call has a connection of its own, closed with it.

So nothing of ours is idle at the server, and no call meets a connection that died meanwhile. A statement is
prepared before it runs: there is exactly one, and its arguments are values, never text of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import decimal
import math
import os
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from bridge.errors import Hung, InvalidInput, OutcomeUnknown, PermanentError, TemporaryError, Unreachable
from bridge.model.outside import SqlReply
from bridge.outside.options import PeerTls, SqlPeer

MOST_ROWS = 200
MOST_TEXT = 2000
"""Characters of one value that are kept."""

_GRACE = 2.0
"""Seconds after its deadline in which the server may still say that it cancelled a statement itself."""
_TRY_AGAIN = ("40", "53", "55P03", "57P03")
"""SQLSTATE classes and codes of what failed as a whole for now (PostgreSQL's documentation, appendix A)."""
_CUT_OFF = ("08", "57P01", "57P02", "57P05")
"""The connection ended while it ran: its effect is not known."""


class SqlPeers:
    """The configured databases."""

    def __init__(self, peers: Mapping[str, SqlPeer]) -> None:
        self._peers = peers

    def peer(self, name: str) -> SqlPeer:
        """Return one; raise InvalidInput when there is none of that name."""
        if name not in self._peers:
            raise InvalidInput(f"there is no database connection {name!r} (`sql`)")
        return self._peers[name]

    async def run(
        self, name: str, statement: str, arguments: Sequence[Any], *, deadline: float, read_only: bool = False
    ) -> SqlReply:
        """Run one statement; see ports.Connections.sql."""
        what = f"database {name}"
        async with _connected(self.peer(name), what, read_only=read_only) as connection:
            statement_ = await _prepared(connection, statement, what, deadline)
            return await _fetched(statement_, arguments, what, deadline)


@asynccontextmanager
async def _connected(peer: SqlPeer, what: str, *, read_only: bool) -> AsyncIterator[asyncpg.Connection]:
    connection = await _connect(peer, what, read_only=read_only)
    try:
        yield connection
    finally:
        # An orderly end waits for the server: with one that hangs it would take as long as it likes.
        try:
            async with asyncio.timeout(1.0):
                await connection.close()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            connection.terminate()


async def _connect(peer: SqlPeer, what: str, *, read_only: bool) -> asyncpg.Connection:
    place: dict[str, Any] = {"dsn": peer.dsn}
    if not peer.dsn:
        place = {
            "host": peer.host,
            "port": peer.port,
            "database": peer.database,
            "user": peer.user,
            "password": peer.password or None,
            "ssl": _context(peer.tls) if peer.tls else "disable",
        }
    try:
        async with asyncio.timeout(peer.connect):
            return await asyncpg.connect(
                **place,
                passfile=os.devnull,
                server_settings={
                    "application_name": "alertbridge",
                    **({"default_transaction_read_only": "on"} if read_only else {}),
                },
                statement_cache_size=0,
            )
    except TimeoutError as error:
        raise Hung(f"{what}: no connection within {peer.connect:g} s") from error
    except asyncpg.PostgresError as error:
        # 53300: all connections are taken; 57P03: it is starting or stopping.
        failed = TemporaryError if _is(error, _TRY_AGAIN) or _is(error, _CUT_OFF) else PermanentError
        raise failed(f"{what}: {_words(error)}") from error
    except (asyncpg.InterfaceError, ValueError, ssl.SSLError) as error:
        # What is wrong with an address may quote it, and it may hold a password.
        raise PermanentError(f"{what}: its address or its TLS cannot be used ({type(error).__name__})") from None
    except OSError as error:
        raise Unreachable(f"{what}: {error.strerror or type(error).__name__}") from error


def _context(tls: PeerTls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file or None)
    return context


async def _prepared(connection: asyncpg.Connection, statement: str, what: str, deadline: float) -> Any:
    """Return the statement, understood by the server; nothing of it has been done."""
    try:
        async with asyncio.timeout(deadline):
            # The server cancels it itself, and says so: a definite answer where ours would be none.
            await connection.execute(f"SET statement_timeout = {max(1, int(deadline * 1000))}")
            return await connection.prepare(statement)
    except TimeoutError as error:
        raise Hung(f"{what}: no answer within {deadline:g} s") from error
    except asyncpg.PostgresError as error:
        failed = TemporaryError if _is(error, _TRY_AGAIN) or _is(error, _CUT_OFF) else PermanentError
        raise failed(f"{what}: {_words(error)}") from error
    except (asyncpg.InterfaceError, OSError) as error:
        raise TemporaryError(f"{what}: {type(error).__name__}") from error


async def _fetched(statement: Any, arguments: Sequence[Any], what: str, deadline: float) -> SqlReply:
    wanted = len(statement.get_parameters())
    if wanted != len(arguments):
        raise PermanentError(f"{what}: the statement has {wanted} arguments, {len(arguments)} are given")
    try:
        async with asyncio.timeout(deadline + _GRACE):
            rows = await statement.fetch(*arguments)
    except TimeoutError as error:
        raise OutcomeUnknown(f"{what}: the statement was sent and not answered within {deadline:g} s") from error
    except asyncpg.PostgresError as error:
        raise _refused(error, what, deadline) from error
    except (asyncpg.InterfaceError, OSError) as error:
        raise OutcomeUnknown(f"{what}: the connection was lost while the statement ran") from error
    kept = tuple({key: _plain(value) for key, value in row.items()} for row in rows[:MOST_ROWS])
    return SqlReply(kept, statement.get_statusmsg() or "", len(rows) > MOST_ROWS)


def _refused(error: asyncpg.PostgresError, what: str, deadline: float) -> Exception:
    if _is(error, _CUT_OFF):
        return OutcomeUnknown(f"{what}: the connection ended while the statement ran: {_words(error)}")
    if error.sqlstate == "57014":
        return PermanentError(f"{what}: the server cancelled the statement ({deadline:g} s are allowed)")
    if _is(error, _TRY_AGAIN):
        return TemporaryError(f"{what}: {_words(error)}")
    return PermanentError(f"{what}: {_words(error)}")


def _is(error: asyncpg.PostgresError, codes: Sequence[str]) -> bool:
    return str(error.sqlstate or "").startswith(tuple(codes))


def _words(error: asyncpg.PostgresError) -> str:
    return f"{str(error).splitlines()[0][:300] if str(error) else type(error).__name__} (SQLSTATE {error.sqlstate})"


def _plain(value: Any, depth: int = 4) -> Any:
    """Return a value as plain JSON; numbers stay numbers where JSON has them."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, decimal.Decimal):
        whole = value.is_finite() and abs(value) < 1 << 63 and value == value.to_integral_value()
        return int(value) if whole else _plain(float(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value[: MOST_TEXT // 2].hex()
    if isinstance(value, list | tuple) and depth:
        return [_plain(item, depth - 1) for item in value[:MOST_ROWS]]
    with contextlib.suppress(Exception):
        return str(value)[:MOST_TEXT]
    return ""
