"""Is it alive, is it ready, what are its figures, and where to go from here."""

from __future__ import annotations

from aiohttp import web

from bridge.api.operation import Call
from bridge.api.operation_schemas import Health, Welcome
from bridge.ports import StoreHealth
from bridge.telemetry import Metrics

_LINKS = {
    "remediations": "/api/v1/remediations",
    "openapi": "/api/v1/openapi.json",
    "metrics": "/metrics",
    "healthy": "/-/healthy",
    "ready": "/-/ready",
}


class HealthHandlers:
    """Handlers that need no credential: probes and scrapers have none."""

    def __init__(self, health: StoreHealth, metrics: Metrics, version: str) -> None:
        self._health = health
        self._metrics = metrics
        self._version = version

    async def healthy(self, _call: Call) -> Health:
        """The process answers; nothing else is asked, so that a Redis that is away restarts nobody."""
        return Health()

    async def ready(self, _call: Call) -> Health:
        """Alerts could be stored now. Otherwise StoreUnavailable becomes 503."""
        await self._health.ping()
        return Health()

    async def metrics(self, call: Call) -> web.Response:
        body, content_type = self._metrics.render(call.request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def welcome(self, _call: Call) -> Welcome:
        return Welcome("alertbridge", self._version, _LINKS)
