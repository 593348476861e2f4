"""One Kubernetes API server in memory for tests of the engine: versions, uids, conflicts, and faults on demand."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from bridge.errors import InvalidInput, KubeConflict, KubeError, KubeNotFound
from bridge.kube.writes import manifest_body
from bridge.model.outside import ExecReply, HttpReply
from bridge.model.target import ObjectRef, check_name, check_namespace
from tests.support.fake_cluster import CLUSTER_WIDE

Verb = Literal["get", "patch", "create", "apply", "delete", "evict"]
Point = Callable[[str], Awaitable[None]]


class Fault(msgspec.Struct, frozen=True):
    """What happens to one call. `applied`: the server made the change, and then the answer failed."""

    verb: Verb
    error: BaseException
    applied: bool = False


class Patch(msgspec.Struct, frozen=True):
    """One write that reached the server. `body` is the patch or the manifest; deletes have none."""

    ref: ObjectRef
    body: Mapping[str, Any]
    subresource: str
    verb: Verb = "patch"


async def nothing(_: str) -> None:
    """The point that lets everything pass."""


class FlakyCluster:
    """Implements the part of ports.Cluster that the engine calls itself."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.objects: dict[tuple[str, str, str, str], dict[str, Any]] = {}
        self.faults: list[Fault] = []
        """Taken in order: the first one of a call's verb."""
        self.between: list[Callable[[], None]] = []
        """Called one by one before each write: what somebody else does between our read and our write."""
        self.patches: list[Patch] = []
        """All that arrived, refused ones too."""
        self.effective: list[Patch] = []
        """Those that changed an object."""
        self.reads = 0
        self.point: Point = nothing
        """Awaited before and after each call, with its name: where a test may kill the run."""
        self._version = 100

    def add(self, ref: ObjectRef, **content: Any) -> dict[str, Any]:
        """Put an object there; `content` is its body beside metadata."""
        self._version += 1
        document = {
            "apiVersion": ref.api_version,
            "kind": ref.kind,
            "metadata": {
                "name": ref.name,
                "namespace": ref.namespace,
                "uid": ref.uid or f"uid-{self._version}",
                "resourceVersion": str(self._version),
            },
            **copy.deepcopy(content),
        }
        self.objects[_key(ref)] = document
        return document

    def edit(self, ref: ObjectRef, patch: Mapping[str, Any]) -> None:
        """Change an object as somebody else does."""
        document = apply_merge_patch(self.objects[_key(ref)], patch)
        self._version += 1
        document["metadata"]["resourceVersion"] = str(self._version)
        self.objects[_key(ref)] = document

    def remove(self, ref: ObjectRef) -> None:
        del self.objects[_key(ref)]

    def document(self, ref: ObjectRef) -> dict[str, Any]:
        return copy.deepcopy(self.objects[_key(ref)])

    async def get(self, ref: ObjectRef) -> dict[str, Any]:
        _check(ref)
        await self.point("before get")
        self.reads += 1
        fault = self._fault("get")
        if fault is not None:
            raise fault.error
        if _key(ref) not in self.objects:
            raise KubeNotFound("not found", status=404, reason="NotFound", what=f"get {ref}")
        found = self.document(ref)
        await self.point("after get")
        return found

    async def wait_for(
        self, ref: ObjectRef, holds: Callable[[dict[str, Any] | None], bool], *, deadline: float
    ) -> dict[str, Any] | None:
        _check(ref)
        return None if _key(ref) not in self.objects else self.document(ref)

    async def patch(
        self, ref: ObjectRef, body: Mapping[str, Any], *, subresource: str = "", dry_run: bool = False
    ) -> dict[str, Any]:
        await self._write("patch", ref, lambda: self._apply(ref, body, subresource))
        return self.document(ref)

    async def create(self, ref: ObjectRef, manifest: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        await self._write("create", ref, lambda: self._create(ref, manifest))
        return self.document(ref)

    async def apply(
        self, ref: ObjectRef, manifest: Mapping[str, Any], *, force: bool = False, dry_run: bool = False
    ) -> dict[str, Any]:
        """Merge, as if nobody else owned a field."""
        known = _key(ref) in self.objects
        await self._write(
            "apply",
            ref,
            lambda: self._apply(ref, manifest, "", "apply") if known else self._create(ref, manifest, "apply"),
        )
        return self.document(ref)

    async def delete(
        self,
        ref: ObjectRef,
        *,
        resource_version: str = "",
        grace: int | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
    ) -> None:
        await self._write("delete", ref, lambda: self._delete(ref, resource_version, "delete"))

    async def evict(self, ref: ObjectRef, *, grace: int | None = None, dry_run: bool = False) -> None:
        await self._write("evict", ref, lambda: self._delete(ref, "", "evict"))

    async def _write(self, verb: Verb, ref: ObjectRef, make: Callable[[], None]) -> None:
        _check(ref)
        await self.point(f"before {verb}")
        if self.between:
            self.between.pop(0)()
        fault = self._fault(verb)
        if fault is None or fault.applied:
            make()
        if fault is not None:
            raise fault.error
        await self.point(f"after {verb}")

    async def list(self, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        raise KubeError("this cluster lists nothing", status=501)

    async def logs(self, *args: Any, **kwargs: Any) -> str:
        raise KubeError("this cluster has no logs", status=501)

    async def service_get(self, *args: Any, **kwargs: Any) -> int:
        raise KubeError("this cluster has no services", status=501)

    async def exec(self, *args: Any, **kwargs: Any) -> ExecReply:
        raise KubeError("this cluster runs no commands", status=501)

    async def service_text(self, *args: Any, **kwargs: Any) -> HttpReply:
        raise KubeError("this cluster has no services", status=501)

    async def health(self, path: str) -> HttpReply:
        return HttpReply(200, "ok")

    def _fault(self, verb: Verb) -> Fault | None:
        for place, fault in enumerate(self.faults):
            if fault.verb == verb:
                return self.faults.pop(place)
        return None

    def _create(self, ref: ObjectRef, manifest: Mapping[str, Any], verb: Verb = "create") -> None:
        manifest = msgspec.json.decode(manifest_body(ref, manifest))
        sent = Patch(ref, copy.deepcopy(manifest), "", verb)
        self.patches.append(sent)
        if _key(ref) in self.objects:
            raise KubeConflict("already exists", status=409, reason="AlreadyExists", what=f"create {ref}")
        content = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind", "metadata")}
        document = self.add(msgspec.structs.replace(ref, uid=""), **content)
        given = dict(manifest.get("metadata") or {})
        document["metadata"] = {**copy.deepcopy(given), **document["metadata"]}
        self.effective.append(sent)

    def _delete(self, ref: ObjectRef, resource_version: str, verb: Verb) -> None:
        if not ref.uid:
            raise InvalidInput("nothing is removed without its uid")
        sent = Patch(ref, {}, "", verb)
        self.patches.append(sent)
        current = self.objects.get(_key(ref))
        if current is None:
            raise KubeNotFound("not found", status=404, reason="NotFound", what=f"{verb} {ref}")
        metadata = current["metadata"]
        if metadata["uid"] != ref.uid or resource_version not in ("", metadata["resourceVersion"]):
            raise KubeConflict("the precondition does not hold", status=409, reason="Conflict", what=f"{verb} {ref}")
        self.remove(ref)
        self.effective.append(sent)

    def _apply(self, ref: ObjectRef, body: Mapping[str, Any], subresource: str, verb: Verb = "patch") -> None:
        sent = Patch(ref, copy.deepcopy(body), subresource, verb)
        self.patches.append(sent)
        current = self.objects.get(_key(ref))
        if current is None:
            raise KubeNotFound("not found", status=404, reason="NotFound", what=f"patch {ref}")
        asked = body.get("metadata", {}).get("resourceVersion")
        if asked is not None and asked != current["metadata"]["resourceVersion"]:
            raise KubeConflict("the object has been modified", status=409, reason="Conflict", what=f"patch {ref}")
        desired = apply_merge_patch(current, body)
        if desired != current:
            self._version += 1
            desired["metadata"]["resourceVersion"] = str(self._version)
            self.objects[_key(ref)] = desired
            self.effective.append(sent)


def apply_merge_patch(document: Any, patch: Any) -> Any:
    """Return `document` with `patch` merged into it, step by step as RFC 7386, section 2 has it."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = copy.deepcopy(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = apply_merge_patch(merged.get(name), value)
    return merged


def _check(ref: ObjectRef) -> None:
    check_name(ref.name)
    if ref.kind not in CLUSTER_WIDE:
        check_namespace(ref.namespace)


def _key(ref: ObjectRef) -> tuple[str, str, str, str]:
    return ref.api_version, ref.kind, ref.namespace, ref.name
