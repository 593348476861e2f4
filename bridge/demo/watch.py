"""Lists and watches: selection, pages, and the stream of events. Called by `api`; `server` writes the stream out."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.demo import metrics
from bridge.demo.objects import Obj, name_of, namespace_of
from bridge.demo.resources import Resource
from bridge.demo.selectors import Predicate, field_predicate, label_predicate
from bridge.demo.status_errors import ApiError, bad_request, expired_continue, expired_watch
from bridge.demo.store import Change
from bridge.demo.versions import as_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.demo.cluster import SimulatedCluster

_LONGEST_WATCH = 3600.0
_BOOKMARK_EVERY = 10.0


def is_true(text: str | None) -> bool:
    """A boolean of a query, as Go reads it."""
    return text is not None and text.lower() in ("true", "1", "t")


@dataclass(frozen=True)
class Selection:
    """Which objects of a resource are meant."""

    resource: Resource
    namespace: str
    api_version: str
    predicates: tuple[Predicate, ...]

    @classmethod
    def of(
        cls, resource: Resource, namespace: str, name: str, api_version: str, query: Mapping[str, str]
    ) -> Selection:
        """From a request's selectors. Raises ApiError 400."""
        asked = (
            label_predicate(query.get("labelSelector", "")),
            field_predicate(resource.key, query.get("fieldSelector", "")),
            (lambda obj: name_of(obj) == name) if name else None,
        )
        return cls(resource, namespace, api_version, tuple(check for check in asked if check is not None))

    def takes(self, obj: Obj) -> bool:
        if self.namespace and namespace_of(obj) != self.namespace:
            return False
        return all(check(obj) for check in self.predicates)

    def shown(self, obj: Obj) -> Obj:
        return as_version(obj, self.api_version)


def select(cluster: SimulatedCluster, selection: Selection) -> list[Obj]:
    """The objects of a selection, in the order of their keys."""
    resource, namespace = selection.resource, selection.namespace
    told = metrics.objects(cluster, resource, namespace) if resource.group == metrics.GROUP else None
    found = cluster.store.list(resource.key, namespace) if told is None else told
    return [obj for obj in found if selection.takes(obj)]


def list_page(cluster: SimulatedCluster, selection: Selection, query: Mapping[str, str]) -> Obj:
    """A list, or the page of it that the query asks for. Raises ApiError 400 and 410."""
    # Pages go by the order of the keys as text, in which a name's hyphen comes before the slash.
    found = sorted(select(cluster, selection), key=lambda obj: _place(selection, obj))
    revision = cluster.store.revision
    token = query.get("continue")
    if token:
        start, revision = _read_continue(cluster, token)
        found = [obj for obj in found if _place(selection, obj) >= start]
    metadata: Obj = {"resourceVersion": str(revision)}
    limit = int(query["limit"]) if query.get("limit", "").isdigit() else 0
    if limit and len(found) > limit:
        metadata["continue"] = _continue_token(revision, _place(selection, found[limit - 1]) + "\0")
        if not selection.predicates:
            metadata["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    resource = selection.resource
    head = {"kind": resource.list_kind, "apiVersion": selection.api_version, "metadata": metadata}
    return {**head, "items": [_item(resource, selection.shown(obj)) for obj in found]}


def _item(resource: Resource, obj: Obj) -> Obj:
    """Items of built-in lists don't repeat their kind."""
    if resource.custom:
        return obj
    return {key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}


def _place(selection: Selection, obj: Obj) -> str:
    return name_of(obj) if selection.namespace else f"{namespace_of(obj)}/{name_of(obj)}"


def _continue_token(revision: int, start: str) -> str:
    token = {"v": "meta.k8s.io/v1", "rv": revision, "start": start}
    return base64.urlsafe_b64encode(json.dumps(token, separators=(",", ":")).encode()).decode().rstrip("=")


def _read_continue(cluster: SimulatedCluster, token: str) -> tuple[str, int]:
    try:
        read = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        start, revision = str(read["start"]), int(read["rv"])
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
    if revision == -1:
        return start, cluster.store.revision
    if revision < cluster.store.compacted:
        raise expired_continue(_continue_token(-1, start))
    return start, revision


class Watch:
    """One watch: what was so far, then what happens, until its time is over."""

    def __init__(self, cluster: SimulatedCluster, selection: Selection, query: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._selection = selection
        self._bookmarks = is_true(query.get("allowWatchBookmarks"))
        self._initial = is_true(query.get("sendInitialEvents"))
        asked = query.get("resourceVersion", "")
        self._revision = int(asked) if asked.isdigit() else 0
        timeout = query.get("timeoutSeconds", "")
        self._timeout = float(timeout) if timeout.isdigit() and int(timeout) else _LONGEST_WATCH
        if self._initial and query.get("resourceVersionMatch") != "NotOlderThan":
            message = "sendInitialEvents is forbidden for watch unless resourceVersionMatch is set to NotOlderThan"
            raise ApiError(422, "Invalid", message)

    async def events(self) -> AsyncGenerator[Obj, None]:
        """The events, each `{"type": …, "object": …}`. Ends with the time-out, or after an ERROR event."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeout
        queue: asyncio.Queue[Change] = asyncio.Queue()
        key = self._selection.resource.key
        stop = self._cluster.store.listen(lambda change: queue.put_nowait(change) if change.key == key else None)
        try:
            for event in self._backlog():
                yield event
                if event["type"] == "ERROR":
                    return
            async for event in self._live(queue, end):
                yield event
        finally:
            stop()

    def _backlog(self) -> list[Obj]:
        store = self._cluster.store
        if self._initial or self._revision == 0:
            found: list[Obj] = [self._event("ADDED", obj) for obj in select(self._cluster, self._selection)]
            if self._initial and self._bookmarks:
                found.append(self._bookmark({"k8s.io/initial-events-end": "true"}))
            self._revision = store.revision
            return found
        if self._revision < store.compacted:
            return [{"type": "ERROR", "object": expired_watch(self._revision, store.compacted).body}]
        found = []
        for change in store.since(self._selection.resource.key, self._revision):
            found += self._seen(change)
        self._revision = max(self._revision, store.revision)
        return found

    async def _live(self, queue: asyncio.Queue[Change], end: float) -> AsyncIterator[Obj]:
        loop = asyncio.get_running_loop()
        while (left := end - loop.time()) > 0:
            try:
                change = await asyncio.wait_for(queue.get(), min(left, _BOOKMARK_EVERY))
            except TimeoutError:
                if self._bookmarks and end - loop.time() > 0:
                    yield self._bookmark({})
                continue
            if change.revision <= self._revision:
                continue
            for event in self._seen(change):
                yield event

    def _seen(self, change: Change) -> list[Obj]:
        """What a change looks like through the selection: an object may come into it, or leave it."""
        takes = self._selection.takes
        now = change.type != "DELETED" and takes(change.obj)
        before = change.before is not None and takes(change.before)
        if now:
            return [self._event("MODIFIED" if before else "ADDED", change.obj)]
        if before:
            gone: Any = change.obj
            if change.type != "DELETED":
                metadata = {**(change.before or {})["metadata"], "resourceVersion": str(change.revision)}
                gone = {**(change.before or {}), "metadata": metadata}
            return [self._event("DELETED", gone)]
        return []

    def _event(self, kind: str, obj: Obj) -> Obj:
        return {"type": kind, "object": self._selection.shown(obj)}

    def _bookmark(self, annotations: dict[str, str]) -> Obj:
        resource = self._selection.resource
        metadata: Obj = {"resourceVersion": str(self._cluster.store.revision)}
        if annotations:
            metadata["annotations"] = annotations
        body = {"kind": resource.kind, "apiVersion": self._selection.api_version, "metadata": metadata}
        return {"type": "BOOKMARK", "object": body}
