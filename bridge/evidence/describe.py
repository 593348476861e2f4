"""Collectors `describe` and `objects`: one object of any kind in full, and how all of a kind are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from pydantic import BaseModel, Field

from bridge.errors import InvalidInput
from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.conditions import ConditionItem, conditions_of, is_well
from bridge.evidence.objects import ObjectParams, age, meta
from bridge.model.permission import Permission
from bridge.model.permits import kind_of, permit
from bridge.model.redact import mask
from bridge.model.runbook import Strict
from bridge.model.target import ObjectRef, check_name, check_namespace
from bridge.model.workload import Document, annotations_of, at, labels_of, parse_time
from bridge.ports import ActionContext

_MOST_OBJECTS = 1000
_MOST_ITEMS = 100
_LARGEST = 64 * 1024
_MOST_NOTES = 50
_CLUSTER_WIDE = frozenset(
    {"Node", "PersistentVolume", "Namespace", "StorageClass", "ClusterIssuer", "CustomResourceDefinition"}
)
_VERSIONS = {
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ControllerRevision"), "apps/v1"),
    **dict.fromkeys(("Job", "CronJob"), "batch/v1"),
    **dict.fromkeys(("Ingress", "NetworkPolicy"), "networking.k8s.io/v1"),
    **dict.fromkeys(("Certificate", "CertificateRequest", "Issuer", "ClusterIssuer"), "cert-manager.io/v1"),
    **dict.fromkeys(("DestinationRule", "VirtualService"), "networking.istio.io/v1"),
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1",
    "StorageClass": "storage.k8s.io/v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
}
"""API versions of kinds that runbooks name often; every other kind is of the core group unless said."""


class DescribeParams(ObjectParams):
    api_version: str | None = Field(default=None, description="API version; left out: the usual one of the kind.")


class ObjectsParams(Strict):
    kind: str = Field(description="The kind, e.g. `DestinationRule`.")
    api_version: str | None = Field(default=None, description="API version; left out: the usual one of the kind.")
    namespace: str | None = Field(default=None, description="Namespace to look in; left out: the target's.")
    scope: Literal["namespace", "cluster"] = Field(
        default="namespace", description="`cluster`: those of all namespaces, and those that are in none."
    )
    labels: dict[str, str] = Field(default={}, description="Only objects with these labels.")


class DescribeFacts(Facts):
    kind: str = Field(description="Its kind.")
    name: str = Field(description="Its name.")
    namespace: str = Field(description="Its namespace; empty: it is in none.")
    uid: str = Field(description="Its uid: another one is another object.")
    generation: int = Field(description="How often its spec was changed.")
    created_at: float = Field(description="When it was made.")
    age_seconds: float = Field(description="How long ago that was.")
    deleting: bool = Field(description="Whether somebody deleted it and it is not gone yet.")
    labels: dict[str, str] = Field(description="Its labels.")
    annotations: dict[str, str] = Field(description="Its annotations, without credentials.")
    owners: list[str] = Field(description="What owns it, as `replicaset/web-1`.")
    managers: list[str] = Field(description="Programs that changed it.")
    well: bool | None = Field(description="Whether it says of itself that it is well; null: it doesn't say.")
    conditions: list[ConditionItem] = Field(description="Its conditions.")
    spec: Any = Field(description="What it is to be, without credentials; null: it has none, or it is over 64 KiB.")
    status: Any = Field(description="How it is, without credentials; null: it has none, or it is over 64 KiB.")


class ObjectItem(Facts):
    name: str = Field(description="Its name.")
    namespace: str = Field(description="Its namespace; empty: it is in none.")
    age_seconds: float = Field(description="How long ago it was made.")
    labels: dict[str, str] = Field(description="Its labels.")
    phase: str = Field(description="Its phase, such as Bound; empty: it has none.")
    well: bool | None = Field(description="Whether it says of itself that it is well; null: it doesn't say.")
    conditions: list[ConditionItem] = Field(description="Its conditions.")


class ObjectsFacts(Facts):
    total: int = Field(description="Objects that there are.")
    not_well: int = Field(description="Those that say of themselves that they are not.")
    names: list[str] = Field(description="Their names, 100 at most.")
    truncated: bool = Field(description="Whether there are more than were read.")
    items: list[ObjectItem] = Field(description="The objects, those that are not well first, 100 at most.")


class Describe(BaseCollector):
    """Secrets are not described: their dates are given by `certificates`."""

    name = "describe"
    summary = "One object of any kind: its conditions, owners, spec and status, without credentials."
    params: type[BaseModel] = DescribeParams
    result: type[BaseModel] = DescribeFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        of = kind_of(kind, params)
        wide = "" if of in _CLUSTER_WIDE or params.get("namespace") == "" else None
        return [permit(_version(of, params.get("api_version")), of, "get", namespace=wide)]

    async def gather(self, context: ActionContext, params: DescribeParams) -> DescribeFacts:
        """Return the object; raise KubeNotFound when it is not there."""
        kind = _checked(params.kind or context.target.kind)
        # An empty one says that the kind is in none.
        wide = kind in _CLUSTER_WIDE or params.namespace == ""
        namespace = "" if wide else check_namespace(params.namespace or context.target.namespace)
        name = check_name(params.name or context.target.name)
        ref = ObjectRef(_version(kind, params.api_version), kind, namespace, name, cluster=context.target.cluster)
        document = await context.reach.cluster.get(ref)
        now = context.reach.clock.now()
        conditions = conditions_of(document, now)
        created = parse_time(meta(document, "creationTimestamp"))
        managers = {str(entry.get("manager") or "") for entry in at(document, "metadata", "managedFields") or []}
        owners = at(document, "metadata", "ownerReferences") or []
        return DescribeFacts(
            kind=kind,
            name=ref.name,
            namespace=namespace,
            uid=meta(document, "uid"),
            generation=int(at(document, "metadata", "generation") or 0),
            created_at=created,
            age_seconds=age(created, now),
            deleting=bool(at(document, "metadata", "deletionTimestamp")),
            labels=_notes(labels_of(document)),
            annotations=_notes(annotations_of(document)),
            owners=[f"{str(one.get('kind')).lower()}/{one.get('name')}" for one in owners][:20],
            managers=sorted(managers - {""})[:20],
            well=is_well(conditions),
            conditions=conditions,
            spec=_bounded(document.get("spec")),
            status=_bounded(document.get("status")),
        )


class Objects(BaseCollector):
    name = "objects"
    summary = "All objects of a kind in a namespace: their names, and which say that they are not well."
    params: type[BaseModel] = ObjectsParams
    result: type[BaseModel] = ObjectsFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        of = str(params.get("kind") or kind)
        wide = params.get("scope") == "cluster" or of in _CLUSTER_WIDE
        return [permit(_version(of, params.get("api_version")), of, "list", namespace="" if wide else None)]

    async def gather(self, context: ActionContext, params: ObjectsParams) -> ObjectsFacts:
        """Return the objects; raise KubeNotFound when the cluster serves no such kind."""
        kind = _checked(params.kind)
        own = kind in _CLUSTER_WIDE
        wide = own or params.scope == "cluster"
        found = await context.reach.cluster.list(
            _version(kind, params.api_version),
            kind,
            "" if wide else check_namespace(params.namespace or context.target.namespace),
            labels=params.labels or None,
            limit=_MOST_OBJECTS,
            everywhere=wide and not own,
        )
        now = context.reach.clock.now()
        items = sorted((_item(one, now) for one in found), key=lambda i: (i.well is not False, i.namespace, i.name))
        return ObjectsFacts(
            total=len(items),
            not_well=sum(item.well is False for item in items),
            names=sorted(item.name for item in items)[:_MOST_ITEMS],
            truncated=len(found) >= _MOST_OBJECTS,
            items=items[:_MOST_ITEMS],
        )


def _item(document: Document, now: float) -> ObjectItem:
    conditions = conditions_of(document, now)
    return ObjectItem(
        name=meta(document, "name"),
        namespace=meta(document, "namespace"),
        age_seconds=age(parse_time(meta(document, "creationTimestamp")), now),
        labels=_notes(labels_of(document)),
        phase=str(at(document, "status", "phase") or ""),
        well=is_well(conditions),
        conditions=conditions,
    )


def _checked(kind: str) -> str:
    if kind == "Secret":
        raise InvalidInput("Secrets are not shown: `certificates` has the dates of those that may be read")
    return kind


def _version(kind: str, given: object) -> str:
    return str(given) if given else _VERSIONS.get(kind, "v1")


def _notes(values: Mapping[str, str]) -> dict[str, str]:
    kept = dict(sorted(values.items())[:_MOST_NOTES])
    # It repeats the whole object, with what somebody applied in clear.
    kept.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    return {key: text[:1000] for key, text in mask(kept).items()}


def _bounded(value: Any) -> Any:
    if value is None or len(msgspec.json.encode(value)) > _LARGEST:
        return None
    return mask(value)
