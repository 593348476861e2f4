"""A Kubernetes API server for tests: the simulated one, or a real one named by ALERTBRIDGE_TEST_KUBECONFIG.

Each test gets a namespace of its own, which is removed afterwards. A workload that must never get ready uses an
image with `bad` in its tag; the healthy one is ALERTBRIDGE_TEST_IMAGE, which has to run for ever by itself (with a
shell in it, the tests of commands run too).

Nothing here or in a test may hang on which server it is. What not every cluster has is asked for:
`await site.needs("exec")` (see capabilities.py), and a kind that may not be served is brought along: `site.serve`.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl as tls
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import load_kube_config

from bridge.demo.cluster import SimulatedCluster
from bridge.demo.controllers.volumes import storage_class
from bridge.demo.server import SimulatedServer
from bridge.engine.clock import SystemClock
from bridge.engine.context import RunContext
from bridge.kube.client import KubeCluster
from bridge.kube.connection import ClusterConnection, Sessions
from bridge.model.target import ObjectRef, Target
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from tests.support.capabilities import missing
from tests.support.recording_proxy import RecordingProxy

REAL = os.environ.get("ALERTBRIDGE_TEST_KUBECONFIG", "")
HEALTHY = os.environ.get("ALERTBRIDGE_TEST_IMAGE", "registry.k8s.io/pause:3.10")
BAD = f"{HEALTHY.rpartition(':')[0]}:bad"


@dataclass
class Site:
    """One namespace of an API server, and a client of ours for it."""

    namespace: str
    cluster: KubeCluster
    direct: KubeCluster
    """The same without the proxy: for what the test itself asks and does."""
    sessions: Sessions
    proxy: RecordingProxy
    """Before the API server: it has seen what our client sent, and can spoil it."""
    simulated: SimulatedCluster | None
    server: SimulatedServer | None
    patience: float
    """Seconds that a rollout may take here."""
    stack: AsyncExitStack
    """Ends with the site."""

    async def needs(self, *words: str) -> None:
        """Skip the test where the cluster cannot do that; see capabilities.py for the words."""
        if lacks := await missing(self, words):
            pytest.skip(f"this cluster lacks {', '.join(lacks)}")

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Send a request of the test itself; return the status and the body."""
        async with self.sessions.use() as session:
            content = "application/merge-patch+json" if method == "PATCH" else "application/json"
            headers = {"Content-Type": content, **await session.headers()}
            data = None if body is None else json.dumps(body)
            async with session.http.request(method, session.host + path, data=data, headers=headers) as reply:
                text = await reply.text()
                return reply.status, json.loads(text) if "json" in reply.content_type else text

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """As `ask`, for what has to succeed: raises AssertionError otherwise."""
        status, document = await self.ask(method, path, body)
        assert status < 300, document
        return dict(document)

    async def served(self, api_version: str, kind: str) -> bool:
        """Whether objects of the kind can be kept here."""
        root = "/apis" if "/" in api_version else "/api"
        status, found = await self.ask("GET", f"{root}/{api_version}")
        return status == 200 and any(entry["kind"] == kind for entry in found["resources"])

    async def serve(self, definition: Mapping[str, Any]) -> None:
        """Have a kind served: as it is, or by a CustomResourceDefinition of the test's own until the site closes."""
        spec = definition["spec"]
        api_version, kind = f"{spec['group']}/{spec['versions'][0]['name']}", spec["names"]["kind"]
        if await self.served(api_version, kind):
            return
        place = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        await self.send("POST", place, definition)
        self.stack.push_async_callback(self.send, "DELETE", f"{place}/{definition['metadata']['name']}")

        async def listed() -> bool:
            path = self.path(spec["names"]["plural"], api=f"/apis/{api_version}")
            return (await self.ask("GET", path))[0] == 200

        await self.until(listed)

    async def pod(self, name: str = "one", *, image: str = HEALTHY, **spec: Any) -> ObjectRef:
        """Make a pod that nobody owns, and wait until it is ready (unless its image is bad)."""
        body = deployment(name, image, 1)["spec"]["template"]
        body["metadata"]["name"] = name
        body["spec"] |= spec
        made = await self.send("POST", self.path("pods", api="/api/v1"), body)

        def ready(found: dict[str, Any] | None) -> bool:
            conditions = (found or {}).get("status", {}).get("conditions", [])
            return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)

        ref = msgspec.structs.replace(self.ref("Pod", name, "v1"), uid=made["metadata"]["uid"])
        if image == HEALTHY:
            assert ready(await self.direct.wait_for(ref, ready, deadline=self.patience))
        return ref

    def path(self, plural: str, name: str = "", api: str = "/apis/apps/v1") -> str:
        return f"{api}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    async def deploy(self, name: str = "web", *, image: str = HEALTHY, replicas: int = 2, **spec: Any) -> ObjectRef:
        """Make a Deployment and wait until it is complete (unless its image is bad)."""
        await self.send("POST", self.path("deployments"), deployment(name, image, replicas, **spec))
        ref = self.ref("Deployment", name)
        if image == HEALTHY:
            await self.until(lambda: self.complete(ref))
        return ref

    async def set_image(self, name: str, image: str) -> None:
        body = deployment(name, image, 1)["spec"]["template"]["spec"]
        await self.send("PATCH", self.path("deployments", name), {"spec": {"template": {"spec": body}}})

    def ref(self, kind: str, name: str, api_version: str = "apps/v1") -> ObjectRef:
        return ObjectRef(api_version, kind, self.namespace, name, cluster=self.cluster.name)

    async def complete(self, ref: ObjectRef) -> bool:
        document = await self.cluster.get(ref)
        status, wanted = document.get("status", {}), document["spec"]["replicas"]
        seen = status.get("observedGeneration") == document["metadata"]["generation"]
        return seen and [status.get(k) for k in ("replicas", "updatedReplicas", "readyReplicas")] == [wanted] * 3

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Return when `holds` is true; fail after the site's patience."""
        async with asyncio.timeout(self.patience):
            while not await holds():  # noqa: ASYNC110 - it looks at a cluster from outside
                await asyncio.sleep(0.02 if self.simulated else 0.3)

    def context(self, kind: str, name: str, *, planned_at: float | None = None, prometheus: str = "") -> RunContext:
        clock = SystemClock()
        return RunContext(
            remediation="rem-1",
            planned_at=clock.now() if planned_at is None else planned_at,
            target=Target(self.cluster.name, kind, self.namespace, name),
            reach=Reach(self.cluster, clock, Outside(OutsideSettings(prometheus=prometheus))),
        )


def deployment(name: str, image: str, replicas: int, **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": "main", "image": image, "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            **spec,
        },
    }


@asynccontextmanager
async def open_site() -> AsyncIterator[Site]:
    """Make a namespace, at the real server when one is named, and remove it afterwards."""
    namespace = f"alertbridge-test-{uuid.uuid4().hex[:8]}"
    if REAL:
        connection = ClusterConnection(name="test", kubeconfig=REAL)
        async with await _real_proxy(connection) as proxy, _client(connection, proxy, namespace) as site:
            yield site
        return
    cluster = SimulatedCluster()
    cluster.set_behavior(ready_delay=0.05, termination_delay=0.02, issue_delay=0.05, crash_backoff=5.0)
    cluster.set_metrics(True)
    cluster.apply(storage_class())
    async with SimulatedServer(cluster, tick=0.005) as server, RecordingProxy(server.url) as proxy:
        connection = ClusterConnection(name="test", url=server.url)
        async with _client(connection, proxy, namespace, cluster, server) as site:
            yield site


@asynccontextmanager
async def _client(
    connection: ClusterConnection,
    proxy: RecordingProxy,
    namespace: str,
    simulated: SimulatedCluster | None = None,
    server: SimulatedServer | None = None,
) -> AsyncIterator[Site]:
    connection = msgspec.structs.replace(connection, secret_namespaces=frozenset({namespace}))
    sessions = Sessions(connection)
    cluster = KubeCluster(
        ClusterConnection(
            name=connection.name,
            url=proxy.url,
            deadline=3.0 if simulated else 10.0,
            secret_namespaces=frozenset({namespace}),
        )
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(sessions.close)
        stack.push_async_callback(cluster.close)
        site = Site(
            namespace=namespace,
            cluster=cluster,
            direct=KubeCluster(connection, sessions),
            sessions=sessions,
            proxy=proxy,
            simulated=simulated,
            server=server,
            patience=10.0 if simulated else 180.0,
            stack=stack,
        )
        await site.send("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        stack.push_async_callback(site.send, "DELETE", f"/api/v1/namespaces/{namespace}")
        yield site


async def _real_proxy(connection: ClusterConnection) -> RecordingProxy:
    """Return a proxy before the server of a kubeconfig, which puts its credentials in."""
    configuration = Configuration()
    await load_kube_config(config_file=connection.kubeconfig, client_configuration=configuration)
    context = tls.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:
        context.check_hostname, context.verify_mode = False, tls.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    token = configuration.api_key.get("BearerToken", "").removeprefix("Bearer ").strip()
    return RecordingProxy(configuration.host or "", token=token or None, ssl=context)


def only_simulated(site: Site) -> SimulatedCluster:
    """Return the simulated cluster; skip the test on a real one, where its condition cannot be made."""
    if site.simulated is None:
        pytest.skip("needs a simulated cluster")
    return site.simulated
