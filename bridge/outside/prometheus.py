"""Instant queries to the configured Prometheus, behind the shared circuit breaker.

Source: Prometheus' documentation, HTTP API, instant queries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

from bridge.errors import PermanentError, TemporaryError
from bridge.kube.circuit import Circuit
from bridge.outside.http import Session, read_bounded

Sample = tuple[Mapping[str, str], float]

_LARGEST_ANSWER = 4 * 1024 * 1024
_MOST_SAMPLES = 1000
_REFUSED = (400, 401, 403, 404, 422)


class Prometheus:
    """One Prometheus, or none."""

    def __init__(self, session: Session, url: str, token: str, *, deadline: float, circuit: Circuit | None) -> None:
        self._session = session
        self._url = url
        self._token = token
        self._deadline = deadline
        self._circuit = circuit

    async def query(self, query: str) -> list[Sample]:
        """Return the samples; raise PermanentError (none is configured, the query is wrong) and TemporaryError."""
        if not self._url:
            raise PermanentError("no Prometheus is configured: set `prometheus.url`")
        if self._circuit is None:
            return await self._query(query)
        return await self._circuit.call(lambda: self._query(query))

    async def _query(self, query: str) -> list[Sample]:
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        url = f"{self._url.rstrip('/')}/api/v1/query"
        try:
            async with asyncio.timeout(self._deadline):
                async with self._session.get().post(
                    url, data={"query": query}, headers=headers, allow_redirects=False
                ) as response:
                    body = await read_bounded(response.content, _LARGEST_ANSWER)
        except TimeoutError as error:
            raise TemporaryError(f"Prometheus: no answer within {self._deadline:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise TemporaryError(f"Prometheus: {error}") from error
        return _samples(response.status, body)


def _samples(status: int, body: bytes) -> list[Sample]:
    if len(body) > _LARGEST_ANSWER:
        raise PermanentError("Prometheus: the answer is too large: aggregate in the query")
    try:
        document: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("status") != "success":
        text = document.get("error") if isinstance(document, dict) else None
        message = f"Prometheus: {str(text)[:300] if text else f'HTTP {status}'}"
        raise PermanentError(message) if status in _REFUSED else TemporaryError(message)
    data = document.get("data") or {}
    result, kind = data.get("result") or [], data.get("resultType")
    if kind == "scalar":
        return [({}, float(result[1]))]
    if kind != "vector":
        raise PermanentError(f"Prometheus: the query gives a {kind}, an instant vector or a scalar is needed")
    return [(item.get("metric") or {}, float(item["value"][1])) for item in result[:_MOST_SAMPLES] if "value" in item]
