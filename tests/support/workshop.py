"""A simulated cluster with one workload behind a proxy that records and spoils: what fault tests act on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from yarl import URL

from bridge.demo import SimulatedCluster, SimulatedServer
from bridge.demo.server import cut
from tests.support.cluster import HEALTHY, deployment
from tests.support.processes import until
from tests.support.recording_proxy import Recorded, RecordingProxy

NAMESPACE = "shop"


@dataclass
class Proxy(RecordingProxy):
    """Can also stand still with a request in its hands: before it is passed on, or after, with its answer."""

    hold_before: int = 0
    """How many of the next writes are kept and never passed on."""
    hold_after: int = 0
    """How many of the next writes are passed on, and their answers kept."""
    hold_late: int = 0
    """How many of the next requests are kept until `pass_late` is set, and passed on then."""
    late_path: str = ""
    """What their paths end with."""
    held: list[Recorded] = field(default_factory=list)
    pass_late: asyncio.Event = field(default_factory=asyncio.Event)

    async def _forward(self, request: web.Request, entry: Recorded, *, lose: bool) -> web.StreamResponse:
        if self.hold_late and (entry.path.endswith(self.late_path) if self.late_path else entry.is_mutating):
            self.hold_late -= 1
            self.held.append(entry)
            await self.pass_late.wait()
        if entry.is_mutating and self.hold_before:
            self.hold_before -= 1
            self.held.append(entry)
            await self._released.wait()
            return cut(request)
        if entry.is_mutating and self.hold_after:
            self.hold_after -= 1
            # Shielded: the writer's death must not take back what it has sent.
            entry.upstream_status = await asyncio.shield(self._pass_on(request, entry))
            entry.forwarded = True
            self.held.append(entry)
            await self._released.wait()
            return cut(request)
        return await super()._forward(request, entry, lose=lose)

    async def _pass_on(self, request: web.Request, entry: Recorded) -> int:
        url = URL(self.upstream + request.raw_path, encoded=True)
        headers = {"Content-Type": entry.content_type}
        async with self._session.request(request.method, url, headers=headers, data=entry.body) as reply:
            await reply.read()
            return reply.status

    async def holds(self, count: int = 1) -> None:
        """Wait until so many requests are being held."""

        async def so_many() -> bool:
            return len(self.held) >= count

        await until(so_many, what=f"{count} held requests")


@dataclass
class Workshop:
    """The cluster, and the proxy to point alertbridge at."""

    cluster: SimulatedCluster
    server: SimulatedServer
    proxy: Proxy

    @property
    def url(self) -> str:
        return self.proxy.url

    def deploy(self, name: str, *, namespace: str = NAMESPACE, image: str = HEALTHY, replicas: int = 1) -> None:
        """Make or change a Deployment, and let it become ready in simulated time."""
        manifest = deployment(name, image, replicas)
        manifest["metadata"]["namespace"] = namespace
        self.cluster.apply(manifest)

    def get(self, name: str, *, namespace: str = NAMESPACE) -> dict[str, Any]:
        found = self.cluster.get("deployments.apps", namespace, name)
        assert found is not None
        return found

    def restarts(self, name: str, *, namespace: str = NAMESPACE) -> int:
        """Return how many revisions a Deployment has had beyond its first."""
        sets = [
            each
            for each in self.cluster.list("replicasets.apps", namespace)
            if each["metadata"]["name"].startswith(f"{name}-")
        ]
        return len(sets) - 1


@asynccontextmanager
async def open_workshop() -> AsyncIterator[Workshop]:
    """Serve a cluster with the Deployment `web` in the namespace `shop`."""
    cluster = SimulatedCluster()
    cluster.set_behavior(ready_delay=0.05, termination_delay=0.02)
    async with SimulatedServer(cluster, tick=0.005) as server, Proxy(server.url) as proxy:
        workshop = Workshop(cluster, server, proxy)
        workshop.deploy("web")
        yield workshop
