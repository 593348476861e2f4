"""Which Helm release a target is of. Pure; for the rollback and for the evidence, which have to agree on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.errors import InvalidInput
from bridge.model.target import ObjectRef, Target, check_name

MOST_RECORDS = 500
"""Of one release that are read."""
RELEASE_HELP = (
    "Name of the release; left out: the one that the target's annotation `meta.helm.sh/release-name` names, or the "
    "target's own name where its kind is HelmRelease."
)
NAMESPACE_HELP = "Namespace of the release, one of `secret_namespaces`; left out: the target's."

_API_VERSIONS = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Service": "v1"}
_RELEASE = "HelmRelease"
"""The kind of a target that is a release itself."""


def bearers(kind: str, params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return apiVersion and kind of the object that is read for the release's name; none where it is given."""
    return [(_API_VERSIONS[kind], kind)] if not params.get("release") and kind in _API_VERSIONS else []


def bearer(target: Target) -> ObjectRef | None:
    """Return the object whose annotations name the release; None where the target is the release itself.

    Raises InvalidInput for a kind of which that is not known.
    """
    name = check_name(target.name)
    if target.kind == _RELEASE:
        return None
    if target.kind not in _API_VERSIONS:
        raise InvalidInput(f"what release a {target.kind} is of is not known: set `release`")
    return ObjectRef(_API_VERSIONS[target.kind], target.kind, target.namespace, name, cluster=target.cluster)
