"""The API's verbs on stored objects: create, update, patch, apply, delete. Called by `api` and `subresources`.

Everything is checked first and written last; with `dry_run` the last step is left out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bridge.demo.admission import check_namespace, check_pod_security, check_resize, prepare_new
from bridge.demo.defaults import apply_defaults
from bridge.demo.objects import Obj, clone, name_of, timestamp, without_nulls
from bridge.demo.patches import JSON_PATCH, apply_patch
from bridge.demo.resources import Resource
from bridge.demo.schema import WrongType, decode
from bridge.demo.serverside import apply_configuration
from bridge.demo.status_errors import (
    ApiError,
    already_exists,
    bad_request,
    conflict,
    invalid,
    invalid_value,
    not_found,
    precondition_failed,
    required_value,
)
from bridge.demo.structure import fill, zero
from bridge.demo.validation import shown, validate

if TYPE_CHECKING:
    from bridge.demo.cluster import SimulatedCluster


@dataclass
class Options:
    """How a write is to be done; warnings gather here."""

    manager: str = "unknown"
    dry_run: bool = False
    strict: bool = False
    warn: bool = True
    force: bool = False
    api_version: str = ""
    """The version by which the client wrote, for managedFields."""
    warnings: list[str] = field(default_factory=list)


class Verbs:
    """Writes on the objects of one cluster. Every method raises ApiError for a refusal."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self._cluster = cluster
        self._store = cluster.store
        self._writes = cluster.writes

    def create(self, resource: Resource, namespace: str, body: Obj, options: Options) -> Obj:
        """A new object from a client's body."""
        obj = self._decode_new(resource, namespace, body, options)
        name = str(obj["metadata"].get("name") or "")
        place = self._namespace_for(resource, namespace, name)
        self._finish_new(resource, obj, options)
        options.warnings += check_pod_security(resource, obj, place)
        options.warnings += _tls_warnings(resource, obj)
        if self._store.get(resource.key, namespace, name_of(obj)) is not None:
            raise already_exists(resource, name_of(obj))
        prepare_new(self._cluster, resource, obj)
        self._writes.stamp(resource, obj)
        if options.dry_run:
            return obj
        return self._keep(resource, obj)

    def _keep(self, resource: Resource, obj: Obj) -> Obj:
        stored = self._store.put(resource.key, obj)
        if resource.kind == "CustomResourceDefinition":
            self._cluster.registry.add_definition(stored)
        return stored

    def _decode_new(self, resource: Resource, namespace: str, body: Obj, options: Options) -> Obj:
        _check_kind(resource, body)
        try:
            obj, unknown = decode(resource.built_in_kind, body)
        except WrongType as error:
            raise bad_request(_cannot_be_handled(resource, str(error))) from error
        _report_unknown(unknown, options, lambda text: bad_request(_cannot_be_handled(resource, text)))
        obj = clone(obj) if resource.custom else without_nulls(obj)
        obj = fill(zero(resource.built_in_kind), obj)
        obj = {"kind": resource.kind, "apiVersion": resource.api_version} | {
            key: value for key, value in obj.items() if key not in ("kind", "apiVersion")
        }
        _drop_empty(resource, obj)
        metadata = obj["metadata"]
        for server_side in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"):
            metadata.pop(server_side, None)
        if metadata.get("namespace") and metadata["namespace"] != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if namespace:
            metadata["namespace"] = namespace
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + self._writes.suffix()
        return obj

    def _namespace_for(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        if not resource.namespaced:
            return None
        place = check_namespace(self._cluster, resource, namespace, name)
        if place is None:
            raise not_found(self._cluster.resource("v1", "Namespace"), namespace)
        return place

    def _finish_new(self, resource: Resource, obj: Obj, options: Options) -> None:
        causes = _default_and_validate(resource, obj, None)
        if causes:
            raise invalid(resource.kind, resource.group, str(obj["metadata"].get("name") or ""), causes)
        tracked = dict(obj)
        if resource.resets_status:
            empty = zero(resource.built_in_kind).get("status")
            tracked = {key: value for key, value in obj.items() if key != "status"}
            if empty is not None:
                tracked["status"] = empty
        if resource.kind not in ("ServiceAccount",):
            tracked["metadata"] = dict(obj["metadata"])
            self._writes.track(resource, None, tracked, options.manager, "", options.api_version)
            if "managedFields" in tracked["metadata"]:
                obj["metadata"]["managedFields"] = tracked["metadata"]["managedFields"]

    def current(self, resource: Resource, namespace: str, name: str) -> Obj:
        """The stored object. Raises ApiError 404."""
        found = self._store.get(resource.key, namespace, name)
        if found is None:
            raise not_found(resource, name)
        return found

    def replace(
        self, resource: Resource, namespace: str, name: str, body: Obj, options: Options, subresource: str = ""
    ) -> Obj:
        """PUT. The body's resourceVersion is a precondition, where it has one."""
        before = self.current(resource, namespace, name)
        _check_kind(resource, body)
        metadata = body.get("metadata") or {}
        if metadata.get("name") not in (None, "", name):
            raise bad_request(_names_differ(str(metadata["name"]), name))
        if metadata.get("uid") not in (None, "", before["metadata"]["uid"]):
            raise conflict(resource, name)
        if resource.custom and not metadata.get("resourceVersion"):
            text = "must be specified for an update"
            causes = [invalid_value("metadata.resourceVersion", "0x0", text)]
            raise invalid(resource.kind, resource.group, name, causes)
        try:
            obj, unknown = decode(resource.built_in_kind, body)
        except WrongType as error:
            raise bad_request(_cannot_be_handled(resource, str(error))) from error
        _report_unknown(unknown, options, lambda text: bad_request(_cannot_be_handled(resource, text)))
        return self._update(resource, before, clone(obj), options, subresource)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Any,
        content_type: str,
        options: Options,
        subresource: str = "",
    ) -> Obj:
        """PATCH by JSON patch, merge patch or strategic merge patch."""
        before = self.current(resource, namespace, name)
        patched = apply_patch(before, patch, content_type)
        if not isinstance(patched.get("metadata"), dict):
            patched["metadata"] = dict(before["metadata"])
        if patched["metadata"].get("name") != name:
            raise bad_request(_names_differ(str(patched["metadata"].get("name")), name))
        try:
            obj, unknown = decode(resource.built_in_kind, patched)
        except WrongType as error:
            raise invalid_patch(patched, str(error)) from error
        _report_unknown(unknown, options, lambda text: invalid_patch(patched, text))
        if obj["metadata"].get("uid") != before["metadata"]["uid"]:
            # The server checks it twice on this way, and says so twice.
            wrong = invalid_value("metadata.uid", shown(obj["metadata"].get("uid")), "field is immutable")
            raise invalid(resource.kind, resource.group, name, [wrong, wrong])
        if content_type == JSON_PATCH:
            obj = clone(obj)
        return self._update(resource, before, obj, options, subresource)

    def apply(self, resource: Resource, namespace: str, name: str, config: Obj, options: Options) -> tuple[Obj, bool]:
        """Server-side apply. Returns the object, and whether it was created."""
        _check_kind(resource, config)
        stated = str((config.get("metadata") or {}).get("name") or name)
        if stated != name:
            raise bad_request(f"the name of the object ({stated}) does not match the name on the URL ({name})")
        version = options.api_version or resource.api_version
        before = self._store.get(resource.key, namespace, name)
        _check_identity(resource, config.get("metadata") or {}, before, name)
        base = before or {"metadata": {}}
        merged = apply_configuration(
            base if before else fill(zero(resource.built_in_kind), base),
            config,
            manager=options.manager,
            force=options.force,
            api_version=version,
            now=timestamp(self._cluster.now()),
            kind=resource.built_in_kind,
        )
        entries = merged["metadata"].pop("managedFields", [])
        if before is not None:
            return self._update(resource, before, merged, options, "", entries), False
        merged["metadata"]["name"] = name
        quiet = Options(manager=options.manager, dry_run=True, warnings=options.warnings)
        created = self.create(resource, namespace, merged, quiet)
        created["metadata"]["managedFields"] = entries
        if not options.dry_run:
            created = self._keep(resource, created)
        return created, True

    def _update(
        self,
        resource: Resource,
        before: Obj,
        after: Obj,
        options: Options,
        subresource: str,
        entries: list[Obj] | None = None,
    ) -> Obj:
        """Put a changed object in the place of the stored one, with everything that guards it."""
        name = name_of(before)
        wanted = after["metadata"].get("resourceVersion")
        if wanted and wanted != before["metadata"]["resourceVersion"]:
            raise conflict(resource, name)
        after = _keep_server_side(resource, before, after, subresource)
        if not resource.custom:
            after = fill(zero(resource.kind), without_nulls(after))
            _drop_empty(resource, after)
        if subresource == "status":
            if not resource.custom:
                apply_defaults(resource.kind, after)
        else:
            causes = _default_and_validate(resource, after, before)
            if causes:
                raise invalid(resource.kind, resource.group, name, causes)
            check_resize(self._cluster, resource, after, before)
        prepared = self._writes.prepare_change(
            resource, before, after, options.manager, subresource, tracked=entries is not None
        )
        if entries is not None:
            prepared = self._with_entries(before, prepared, entries)
        elif prepared is not None and options.api_version not in ("", resource.api_version):
            self._writes.track(resource, before, prepared, options.manager, subresource, options.api_version)
        if prepared is None or options.dry_run:
            return prepared or before
        if self._is_released(prepared):
            return self._writes.remove(resource, before)
        return self._store.put(resource.key, prepared)

    def _with_entries(self, before: Obj, prepared: Obj | None, entries: list[Obj]) -> Obj | None:
        if prepared is None and _without_times(entries) == _without_times(
            before["metadata"].get("managedFields", [])
        ):
            return None
        prepared = prepared or before
        return {**prepared, "metadata": {**prepared["metadata"], "managedFields": entries}}

    @staticmethod
    def _is_released(obj: Obj) -> bool:
        """Whether the last finalizer of an object that is being deleted has gone."""
        metadata = obj["metadata"]
        waiting = metadata.get("finalizers") or (obj.get("spec") or {}).get("finalizers")
        graceful = metadata.get("deletionGracePeriodSeconds", 0)
        return "deletionTimestamp" in metadata and not waiting and not graceful


def _default_and_validate(resource: Resource, obj: Obj, before: Obj | None) -> list[Obj]:
    """Fill in the defaults. Returns the causes for which the result is refused."""
    try:
        if not resource.custom:
            apply_defaults(resource.kind, obj)
        return validate(resource.built_in_kind, obj, before)
    except (AttributeError, KeyError, TypeError) as error:
        # A wrong type, in a part that `schema` doesn't describe.
        text = f"json: cannot unmarshal into Go value of type {resource.kind}: {error!r}"
        raise bad_request(_cannot_be_handled(resource, text)) from error


def _check_kind(resource: Resource, body: Obj) -> None:
    kind, version = body.get("kind"), body.get("apiVersion")
    if kind not in (None, "", resource.kind):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): "
            f"no kind {json.dumps(kind)} is registered for this request"
        )
    if version not in (None, "", resource.api_version) and str(version).rpartition("/")[0] != resource.group:
        expected = f"the API version in the data ({version}) does not match the expected API version"
        raise bad_request(f"{expected} ({resource.api_version})")


def _check_identity(resource: Resource, stated: Obj, before: Obj | None, name: str) -> None:
    """A uid or a version in what is applied is a precondition. Raises ApiError."""
    if before is None:
        if stated.get("uid"):
            text = (
                f"uid mismatch: the provided object specified uid {stated['uid']}, and no existing object was found"
            )
            raise precondition_failed(resource, name, text)
        return
    if stated.get("uid") not in (None, "", before["metadata"]["uid"]):
        wrong = invalid_value("metadata.uid", shown(stated["uid"]), "field is immutable")
        raise invalid(resource.kind, resource.group, name, [wrong])
    if stated.get("resourceVersion") not in (None, "", before["metadata"]["resourceVersion"]):
        raise conflict(resource, name)


def _cannot_be_handled(resource: Resource, text: str) -> str:
    return f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {text}'


def _names_differ(stated: str, name: str) -> str:
    return f"the name of the object ({stated}) does not match the name on the URL ({name})"


def _report_unknown(unknown: list[str], options: Options, refusal: Callable[[str], ApiError]) -> None:
    if not unknown:
        return
    listed = [f'unknown field "{path}"' for path in unknown]
    if options.strict:
        raise refusal(f"strict decoding error: {', '.join(listed)}")
    if options.warn:
        options.warnings += listed


def invalid_patch(patched: Obj, text: str) -> ApiError:
    """422 for a patch whose result is no object of the kind."""
    quoted = json.dumps(json.dumps(patched, separators=(",", ":")))
    return invalid("", "", "", [invalid_value("patch", quoted, text)])


def _keep_server_side(resource: Resource, before: Obj, after: Obj, subresource: str) -> Obj:
    """Take over what this kind of write can't change."""
    old = before["metadata"]
    metadata = {**after["metadata"]}
    for key in (
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "managedFields",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
    ):
        metadata.pop(key, None)
        if key in old:
            metadata[key] = old[key]
    for key in ("labels", "annotations", "finalizers", "ownerReferences"):
        if not metadata.get(key):
            metadata.pop(key, None)
    kept = {"kind": before["kind"], "apiVersion": before["apiVersion"], "metadata": metadata}
    if subresource == "status":
        rest = {key: value for key, value in before.items() if key not in ("status", "metadata")}
        status = {"status": after["status"]} if after.get("status") is not None else {}
        return {**rest, **kept, "metadata": dict(old), **status}
    body = {key: value for key, value in after.items() if key not in ("kind", "apiVersion", "metadata")}
    if resource.resets_status or resource.kind == "Node":
        body.pop("status", None)
        if "status" in before:
            body["status"] = before["status"]
    return {**kept, **body}


def _drop_empty(resource: Resource, obj: Obj) -> None:
    """Empty maps are not written back in the built-in types that hold data."""
    if resource.kind in ("ConfigMap", "Secret"):
        for key in ("data", "binaryData", "stringData"):
            if key in obj and not obj[key]:
                del obj[key]


def _tls_warnings(resource: Resource, obj: Obj) -> list[str]:
    if resource.kind != "Secret" or obj.get("type") != "kubernetes.io/tls":
        return []
    raw = base64.b64decode(str(obj["data"]["tls.crt"]) + "===")
    return [] if b"-----BEGIN" in raw else ["tls: failed to find any PEM data in certificate input"]


def _without_times(entries: list[Obj]) -> list[Obj]:
    return [{key: value for key, value in entry.items() if key != "time"} for entry in entries]


def missing_manager() -> ApiError:
    """422 for an apply that doesn't say who applies."""
    causes = [required_value("fieldManager", "is required for apply patch")]
    error = invalid("PatchOptions", "meta.k8s.io", "", causes)
    error.body["details"].pop("name", None)
    return error
