"""The bodies and queries of writes. Pure; used by bridge.kube.client, which sends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.errors import InvalidInput
from bridge.kube.paths import query_string
from bridge.kube.transport import FIELD_MANAGER
from bridge.model.target import ObjectRef

_PROPAGATION = frozenset({"Background", "Foreground", "Orphan"})
_LONGEST_GRACE = 86_400


def write_query(*, dry_run: bool, force: bool | None = None) -> str:
    """Return the query of a write: who we are, and whether it is only to be tried."""
    forced = None if force is None else ("true" if force else "false")
    return query_string({"fieldManager": FIELD_MANAGER, "dryRun": "All" if dry_run else None, "force": forced})


def manifest_body(ref: ObjectRef, manifest: Mapping[str, Any]) -> bytes:
    """Return the object as JSON, sure to be the one that `ref` names; raise InvalidInput when it says otherwise.

    `managedFields` are left out: the server keeps them, and refuses an apply that has them.
    """
    metadata = manifest.get("metadata")
    if not isinstance(metadata, Mapping | None):
        raise InvalidInput(f"the manifest of {ref} has no metadata that is a mapping")
    kept = {key: value for key, value in (metadata or {}).items() if key != "managedFields"}
    named = {"name": ref.name, **({"namespace": ref.namespace} if ref.namespace else {})}
    head = {"apiVersion": ref.api_version, "kind": ref.kind}
    for key, wanted, found in (
        *((key, wanted, manifest.get(key)) for key, wanted in head.items()),
        *((f"metadata.{key}", wanted, kept.get(key)) for key, wanted in named.items()),
    ):
        if found not in (None, wanted):
            raise InvalidInput(f"the manifest of {ref} says {key} {str(found)[:80]!r}, not {wanted!r}")
    if not ref.namespace and kept.get("namespace"):
        raise InvalidInput(f"the manifest of {ref} has a namespace, and the object has none")
    return msgspec.json.encode({**manifest, **head, "metadata": {**kept, **named}})


def delete_body(
    ref: ObjectRef, *, resource_version: str, grace: int | None, propagation: str, dry_run: bool
) -> bytes:
    """Return DeleteOptions (meta/v1) with the preconditions; raise InvalidInput without a uid to hold on to."""
    if propagation not in _PROPAGATION:
        raise InvalidInput(f"propagation {propagation!r} is not one of {', '.join(sorted(_PROPAGATION))}")
    options: dict[str, Any] = {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "preconditions": _preconditions(ref, resource_version),
        "propagationPolicy": propagation,
        **_grace(grace),
    }
    if dry_run:
        options["dryRun"] = ["All"]
    return msgspec.json.encode(options)


def eviction_body(ref: ObjectRef, *, grace: int | None) -> bytes:
    """Return an Eviction (policy/v1) of exactly the pod with `ref.uid`."""
    options = {"preconditions": _preconditions(ref, ""), **_grace(grace)}
    return msgspec.json.encode(
        {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "deleteOptions": options,
        }
    )


def _preconditions(ref: ObjectRef, resource_version: str) -> dict[str, str]:
    if not ref.uid:
        raise InvalidInput(f"{ref} is not removed without its uid: another object may have taken its name")
    return {"uid": ref.uid, **({"resourceVersion": resource_version} if resource_version else {})}


def _grace(seconds: int | None) -> dict[str, int]:
    if seconds is None:
        return {}
    if not 0 <= seconds <= _LONGEST_GRACE:
        raise InvalidInput(f"grace period {seconds} is not between 0 and {_LONGEST_GRACE} seconds")
    return {"gracePeriodSeconds": seconds}
