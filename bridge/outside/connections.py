"""What actions and collectors reach beyond Kubernetes: Prometheus and allow-listed HTTP. Made by app.

Addresses come from the configuration alone, never from an alert: no redirect is followed, no proxy of the
environment is used, and a URL whose origin is not allowed is refused before anything is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from bridge.errors import InvalidInput, PermanentError, TemporaryError
from bridge.kube.circuit import Circuit
from bridge.ports import Breakers, Clock, Cluster

T = TypeVar("T")
Sample = tuple[Mapping[str, str], float]

_LARGEST_ANSWER = 4 * 1024 * 1024
_MOST_SAMPLES = 1000
_PORTS = {"http": 80, "https": 443}


class OutsideSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where Prometheus is and what `http` may ask."""

    prometheus: str = ""
    """Base address, e.g. `http://prometheus:9090`; empty: none is configured."""
    prometheus_token: str = ""
    allowed: tuple[str, ...] = ()
    """`host` (at its scheme's own port), `host:port` or `scheme://host:port` that HTTP checks may ask."""
    deadline: float = 10.0
    """Seconds that one query or HTTP check may take."""


class Unreachable(TemporaryError):
    """Nothing listens at the address: unlike a hung call, that is an answer about its health."""


class Outside:
    """The one HTTP client of the process for everything that is not Kubernetes. Opened at first use."""

    def __init__(
        self, settings: OutsideSettings, *, breakers: Breakers | None = None, clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._allowed = frozenset(text.lower() for text in settings.allowed)
        self._http: aiohttp.ClientSession | None = None
        self._circuit: Circuit | None = None
        if breakers is not None and clock is not None:
            self._circuit = Circuit("prometheus", breakers, clock, failures=(TemporaryError,))

    @property
    def prometheus(self) -> bool:
        """Whether a Prometheus is configured."""
        return bool(self._settings.prometheus)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def promql(self, query: str) -> list[Sample]:
        """Return the samples of an instant query.

        Raises PermanentError (none is configured, the query is wrong) and TemporaryError.
        """
        if not self._settings.prometheus:
            raise PermanentError("no Prometheus is configured: set `prometheus.url`")
        if self._circuit is None:
            return await self._query(query)
        return await self._circuit.call(lambda: self._query(query))

    async def http_status(self, url: str) -> int:
        """Return the status of a GET. Raises InvalidInput (not allowed), Unreachable, TemporaryError."""
        origin, places = _origin(url)
        if not places & self._allowed:
            raise InvalidInput(f"{origin} is not among the hosts that HTTP checks may ask (`http.hosts`)")
        try:
            async with asyncio.timeout(self._settings.deadline):
                async with self._session().get(url, allow_redirects=False) as response:
                    return response.status
        except aiohttp.ClientConnectorDNSError as error:
            raise TemporaryError(f"GET {origin}: {error}") from error
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"GET {origin}: {error}") from error
        except TimeoutError as error:
            raise TemporaryError(f"GET {origin}: no answer within {self._settings.deadline:g} s") from error
        except aiohttp.ClientError as error:
            raise TemporaryError(f"GET {origin}: {error}") from error

    async def _query(self, query: str) -> list[Sample]:
        settings = self._settings
        headers = {"Accept": "application/json"}
        if settings.prometheus_token:
            headers["Authorization"] = f"Bearer {settings.prometheus_token}"
        url = f"{settings.prometheus.rstrip('/')}/api/v1/query"
        try:
            async with asyncio.timeout(settings.deadline):
                async with self._session().post(
                    url, data={"query": query}, headers=headers, allow_redirects=False
                ) as response:
                    body = await response.content.read(_LARGEST_ANSWER + 1)
                    while len(body) <= _LARGEST_ANSWER and (more := await response.content.read(_LARGEST_ANSWER)):
                        body += more
        except TimeoutError as error:
            raise TemporaryError(f"Prometheus: no answer within {settings.deadline:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TemporaryError(f"Prometheus: {error}") from error
        return _samples(response.status, body)

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None or self._http.closed:
            self._http = aiohttp.ClientSession(
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "alertbridge"},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
            )
        return self._http


class Reach:
    """Implements bridge.ports.Connections for one cluster."""

    def __init__(self, cluster: Cluster, clock: Clock, outside: Outside) -> None:
        self.cluster = cluster
        self.clock = clock
        self._outside = outside

    async def promql(self, query: str) -> list[Sample]:
        return await self._outside.promql(query)

    async def http_status(self, url: str) -> int:
        return await self._outside.http_status(url)


def reaches(get_cluster: Callable[[str], Cluster], clock: Clock, outside: Outside) -> Callable[[str], Reach]:
    """Return what makes a cluster's name into its Reach. Raises InvalidInput for an unknown name."""
    return lambda name: Reach(get_cluster(name), clock, outside)


def _samples(status: int, body: bytes) -> list[Sample]:
    """Return the samples of an answer. Source: Prometheus' documentation, HTTP API, instant queries."""
    if len(body) > _LARGEST_ANSWER:
        raise PermanentError("Prometheus: the answer is too large: aggregate in the query")
    try:
        document: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("status") != "success":
        text = document.get("error") if isinstance(document, dict) else None
        message = f"Prometheus: {str(text)[:300] if text else f'HTTP {status}'}"
        raise PermanentError(message) if status in (400, 401, 403, 404, 422) else TemporaryError(message)
    data = document.get("data") or {}
    result, kind = data.get("result") or [], data.get("resultType")
    if kind == "scalar":
        return [({}, float(result[1]))]
    if kind != "vector":
        raise PermanentError(f"Prometheus: the query gives a {kind}, an instant vector or a scalar is needed")
    return [(item.get("metric") or {}, float(item["value"][1])) for item in result[:_MOST_SAMPLES] if "value" in item]


def _origin(url: str) -> tuple[str, frozenset[str]]:
    """Return `scheme://host:port` of an HTTP address and how the list may call it; raise InvalidInput otherwise."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"{url[:80]!r} is not an HTTP address") from error
    plain = parts.scheme in _PORTS and parts.hostname and parts.username is None and parts.password is None
    if not plain or any(ord(c) <= 32 or ord(c) == 127 or c == "\\" for c in url):
        raise InvalidInput(f"{url[:80]!r} is not an HTTP address")
    own = _PORTS[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    origin = f"{parts.scheme}://{host}:{port or own}"
    places = {origin, f"{host}:{port or own}"} | ({str(host)} if port in (None, own) else set())
    return origin, frozenset(places)


def allowed_origins(texts: Sequence[str]) -> list[str]:
    """Return the normal forms of origins; raise InvalidInput for one that is none."""
    return [_origin(text)[0] for text in texts]
