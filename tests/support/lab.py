"""A simulated API server whose time stands still until the test moves it, and plain requests to it."""

from __future__ import annotations

import json
from typing import Any

import aiohttp

from bridge.demo import SimulatedServer

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


class Lab:
    """A server without a ticking clock, and a session to it."""

    def __init__(self, server: SimulatedServer, session: aiohttp.ClientSession) -> None:
        self.cluster, self.server, self.session = server.cluster, server, session

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(method, path, data=data, headers=sent) as reply:
            text = await reply.text()
            return reply.status, json.loads(text) if "json" in reply.content_type else text

    async def apply(self, manager: str, data: dict[str, str], *, force: bool = False) -> tuple[int, Any]:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": data}
        path = f"{CONFIGMAPS}/shared?fieldManager={manager}&force={str(force).lower()}"
        return await self.send("PATCH", path, body, Content_Type="application/apply-patch+yaml")
