"""A cluster in a dictionary: for tests of what reads and plans, where no controller has to do anything."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from bridge.errors import InvalidInput, KubeConflict, KubeNotFound
from bridge.model.target import ObjectRef, check_name, check_namespace

Key = tuple[str, str, str]


class FakeCluster:
    """Implements bridge.ports.Cluster. `calls` has the verb and kind of each request."""

    def __init__(self, *documents: dict[str, Any], name: str = "test") -> None:
        self.name = name
        self.objects: dict[Key, dict[str, Any]] = {}
        self.calls: list[tuple[str, str]] = []
        self.texts: dict[str, str] = {}
        self.status = 200
        self.errors: dict[tuple[str, str], Exception] = {}
        """Raised by the verb on the kind."""
        for document in documents:
            self.put(document)

    def put(self, document: dict[str, Any]) -> dict[str, Any]:
        meta = document["metadata"]
        meta.setdefault("uid", f"uid-{len(self.objects)}")
        meta.setdefault("namespace", "shop")
        meta["resourceVersion"] = str(int(meta.get("resourceVersion", "0")) + 1)
        self.objects[document["kind"], meta["namespace"], meta["name"]] = document
        return document

    async def get(self, ref: ObjectRef) -> dict[str, Any]:
        self._called("get", ref.kind)
        return copy.deepcopy(self._find(ref))

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
        self._called("list", kind)
        check_namespace(namespace)
        wanted = self._wanted(labels)
        found = [
            document
            for (found_kind, place, _), document in self.objects.items()
            if (found_kind, place) == (kind, namespace)
            and wanted.items() <= (document["metadata"].get("labels") or {}).items()
        ]
        return copy.deepcopy(found[:limit])

    async def patch(
        self, ref: ObjectRef, body: Mapping[str, Any], *, subresource: str = "", dry_run: bool = False
    ) -> dict[str, Any]:
        self._called("patch", ref.kind)
        current = self._find(ref)
        version = (body.get("metadata") or {}).get("resourceVersion")
        if version not in (None, current["metadata"]["resourceVersion"]):
            raise KubeConflict("the object has been modified", status=409)
        changed = merge(current, body)
        if not dry_run:
            self.put(changed)
        return copy.deepcopy(changed)

    async def logs(
        self, namespace: str, pod: str, *, container: str, previous: bool = False, lines: int = 100
    ) -> str:
        self._called("logs", "Pod")
        if pod not in self.texts:
            raise KubeNotFound(f"pod {pod} has no log", status=404)
        return "".join(self.texts[pod].splitlines(keepends=True)[-lines:])

    async def service_get(self, namespace: str, service: str, port: str, path: str) -> int:
        self._called("proxy", "Service")
        return self.status

    def _called(self, verb: str, kind: str) -> None:
        self.calls.append((verb, kind))
        if (verb, kind) in self.errors:
            raise self.errors[verb, kind]

    def _find(self, ref: ObjectRef) -> dict[str, Any]:
        check_name(ref.name)
        check_namespace(ref.namespace)
        found = self.objects.get((ref.kind, ref.namespace, ref.name))
        if found is None:
            raise KubeNotFound(f'{ref.kind} "{ref.name}" not found', status=404)
        return found

    def _wanted(self, labels: Mapping[str, str] | str | None) -> dict[str, str]:
        if labels is None:
            return {}
        if not labels:
            raise InvalidInput("an empty label selector")
        return dict(term.split("=", 1) for term in labels.split(",")) if isinstance(labels, str) else dict(labels)


def merge(document: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(document) if isinstance(document, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result
