"""How kinds are called in paths at one API server: known, or discovered there once. Used by bridge.kube.client."""

from __future__ import annotations

import asyncio

from bridge.errors import KubeNotFound, SecretsClosed
from bridge.kube.paths import KNOWN, Resource, check_kind, group_path
from bridge.kube.transport import Call, Transport
from bridge.model.target import check_name, check_namespace

_DISCOVERY_SECONDS = 600.0


class Kinds:
    """Finds the Resource of a kind, after all names were checked and the Secret policy was asked."""

    def __init__(self, transport: Transport, secret_namespaces: frozenset[str]) -> None:
        self._transport = transport
        self._secret_namespaces = secret_namespaces
        self._discovered: dict[tuple[str, str], Resource] = {}
        self._discovered_at: dict[str, float] = {}

    async def find(self, api_version: str, kind: str, namespace: str, name: str | None = None) -> Resource:
        """Return how a kind is called in paths; unknown kinds are looked up at the server, and kept.

        Nothing that came from outside reaches the server unchecked, not even here. Raises InvalidInput,
        SecretsClosed for a Secret in a namespace where they may not be read, and KubeNotFound.
        """
        check_kind(api_version, kind)
        if namespace:
            check_namespace(namespace)
        if name is not None:
            check_name(name)
        self._check_secret(api_version, kind, namespace)
        known = KNOWN.get((api_version, kind)) or self._discovered.get((api_version, kind))
        if known is not None:
            return known
        now = asyncio.get_running_loop().time()
        if now - self._discovered_at.get(api_version, -_DISCOVERY_SECONDS) >= _DISCOVERY_SECONDS:
            await self._discover(api_version)
            self._discovered_at[api_version] = now
        found = self._discovered.get((api_version, kind))
        if found is None:
            raise KubeNotFound(f"the cluster serves no kind {kind} in {api_version}", status=404, what=f"find {kind}")
        return found

    def _check_secret(self, api_version: str, kind: str, namespace: str) -> None:
        # Every verb counts: what a write answers is the Secret's content too.
        if (api_version, kind) != ("v1", "Secret") or namespace in self._secret_namespaces:
            return
        place = f"in namespace {namespace}" if namespace else "of all namespaces"
        raise SecretsClosed(
            f"Secrets {place} may not be read or changed: name the namespace in `secret_namespaces` to allow it"
        )

    async def _discover(self, api_version: str) -> None:
        call = Call(
            method="GET",
            path=group_path(api_version),
            verb="discover",
            what=f"discover {api_version}",
            permission="discover",
        )
        document = await self._transport.json(call)
        for entry in document.get("resources") or []:
            if "/" not in entry["name"]:
                resource = Resource(api_version, entry["kind"], entry["name"], bool(entry.get("namespaced")))
                self._discovered[api_version, entry["kind"]] = resource
