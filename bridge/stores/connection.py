"""Connections to Redis: one URL, Sentinel or Cluster behind one face. Used by Link alone.

Nothing here retries: a sender sends again, loops try again, and a repeated write would be a second one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from redis.asyncio import ConnectionPool, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
)

from bridge.errors import ConfigurationError, StoreUnavailable
from bridge.stores.options import StoreOptions

REDIS_ERRORS = (RedisError, RedisClusterException, OSError, EOFError, TimeoutError)
"""All that a call through redis-py may end with. `RuntimeError` of a closed loop is not among them on purpose."""

# After these the connection leads to a server that is not the primary, or not yet: the next call must look anew.
_ELSEWHERE = (AskError, BusyLoadingError, ClusterDownError, MovedError, ReadOnlyError)
# The same when they come out of a script, where 6.2 wraps them.
_ELSEWHERE_WORDS = ("READONLY", "LOADING", "MASTERDOWN", "MOVED", "CLUSTERDOWN", "UNBLOCKED")


class Source(Protocol):
    """Hands out connections to the server that holds the installation's keys."""

    def connection(self) -> AbstractAsyncContextManager[Any]: ...

    async def forget(self) -> None:
        """What is known of the topology may be wrong: look again before the next call."""
        ...

    async def close(self) -> None: ...


def unavailable(error: BaseException) -> StoreUnavailable:
    """Return the error of the project for one of redis-py's."""
    return StoreUnavailable(f"Redis cannot be used: {type(error).__name__}: {error}")


def moved_on(error: BaseException) -> bool:
    """Whether the server said that it is not the one to ask."""
    return isinstance(error, _ELSEWHERE) or any(word in str(error) for word in _ELSEWHERE_WORDS)


class PoolSource:
    """A pool of connections to one server, or to the primary that Sentinel names."""

    def __init__(self, pool: ConnectionPool, size: int, *, sentinel: Sentinel | None = None) -> None:
        self._pool = pool
        self._sentinel = sentinel
        # redis-py's pool raises when it is empty; callers wait their turn here, within their own deadline.
        self._turns = asyncio.Semaphore(size)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        async with self._turns:
            connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
            try:
                yield connection
            except BaseException as error:
                if moved_on(error):
                    await connection.disconnect(nowait=True)
                raise
            finally:
                await self._pool.release(connection)

    async def forget(self) -> None:
        await self._pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        await self._pool.aclose()
        if self._sentinel is not None:
            await self._sentinel.aclose()


class ClusterSource:
    """Connections to the node that serves the installation's slot."""

    def __init__(self, cluster: RedisCluster, key: str, size: int) -> None:
        self._cluster = cluster
        self._key = key
        self._turns = asyncio.Semaphore(size)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        async with self._turns:
            await self._cluster.initialize()
            node = self._cluster.get_node_from_key(self._key)
            if node is None:
                raise StoreUnavailable("the cluster has no node for this installation's slot")
            connection = node.acquire_connection()
            try:
                yield connection
            except (ConnectionError, RedisError) as error:
                if moved_on(error) or not connection.is_connected:
                    await self.forget()
                raise
            finally:
                node.release(connection)

    async def forget(self) -> None:
        await self._cluster.aclose()

    async def close(self) -> None:
        await self._cluster.aclose()


def open_source(options: StoreOptions, key: str, *, size: int) -> Source:
    """Return a source for `options`; `key` is any key of the installation. Opens nothing yet.

    Raises ConfigurationError.
    """
    common = _common(options)
    if options.mode == "cluster":
        return _cluster(options, key, common, size)
    if options.mode == "sentinel":
        return _sentinel(options, common, size)
    try:
        parsed: dict[str, Any] = dict(parse_url(options.url))
    except ValueError as error:
        raise ConfigurationError([f"store url {_shown(options.url)}: {error}"]) from None
    kind = parsed.pop("connection_class", Connection)
    tls = _tls(options) if kind is SSLConnection else {}
    for name in ("host", "port", "db"):
        if kind in (Connection, SSLConnection):
            parsed.setdefault(name, {"host": "localhost", "port": 6379, "db": 0}[name])
    common = {name: value for name, value in common.items() if name not in parsed}
    return PoolSource(ConnectionPool(connection_class=kind, max_connections=size, **common, **parsed, **tls), size)


def _sentinel(options: StoreOptions, common: dict[str, Any], size: int) -> Source:
    if not options.sentinels:
        raise ConfigurationError(["store: mode sentinel needs at least one sentinel"])
    tls = {"ssl": True, **_tls(options)} if options.tls else {}
    asking: dict[str, Any] = {
        "socket_timeout": options.deadline / 2,
        "socket_connect_timeout": options.deadline / 2,
        "protocol": 2,
    }
    if options.sentinel_password:
        asking["password"] = options.sentinel_password
    addresses = [(at.host, at.port) for at in options.sentinels]
    sentinel = Sentinel(addresses, sentinel_kwargs={**asking, **tls})  # type: ignore[no-untyped-call]
    # The pool is made once and kept: `Sentinel.master_for` would make another for every call.
    service = options.sentinel_service
    pool = SentinelConnectionPool(service, sentinel, max_connections=size, **common, **tls)  # type: ignore[no-untyped-call]
    return PoolSource(pool, size, sentinel=sentinel)


def _cluster(options: StoreOptions, key: str, common: dict[str, Any], size: int) -> Source:
    try:
        parsed: dict[str, Any] = dict(parse_url(options.url))
    except ValueError as error:
        raise ConfigurationError([f"store url {_shown(options.url)}: {error}"]) from None
    tls = parsed.pop("connection_class", Connection) is SSLConnection or options.tls
    start = ClusterNode(parsed.pop("host", "localhost"), parsed.pop("port", 6379))
    parsed.pop("db", None)
    common = {name: value for name, value in common.items() if name not in parsed}
    common.pop("client_name", None)
    more = {"ssl": True, **_tls(options)} if tls else {}
    cluster = RedisCluster(startup_nodes=[start], max_connections=size, **common, **parsed, **more)
    return ClusterSource(cluster, key, size)


def _common(options: StoreOptions) -> dict[str, Any]:
    password = options.password
    if options.password_file:
        try:
            password = Path(options.password_file).read_text().removesuffix("\n")
        except OSError as error:
            raise ConfigurationError([f"store password_file: {error}"]) from None
    common: dict[str, Any] = {
        # Deadlines are ours, around whole calls; redis-py's own time-out would cost a task for each write.
        "socket_timeout": None,
        "socket_connect_timeout": options.deadline,
        # The asyncio Retry: redis-py takes a synchronous one without a word and then doesn't retry at all.
        "retry": Retry(NoBackoff(), 0),
        # RESP3 would give other shapes for the same answers.
        "protocol": 2,
        "client_name": "alertbridge",
    }
    if options.username:
        common["username"] = options.username
    if password:
        common["password"] = password
    return common


def _tls(options: StoreOptions) -> dict[str, Any]:
    tls: dict[str, Any] = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    if options.ca_file:
        tls["ssl_ca_certs"] = options.ca_file
    if options.cert_file:
        tls["ssl_certfile"] = options.cert_file
        tls["ssl_keyfile"] = options.key_file or options.cert_file
    return tls


def _shown(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
