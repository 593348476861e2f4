"""One Kubernetes API server: the Protocol `Cluster` over raw paths and raw JSON.

Made by bridge.kube.clusters. Boundary: it sends one request per page, each under a deadline, and repeats none but
once after a 401. Reads are tried again by retry.py, writes by the engine; the circuit breaker is in guarded.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from bridge.errors import InvalidInput, KubeError
from bridge.kube.connection import ClusterConnection, Sessions
from bridge.kube.exec import exec_call, run
from bridge.kube.kinds import Kinds
from bridge.kube.paths import (
    KNOWN,
    Resource,
    collection_path,
    field_selector,
    health_path,
    label_selector,
    object_path,
    query_string,
    service_path,
)
from bridge.kube.replies import read_status
from bridge.kube.transport import APPLY_PATCH, JSON, MERGE_PATCH, Call, Observe, Reply, Transport, refused
from bridge.kube.watching import Waiter
from bridge.kube.writes import delete_body, eviction_body, manifest_body, write_query
from bridge.model.outside import ExecReply, HttpReply
from bridge.model.target import ObjectRef, check_namespace

Items = list[dict[str, Any]]
_LARGEST_LOG = 256 * 1024
_LARGEST_TEXT = 256 * 1024
_PAGE = 250
_MOST_OBJECTS = 5000
_MOST_LINES = 5000
_MOST_LISTS = 4
_LIST_PAUSE = 0.2


class KubeCluster:
    """See bridge.ports.Cluster."""

    def __init__(
        self, connection: ClusterConnection, sessions: Sessions | None = None, observe: Observe | None = None
    ) -> None:
        self.name = connection.name
        self._sessions = sessions or Sessions(connection)
        self._transport = Transport(connection.name, self._sessions, connection.deadline, observe)
        self._kinds = Kinds(self._transport, connection.secret_namespaces)

    async def connect(self) -> None:
        """Load the client library and the credentials ahead of the first call. Raises KubeUnavailable."""
        async with self._sessions.use():
            pass

    async def close(self) -> None:
        await self._sessions.close()

    async def get(self, ref: ObjectRef) -> dict[str, Any]:
        return await self._transport.json(await self._object_call("GET", "get", ref))

    async def list(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        *,
        labels: Mapping[str, str] | str | None = None,
        fields: Mapping[str, str] | None = None,
        limit: int = 500,
        everywhere: bool = False,
    ) -> list[dict[str, Any]]:
        if not 0 < limit <= _MOST_OBJECTS:
            raise InvalidInput(f"limit {limit} is not between 1 and {_MOST_OBJECTS}")
        selection = {"labelSelector": label_selector(labels), "fieldSelector": field_selector(fields)}
        resource = await self._kinds.find(api_version, kind, namespace)
        path = collection_path(resource, namespace, everywhere=everywhere)
        head = {"apiVersion": api_version, "kind": kind}
        for again in range(_MOST_LISTS):
            try:
                # Items of a list don't say what they are.
                return [head | item for item in await self._pages(resource, namespace, path, selection, limit)]
            except KubeError as error:
                if error.status != 410 or again == _MOST_LISTS - 1:
                    raise
            # What the next page was to be read from is gone: only the whole list is consistent.
            await asyncio.sleep(_LIST_PAUSE * 2**again)
        raise AssertionError("unreachable: the last list returns or raises")

    async def _pages(
        self, resource: Resource, namespace: str, path: str, selection: Mapping[str, str | None], limit: int
    ) -> Items:
        items: Items = []
        token: str | None = None
        while True:
            page = {**selection, "limit": min(_PAGE, limit - len(items)), "continue": token}
            call = _call("GET", "list", resource, namespace, "", path + query_string(page))
            document = await self._transport.json(call)
            found = document.get("items") or []
            items += found
            token = (document.get("metadata") or {}).get("continue") or None
            if token is None or not found or len(items) >= limit:
                return items[:limit]

    async def wait_for(
        self, ref: ObjectRef, holds: Callable[[dict[str, Any] | None], bool], *, deadline: float
    ) -> dict[str, Any] | None:
        resource = await self._kinds.find(ref.api_version, ref.kind, ref.namespace, ref.name)
        waiter = Waiter(
            self._transport,
            resource,
            ref,
            lambda verb, path: _call("GET", verb, resource, ref.namespace, ref.name, path),
        )
        return await waiter.wait(holds, deadline)

    async def patch(
        self, ref: ObjectRef, body: Mapping[str, Any], *, subresource: str = "", dry_run: bool = False
    ) -> dict[str, Any]:
        call = await self._object_call("PATCH", "patch", ref, write_query(dry_run=dry_run), subresource)
        return await self._transport.json(_with_body(call, msgspec.json.encode(body), MERGE_PATCH))

    async def create(self, ref: ObjectRef, manifest: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        resource = await self._kinds.find(ref.api_version, ref.kind, ref.namespace, ref.name)
        path = collection_path(resource, ref.namespace) + write_query(dry_run=dry_run)
        call = _call("POST", "create", resource, ref.namespace, ref.name, path)
        return await self._transport.json(_with_body(call, manifest_body(ref, manifest)))

    async def apply(
        self, ref: ObjectRef, manifest: Mapping[str, Any], *, force: bool = False, dry_run: bool = False
    ) -> dict[str, Any]:
        call = await self._object_call("PATCH", "patch", ref, write_query(dry_run=dry_run, force=force))
        # JSON is YAML: the server asks for this content type whatever of the two is in the body.
        return await self._transport.json(_with_body(call, manifest_body(ref, manifest), APPLY_PATCH))

    async def delete(
        self,
        ref: ObjectRef,
        *,
        resource_version: str = "",
        grace: int | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
    ) -> None:
        body = delete_body(
            ref, resource_version=resource_version, grace=grace, propagation=propagation, dry_run=dry_run
        )
        call = await self._object_call("DELETE", "delete", ref)
        await self._transport.checked(_with_body(call, body))

    async def evict(self, ref: ObjectRef, *, grace: int | None = None, dry_run: bool = False) -> None:
        if (ref.api_version, ref.kind) != ("v1", "Pod"):
            raise InvalidInput(f"{ref} is no pod: only pods are evicted")
        body = eviction_body(ref, grace=grace)
        call = await self._object_call("POST", "create", ref, write_query(dry_run=dry_run), "eviction")
        await self._transport.checked(_with_body(call, body))

    async def exec(
        self, namespace: str, pod: str, command: Sequence[str], *, container: str, deadline: float = 30.0
    ) -> ExecReply:
        return await run(self._transport, exec_call(namespace, pod, command, container), deadline)

    async def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str,
        previous: bool = False,
        lines: int = 100,
        since: float | None = None,
    ) -> str:
        if not 0 < lines <= _MOST_LINES:
            raise InvalidInput(f"lines {lines} is not between 1 and {_MOST_LINES}")
        resource = KNOWN["v1", "Pod"]
        path = object_path(resource, namespace, pod) + "/log"
        query = query_string(
            {
                "container": check_namespace(container, "container"),
                "previous": "true" if previous else None,
                "tailLines": lines,
                "sinceSeconds": None if since is None else max(1, round(since)),
                "limitBytes": _LARGEST_LOG,
            }
        )
        call = _call("GET", "get", resource, namespace, pod, path + query, "log")
        reply = await self._transport.checked(msgspec.structs.replace(call, largest=_LARGEST_LOG * 2))
        return reply.body.decode("utf-8", "replace")

    async def service_get(self, namespace: str, service: str, port: str, path: str) -> int:
        """GET through the service proxy. A service without endpoints, or one that cannot be reached, is a 503.

        Raises KubeError when the API server itself refuses or fails.
        """
        return (await self._proxied(namespace, service, port, path)).status

    async def service_text(self, namespace: str, service: str, port: str, path: str) -> HttpReply:
        return _text(await self._proxied(namespace, service, port, path))

    async def _proxied(self, namespace: str, service: str, port: str, path: str) -> Reply:
        target = service_path(namespace, service, port, path)
        call = _call("GET", "get", KNOWN["v1", "Service"], namespace, service, target, "proxy")
        call = msgspec.structs.replace(call, largest=_LARGEST_TEXT, cut=True)
        reply = await self._transport.send(call)
        refusal = read_status(reply.body) if reply.status >= 400 else {}
        message = str(refusal.get("message") or "")
        unreachable = "no endpoints available" in message or "error trying to reach service" in message
        if refusal and not unreachable:
            raise refused(call, reply)
        return reply

    async def health(self, path: str) -> HttpReply:
        """GET a health endpoint. That something is wrong is an answer; a refusal of the question is an error."""
        call = Call(
            method="GET",
            path=health_path(path),
            verb="get",
            what=f"get {path}",
            permission=f"get {path.partition('?')[0]} (nonResourceURLs)",
            largest=_LARGEST_TEXT,
            cut=True,
        )
        reply = await self._transport.send(call)
        if reply.status >= 400 and (reply.status < 500 or read_status(reply.body)):
            raise refused(call, reply)
        return _text(reply)

    async def _object_call(
        self, method: str, verb: str, ref: ObjectRef, query: str = "", subresource: str = ""
    ) -> Call:
        resource = await self._kinds.find(ref.api_version, ref.kind, ref.namespace, ref.name)
        path = object_path(resource, ref.namespace, ref.name, subresource) + query
        return _call(method, verb, resource, ref.namespace, ref.name, path, subresource)


def _call(
    method: str, verb: str, resource: Resource, namespace: str, name: str, path: str, subresource: str = ""
) -> Call:
    thing = f"{resource.kind.lower()} {namespace + '/' if namespace else ''}{name or '*'}"
    label = f"{resource.plural}/{subresource}" if subresource else resource.plural
    label = f"{label}.{resource.group}" if resource.group else label
    return Call(
        method=method,
        path=path,
        verb=verb,
        what=f"{verb} {thing}{f' ({subresource})' if subresource else ''}",
        permission=f"{verb} {label}" + (f" in namespace {namespace}" if namespace else ""),
        secret=resource.kind == "Secret",
    )


def _with_body(call: Call, body: bytes, content_type: str = JSON) -> Call:
    return msgspec.structs.replace(call, body=body, content_type=content_type)


def _text(reply: Reply) -> HttpReply:
    return HttpReply(reply.status, reply.body.decode("utf-8", "replace"), reply.content_type, reply.truncated)
