"""An object as it is kept for an undo, and what must not be deleted. Pure functions.

What is made again is a new object to the server: it gets another uid and no status. What the server or a controller
filled in for the old one alone is left out, so that the new one is accepted.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from bridge.model.metadata import SERVERS_OWN
from bridge.model.plan import Field
from bridge.model.workload import Document, at

_NOT_KEPT = SERVERS_OWN | {"generateName"}
NEVER: Mapping[str, str] = {
    "Namespace": "everything in it would go",
    "CustomResourceDefinition": "every object of its kind would go",
    "APIService": "the API that it serves would go",
    "PersistentVolume": "its data may go with it",
    "PersistentVolumeClaim": "its data may go with it",
    "Secret": "what it holds is not kept, and could not be put back",
    "Node": "it takes `drain`, and a person",
    "Pod": "it takes `pod_delete` or `pod_evict`",
}
"""Kinds that are not deleted by name and not kept, each with the reason."""
MAKES_OTHERS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "Deployment": (("apps/v1", "ReplicaSet"),),
    "ReplicaSet": (("v1", "Pod"),),
    "StatefulSet": (("v1", "Pod"), ("apps/v1", "ControllerRevision")),
    "DaemonSet": (("v1", "Pod"), ("apps/v1", "ControllerRevision")),
    "ReplicationController": (("v1", "Pod"),),
    "CronJob": (("batch/v1", "Job"),),
    "Job": (("v1", "Pod"),),
    "Service": (("discovery.k8s.io/v1", "EndpointSlice"),),
    "Certificate": (("cert-manager.io/v1", "CertificateRequest"),),
}
"""Kinds of which the server or a controller makes others that go with them, and of what kinds those are."""
ONCE = frozenset({"Job"})
"""Kinds that do their work when they are made: made again they would do it again."""
HARMLESS = frozenset({"EndpointSlice", "ControllerRevision"})
"""Dependents that are nothing by themselves: their loss is that of their owner."""


def kept(document: Document) -> dict[str, Any]:
    """Return what makes the object again."""
    found: dict[str, Any] = copy.deepcopy({key: value for key, value in document.items() if key != "status"})
    found["metadata"] = {key: value for key, value in found["metadata"].items() if key not in _NOT_KEPT}
    return found


def conditions_of(document: Document) -> tuple[Field, ...]:
    """Return what a deletion relies on: that the object is still what was kept of it.

    The server counts changes of most kinds (`generation`); of the others every part is compared.
    """
    generation = at(document, "metadata", "generation")
    if generation:
        return (Field("/metadata/generation", generation, generation, change=False),)
    parts = {key: value for key, value in document.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return tuple(Field(f"/{key}", value, value, change=False) for key, value in sorted(parts.items()))
