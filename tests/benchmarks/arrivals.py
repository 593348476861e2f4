"""A cluster that notes when it is first asked about each Deployment, and a sender that posts at a steady rate.

Both are in the process that measures, so that one clock is enough.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
from aiohttp import web

from tests.benchmarks.stack import TOKEN
from tests.support.webhooks import alert, body


class Arrivals:
    """Answers as an API server with one healthy Deployment of any name. Times are of time.perf_counter."""

    def __init__(self) -> None:
        self.first: dict[str, float] = {}
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        now = time.perf_counter()
        parts = request.path.split("/")
        if "deployments" not in parts or parts[-1] == "deployments":
            return web.json_response({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []})
        self.first.setdefault(parts[-1], now)
        return web.json_response(_deployment(parts[-1]))


def _deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "generation": 1,
        },
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}},
        },
        "status": {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1, "observedGeneration": 1},
    }


async def post_steadily(port: int, *, rate: float, seconds: float, prefix: str) -> dict[str, float]:
    """Post an alert of its own every 1/rate seconds, whatever the answers take; return when each was sent."""
    sent: dict[str, float] = {}
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{port}/webhook"

    async def post(session: aiohttp.ClientSession, number: int) -> None:
        name = f"{prefix}-{number}"
        labels = {"alertname": "GatewayDown", "namespace": "shop", "deployment": name}
        data = body(alert(number, labels=labels, fingerprint=""))
        sent[name] = time.perf_counter()
        async with session.post(url, data=data, headers=headers) as response:
            assert response.status == 200, await response.text()

    async with aiohttp.ClientSession() as session:
        begin, posts = time.perf_counter(), []
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, begin + number / rate - time.perf_counter()))
            posts.append(asyncio.ensure_future(post(session, number)))
        await asyncio.gather(*posts)
    return sent
