"""One Kubernetes API server: the Protocol `Cluster` over raw paths and raw JSON.

Made by bridge.kube.clusters. Boundary: it sends one request per page, each under a deadline, and repeats none but
once after a 401. Reads are tried again by retry.py, writes by the engine; the circuit breaker is in guarded.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from bridge.errors import InvalidInput, KubeError, KubeInvalid, KubeNotFound, KubeReplyLost, KubeUnavailable
from bridge.kube.connection import ClusterConnection, Session, Sessions
from bridge.kube.paths import (
    KNOWN,
    Resource,
    check_kind,
    collection_path,
    field_selector,
    group_path,
    label_selector,
    object_path,
    query_string,
    service_path,
)
from bridge.kube.replies import Failure, read_status, to_error
from bridge.model.target import ObjectRef, check_name, check_namespace

FIELD_MANAGER = "alertbridge"
_MERGE_PATCH = "application/merge-patch+json"
_LARGEST_ANSWER = 32 * 1024 * 1024
_LARGEST_LOG = 256 * 1024
_PAGE = 250
_MOST_OBJECTS = 5000
_MOST_LINES = 5000
_DISCOVERY_SECONDS = 600.0

Observe = Callable[[str, str, int, float], None]
"""Told of each request: cluster, verb, HTTP status (0: none) and seconds."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request, with what errors say about it."""

    method: str
    path: str
    """Path and query, encoded."""
    verb: str
    what: str
    permission: str = ""
    body: bytes | None = None
    secret: bool = False
    largest: int = _LARGEST_ANSWER

    @property
    def mutating(self) -> bool:
        return self.method != "GET"


class Reply(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    retry_after: str | None


class KubeCluster:
    """See bridge.ports.Cluster."""

    def __init__(
        self, connection: ClusterConnection, sessions: Sessions | None = None, observe: Observe | None = None
    ) -> None:
        self.name = connection.name
        self._observe = observe or (lambda cluster, verb, status, seconds: None)
        self._deadline = connection.deadline
        self._sessions = sessions or Sessions(connection)
        self._discovered: dict[tuple[str, str], Resource] = {}
        self._discovered_at: dict[str, float] = {}

    async def connect(self) -> None:
        """Load the client library and the credentials ahead of the first call. Raises KubeUnavailable."""
        async with self._sessions.use():
            pass

    async def close(self) -> None:
        await self._sessions.close()

    async def get(self, ref: ObjectRef) -> dict[str, Any]:
        resource = await self._resource(ref.api_version, ref.kind, ref.namespace, ref.name)
        path = object_path(resource, ref.namespace, ref.name)
        return await self._json(self._call("GET", "get", resource, ref.namespace, ref.name, path))

    async def list(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        *,
        labels: Mapping[str, str] | str | None = None,
        fields: Mapping[str, str] | None = None,
        limit: int = 500,
    ) -> list[dict[str, Any]]:
        if not 0 < limit <= _MOST_OBJECTS:
            raise InvalidInput(f"limit {limit} is not between 1 and {_MOST_OBJECTS}")
        selection = {"labelSelector": label_selector(labels), "fieldSelector": field_selector(fields)}
        resource = await self._resource(api_version, kind, namespace)
        path = collection_path(resource, namespace)
        items: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            page = {**selection, "limit": min(_PAGE, limit - len(items)), "continue": token}
            call = self._call("GET", "list", resource, namespace, "", path + query_string(page))
            document = await self._json(call)
            found = document.get("items") or []
            # Items of a list don't say what they are.
            items += [{"apiVersion": api_version, "kind": kind, **item} for item in found]
            token = (document.get("metadata") or {}).get("continue") or None
            if token is None or not found or len(items) >= limit:
                return items[:limit]

    async def patch(
        self, ref: ObjectRef, body: Mapping[str, Any], *, subresource: str = "", dry_run: bool = False
    ) -> dict[str, Any]:
        resource = await self._resource(ref.api_version, ref.kind, ref.namespace, ref.name)
        path = object_path(resource, ref.namespace, ref.name, subresource)
        query = query_string({"fieldManager": FIELD_MANAGER, "dryRun": "All" if dry_run else None})
        call = self._call("PATCH", "patch", resource, ref.namespace, ref.name, path + query, subresource)
        return await self._json(msgspec.structs.replace(call, body=msgspec.json.encode(body)))

    async def logs(
        self, namespace: str, pod: str, *, container: str, previous: bool = False, lines: int = 100
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
                "limitBytes": _LARGEST_LOG,
            }
        )
        call = self._call("GET", "get", resource, namespace, pod, path + query, "log")
        reply = await self._checked(msgspec.structs.replace(call, largest=_LARGEST_LOG * 2))
        return reply.body.decode("utf-8", "replace")

    async def service_get(self, namespace: str, service: str, port: str, path: str) -> int:
        """GET through the service proxy. A service without endpoints, or one that cannot be reached, is a 503.

        Raises KubeError when the API server itself refuses or fails.
        """
        target = service_path(namespace, service, port, path)
        call = self._call("GET", "get", KNOWN["v1", "Service"], namespace, service, target, "proxy")
        reply = await self._send(call)
        refusal = read_status(reply.body) if reply.status >= 400 else {}
        message = str(refusal.get("message") or "")
        unreachable = "no endpoints available" in message or "error trying to reach service" in message
        if refusal and not unreachable:
            raise to_error(_failure(call, reply))
        return reply.status

    async def _resource(self, api_version: str, kind: str, namespace: str, name: str | None = None) -> Resource:
        """Return how a kind is called in paths; unknown kinds are looked up at the server, and kept.

        All names are checked first: nothing that came from outside reaches the server unchecked, not even here.
        """
        check_kind(api_version, kind)
        if namespace:
            check_namespace(namespace)
        if name is not None:
            check_name(name)
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

    async def _discover(self, api_version: str) -> None:
        call = Call(
            method="GET",
            path=group_path(api_version),
            verb="discover",
            what=f"discover {api_version}",
            permission="discover",
        )
        document = await self._json(call)
        for entry in document.get("resources") or []:
            if "/" not in entry["name"]:
                resource = Resource(api_version, entry["kind"], entry["name"], bool(entry.get("namespaced")))
                self._discovered[api_version, entry["kind"]] = resource

    def _call(
        self, method: str, verb: str, resource: Resource, namespace: str, name: str, path: str, subresource: str = ""
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

    async def _json(self, call: Call) -> dict[str, Any]:
        reply = await self._checked(call)
        try:
            document = msgspec.json.decode(reply.body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _lost(call, "the answer is not JSON") from error
        if not isinstance(document, dict):
            raise _lost(call, "the answer is not a JSON object")
        return document

    async def _checked(self, call: Call) -> Reply:
        reply = await self._send(call)
        if not 200 <= reply.status < 300:
            raise to_error(_failure(call, reply))
        return reply

    async def _send(self, call: Call) -> Reply:
        """Send under the deadline and translate what goes wrong on the way."""
        began = time.perf_counter()
        status = 0
        try:
            async with asyncio.timeout(self._deadline):
                reply = await self._authorized(call)
            status = reply.status
            return reply
        except aiohttp.InvalidURL as error:
            raise KubeInvalid("the address is not valid", what=call.what) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientSSLError) as error:
            raise KubeUnavailable(f"no connection: {_short(error)}", what=call.what) from error
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise _lost(call, f"no answer within {self._deadline:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _lost(call, f"the connection broke: {_short(error)}") from error
        finally:
            self._observe(self.name, call.verb, status, time.perf_counter() - began)

    async def _authorized(self, call: Call) -> Reply:
        """Send; after a 401 read the credentials again (they rotate) and send once more."""
        async with self._sessions.use() as session:
            reply = await _exchange(session, call)
        if reply.status == 401:
            await self._sessions.refresh(session)
            async with self._sessions.use() as session:
                reply = await _exchange(session, call)
        return reply


async def _exchange(session: Session, call: Call) -> Reply:
    headers = {}
    if authorization := await session.authorization():
        headers["Authorization"] = authorization
    if call.body is not None:
        headers["Content-Type"] = _MERGE_PATCH
    async with session.http.request(
        call.method,
        URL(session.host + call.path, encoded=True),
        data=call.body,
        headers=headers,
        allow_redirects=False,
        proxy=session.proxy,
        server_hostname=session.server_hostname,
    ) as response:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > call.largest:
                raise _lost(call, f"the answer is larger than {call.largest} bytes")
        return Reply(response.status, bytes(body), response.headers.get("Retry-After"))


def _failure(call: Call, reply: Reply) -> Failure:
    return Failure(
        status=reply.status,
        body=reply.body,
        retry_after=reply.retry_after,
        what=call.what,
        permission=call.permission,
        mutating=call.mutating,
        secret=call.secret,
    )


def _lost(call: Call, message: str) -> KubeError:
    """Return the error for an answer that did not come or cannot be read: a write may have happened."""
    if call.mutating:
        return KubeReplyLost(f"{message}; its effect is unknown", what=call.what)
    return KubeUnavailable(message, what=call.what)


def _short(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
