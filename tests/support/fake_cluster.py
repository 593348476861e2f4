"""A cluster in a dictionary: for tests of what reads and plans, where no controller has to do anything.

Server-side apply is a plain merge here, and nobody else owns a field.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from bridge.errors import InvalidInput, KubeConflict, KubeNotFound, SecretsClosed
from bridge.kube.paths import health_path
from bridge.kube.writes import manifest_body
from bridge.model.outside import ExecReply, HttpReply
from bridge.model.target import ObjectRef, check_name, check_namespace

Key = tuple[str, str, str]
CLUSTER_WIDE = frozenset({"Node", "Namespace", "PersistentVolume", "StorageClass", "NodeMetrics", "ClusterRole"})


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
        self.commands: dict[tuple[str, ...], ExecReply] = {}
        self.executed: list[tuple[str, str, str, tuple[str, ...]]] = []
        """Namespace, pod, container and arguments of each command."""
        self.secret_namespaces: frozenset[str] | None = None
        """None: Secrets may be read everywhere."""
        self.replies: dict[str, HttpReply] = {}
        """What services and health endpoints answer, by path."""
        for document in documents:
            self.put(document)

    def put(self, document: dict[str, Any]) -> dict[str, Any]:
        meta = document["metadata"]
        meta.setdefault("uid", f"uid-{len(self.objects)}")
        if document["kind"] not in CLUSTER_WIDE:
            meta.setdefault("namespace", "shop")
        meta["resourceVersion"] = str(int(meta.get("resourceVersion", "0")) + 1)
        self.objects[document["kind"], meta.get("namespace", ""), meta["name"]] = document
        return document

    async def get(self, ref: ObjectRef) -> dict[str, Any]:
        self._check_secret(ref.kind, ref.namespace)
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
        everywhere: bool = False,
    ) -> list[dict[str, Any]]:
        self._check_secret(kind, namespace)
        self._called("list", kind)
        if kind not in CLUSTER_WIDE and not everywhere:
            check_namespace(namespace)
        wanted = self._wanted(labels)
        found = [
            document
            for (found_kind, place, _), document in self.objects.items()
            if found_kind == kind
            and (everywhere or place == namespace)
            and wanted.items() <= (document["metadata"].get("labels") or {}).items()
        ]
        return copy.deepcopy(found[:limit])

    async def wait_for(
        self, ref: ObjectRef, holds: Callable[[dict[str, Any] | None], bool], *, deadline: float
    ) -> dict[str, Any] | None:
        self._called("watch", ref.kind)
        self._check(ref)
        return copy.deepcopy(self.objects.get((ref.kind, ref.namespace, ref.name)))

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

    async def create(self, ref: ObjectRef, manifest: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        self._called("create", ref.kind)
        self._check(ref)
        if (ref.kind, ref.namespace, ref.name) in self.objects:
            raise KubeConflict(f'{ref.kind} "{ref.name}" already exists', status=409, reason="AlreadyExists")
        return self._keep(self._named(ref, manifest), dry_run)

    async def apply(
        self, ref: ObjectRef, manifest: Mapping[str, Any], *, force: bool = False, dry_run: bool = False
    ) -> dict[str, Any]:
        self._called("apply", ref.kind)
        self._check(ref)
        current = self.objects.get((ref.kind, ref.namespace, ref.name), {})
        version = (manifest.get("metadata") or {}).get("resourceVersion")
        if current and version not in (None, current["metadata"]["resourceVersion"]):
            raise KubeConflict("the object has been modified", status=409, reason="Conflict")
        return self._keep(merge(current, self._named(ref, manifest)), dry_run)

    async def delete(
        self,
        ref: ObjectRef,
        *,
        resource_version: str = "",
        grace: int | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
    ) -> None:
        self._called("delete", ref.kind)
        self._remove(ref, resource_version, dry_run)

    async def evict(self, ref: ObjectRef, *, grace: int | None = None, dry_run: bool = False) -> None:
        self._called("evict", ref.kind)
        self._remove(ref, "", dry_run)

    async def exec(
        self, namespace: str, pod: str, command: Sequence[str], *, container: str, deadline: float = 30.0
    ) -> ExecReply:
        self._called("exec", "Pod")
        self._find(ObjectRef("v1", "Pod", namespace, pod))
        if isinstance(command, str) or not command:
            raise InvalidInput("a command is a list of arguments")
        self.executed.append((namespace, pod, container, tuple(command)))
        return self.commands.get(tuple(command), ExecReply(127, "", f"{command[0]}: not found"))

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
        self._called("logs", "Pod")
        if pod not in self.texts:
            raise KubeNotFound(f"pod {pod} has no log", status=404)
        return "".join(self.texts[pod].splitlines(keepends=True)[-lines:])

    async def service_get(self, namespace: str, service: str, port: str, path: str) -> int:
        self._called("proxy", "Service")
        return self.status

    async def service_text(self, namespace: str, service: str, port: str, path: str) -> HttpReply:
        self._called("proxy", "Service")
        return self.replies.get(path, HttpReply(self.status))

    async def health(self, path: str) -> HttpReply:
        self._called("health", "")
        health_path(path)
        return self.replies.get(path, HttpReply(200, "ok"))

    def _named(self, ref: ObjectRef, manifest: Mapping[str, Any]) -> dict[str, Any]:
        document: dict[str, Any] = msgspec.json.decode(manifest_body(ref, manifest))
        document["metadata"].pop("uid", None)
        return document

    def _keep(self, document: dict[str, Any], dry_run: bool) -> dict[str, Any]:
        if dry_run:
            return document
        document["metadata"].setdefault("uid", f"uid-{len(self.calls)}-{document['metadata']['name']}")
        return copy.deepcopy(self.put(document))

    def _remove(self, ref: ObjectRef, resource_version: str, dry_run: bool) -> None:
        if not ref.uid:
            raise InvalidInput("nothing is removed without its uid")
        metadata = self._find(ref)["metadata"]
        if metadata["uid"] != ref.uid or resource_version not in ("", metadata["resourceVersion"]):
            raise KubeConflict("the precondition does not hold", status=409, reason="Conflict")
        if not dry_run:
            del self.objects[ref.kind, ref.namespace, ref.name]

    def _called(self, verb: str, kind: str) -> None:
        self.calls.append((verb, kind))
        if (verb, kind) in self.errors:
            raise self.errors[verb, kind]

    def _check(self, ref: ObjectRef) -> None:
        check_name(ref.name)
        self._check_secret(ref.kind, ref.namespace)
        if ref.kind not in CLUSTER_WIDE:
            check_namespace(ref.namespace)

    def _check_secret(self, kind: str, namespace: str) -> None:
        if kind == "Secret" and self.secret_namespaces is not None and namespace not in self.secret_namespaces:
            raise SecretsClosed(f"Secrets in namespace {namespace} may not be read (`secret_namespaces`)")

    def _find(self, ref: ObjectRef) -> dict[str, Any]:
        self._check(ref)
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
