"""Collectors `http` and `service`: does it answer. Addresses come from the configuration, never from an alert."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.errors import PermanentError, Unreachable
from bridge.model.runbook import Strict
from bridge.model.target import check_namespace
from bridge.ports import ActionContext, Clock


class HttpParams(Strict):
    url: str = ParamField(max_length=2048)
    """Its origin has to be on the configured list. Empty, as an unset parameter is: the evidence is missing."""
    expect: tuple[int, ...] = (200,)


class ServiceParams(Strict):
    service: str | None = None
    """Left out: called as the target is."""
    namespace: str | None = None
    port: str = "http"
    """Name or number; `https:` before it for TLS."""
    path: str = "/healthz"
    expect: tuple[int, ...] = (200,)


class Http:
    """Implements bridge.ports.Collector."""

    name = "http"
    summary = "The status of a GET at an allow-listed address."
    params: type[BaseModel] = HttpParams

    async def collect(self, context: ActionContext, params: HttpParams) -> dict[str, Any]:
        """Return status, ok and milliseconds. A refused connection is status 0; a hung one raises."""
        if not params.url:
            raise PermanentError("no address is given")
        return await _timed(context.reach.clock, context.reach.http_status(params.url), params.expect)


class Service:
    """Implements bridge.ports.Collector."""

    name = "service"
    summary = "The status of a GET at a Service, through the API server's proxy."
    params: type[BaseModel] = ServiceParams

    async def collect(self, context: ActionContext, params: ServiceParams) -> dict[str, Any]:
        """Return status, ok and milliseconds; a Service without ready endpoints has status 503."""
        namespace = check_namespace(params.namespace or context.target.namespace)
        call = context.reach.cluster.service_get(
            namespace, params.service or context.target.name, params.port, params.path
        )
        return await _timed(context.reach.clock, call, params.expect)


async def _timed(clock: Clock, call: Awaitable[int], expect: tuple[int, ...]) -> dict[str, Any]:
    began = clock.monotonic()
    try:
        status = await call
        error = ""
    except Unreachable as unreachable:
        status, error = 0, str(unreachable)
    milliseconds = round((clock.monotonic() - began) * 1000, 1)
    return {"status": status, "ok": status in expect, "milliseconds": milliseconds, "error": error}
