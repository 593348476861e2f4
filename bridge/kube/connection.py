"""Where a cluster is and how one logs in there. Used by bridge.kube.client.

kubernetes_asyncio reads kubeconfig files and service accounts and makes the TLS connector; requests themselves are
sent by us through its connector: its own call path follows redirects, trusts proxies of the environment and logs
bodies. The import takes 0.4 s and 40 MB, so that it happens in a thread when the first session is opened, never when
this module is imported.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import msgspec

from bridge.errors import KubeUnavailable

_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_USER_AGENT = "alertbridge"


class ClusterConnection(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach one cluster: exactly one of `url`, `in_cluster` and `kubeconfig` (which is the default)."""

    name: str
    kubeconfig: str = ""
    """Path of a kubeconfig file; empty: KUBECONFIG, else ~/.kube/config."""
    context: str = ""
    """Context in the kubeconfig; empty: its current one."""
    in_cluster: bool = False
    service_account: str = _SERVICE_ACCOUNT
    """Folder with `token` and `ca.crt`, for `in_cluster`."""
    url: str = ""
    token: str = ""
    token_file: str = ""
    """Read again when the API server answers 401."""
    ca_file: str = ""
    deadline: float = 10.0
    """Seconds that one call may take, reading the answer included."""
    connect_timeout: float = 3.0
    max_connections: int = 50
    secret_namespaces: frozenset[str] = frozenset()
    """Namespaces whose Secrets may be touched; elsewhere nothing is sent for one."""

    @property
    def place(self) -> str:
        """Where this is, for people; holds no secret."""
        if self.url:
            return self.url
        if self.in_cluster:
            return "in-cluster"
        return f"kubeconfig {self.kubeconfig or 'default'}{f' context {self.context}' if self.context else ''}"


class Session:
    """One set of credentials with the connections that use it."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        host: str,
        authorization: Callable[[], Awaitable[str]],
        *,
        proxy: str | None = None,
        server_hostname: str | None = None,
    ) -> None:
        self.http = http
        self.host = host.rstrip("/")
        self.authorization = authorization
        self.proxy = proxy
        self.server_hostname = server_hostname
        self.users = 0
        self.retired = False

    async def headers(self) -> dict[str, str]:
        """Return the headers that every request carries."""
        authorization = await self.authorization()
        return {"Authorization": authorization} if authorization else {}

    async def close(self) -> None:
        await self.http.close()


async def load_client() -> ModuleType:
    """Import kubernetes_asyncio in a thread and silence its logger of bodies. Called before the first session."""
    module = await asyncio.to_thread(importlib.import_module, "kubernetes_asyncio")
    for name in ("kubernetes_asyncio", "kubernetes_asyncio.client.rest"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return module


async def open_session(connection: ClusterConnection) -> Session:
    """Read the credentials and make a session; raise KubeUnavailable when they cannot be read."""
    client = await load_client()
    configuration = client.client.Configuration()
    configuration.connection_pool_maxsize = connection.max_connections
    try:
        await _configure(client, connection, configuration)
        rest = client.client.rest.RESTClientObject(configuration)
    except _NoKubeconfig as error:
        raise KubeUnavailable(str(error), what=f"log in to cluster {connection.name!r}") from error
    except (client.config.ConfigException, OSError, ValueError, KeyError, TypeError) as error:
        raise KubeUnavailable(
            str(error), what=f"log in to cluster {connection.name!r} by {connection.place}"
        ) from error
    connector = rest.pool_manager.connector
    # Its own session trusts the environment's proxies and keeps cookies: keep only its connector with the TLS set-up.
    rest.pool_manager.detach()
    http = aiohttp.ClientSession(
        connector=connector,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": _USER_AGENT, "Accept": "application/json"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connection.connect_timeout),
        read_bufsize=2**18,
    )
    # aiohttp sends a DELETE a second time by itself when a kept connection is cut, and has no option against it: what
    # is found gone then would pass for somebody else's doing. Reads are tried again in retry.
    http._retry_connection = False

    async def authorization() -> str:
        settings: dict[str, Any] = await configuration.auth_settings()
        value = (settings.get("BearerToken") or {}).get("value") or ""
        return str(value).strip()

    return Session(
        http,
        configuration.host,
        authorization,
        proxy=configuration.proxy,
        server_hostname=configuration.tls_server_name,
    )


class _NoKubeconfig(Exception):
    """No kubeconfig is where one was looked for."""


def _needs_a_file(connection: ClusterConnection) -> None:
    """Raise _NoKubeconfig; the client itself would complain of keys that a file which is not there lacks."""
    places = connection.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    if not any(Path(place).expanduser().is_file() for place in places.split(os.pathsep) if place):
        raise _NoKubeconfig(
            f"there is no kubeconfig at {places}: name one in `clusters.connections`, or say `in_cluster: true`"
        )


async def _configure(client: ModuleType, connection: ClusterConnection, configuration: Any) -> None:
    if connection.url:
        configuration.host = connection.url
        configuration.ssl_ca_cert = connection.ca_file or None
        token = connection.token
        if connection.token_file:
            token = (await asyncio.to_thread(Path(connection.token_file).read_text, "utf-8")).strip()
        if token:
            configuration.api_key["BearerToken"] = f"Bearer {token}"
    elif connection.in_cluster:
        folder = connection.service_account
        client.config.load_incluster_config(
            configuration, token_filename=f"{folder}/token", cert_filename=f"{folder}/ca.crt"
        )
    else:
        _needs_a_file(connection)
        await client.config.load_kube_config(
            config_file=connection.kubeconfig or None,
            context=connection.context or None,
            client_configuration=configuration,
            persist_config=False,
        )


class Sessions:
    """The current session of a cluster; replaced once for all callers when the server refuses its credentials."""

    def __init__(
        self,
        connection: ClusterConnection,
        opener: Callable[[ClusterConnection], Awaitable[Session]] = open_session,
    ) -> None:
        self._connection = connection
        self._open = opener
        self._current: Session | None = None
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Session]:
        """Hold the current session for one request, opening it when there is none."""
        session = self._current
        if session is None:
            async with self._lock:
                if self._current is None:
                    self._current = await self._open(self._connection)
                session = self._current
        session.users += 1
        try:
            yield session
        finally:
            session.users -= 1
            if session.retired and not session.users:
                await session.close()

    async def refresh(self, refused: Session) -> None:
        """Read the credentials again unless another caller has done so since `refused` was taken."""
        async with self._lock:
            if self._current is not refused:
                return
            self._current = await self._open(self._connection)
            refused.retired = True
            if not refused.users:
                await refused.close()

    async def close(self) -> None:
        async with self._lock:
            if self._current is not None:
                await self._current.close()
                self._current = None
