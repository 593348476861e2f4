"""Which resources the simulated cluster serves, and which it answers with 501. Read by `api` and `discovery`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bridge.demo.objects import Obj

_MAIN_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """One resource of one group. `key` names it in the store, whatever version it is read by."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    generation: bool = False
    """metadata.generation counts the changes of the spec."""
    resets_status: bool = True
    """A write to the main resource leaves status alone."""
    verbs: tuple[str, ...] = _MAIN_VERBS
    custom: bool = False
    also_versions: tuple[str, ...] = ()
    """Further versions by which the same objects can be read."""

    @property
    def key(self) -> str:
        return self.qualified

    @property
    def qualified(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def built_in_kind(self) -> str:
        """The kind, empty for a custom resource, about whose fields nothing is known."""
        return "" if self.custom else self.kind

    @property
    def list_kind(self) -> str:
        return f"{self.kind}List"


_SCALED = ("scale", "status")
_ALL = ("all",)

BUILT_IN: tuple[Resource, ...] = (
    Resource("", "v1", "configmaps", "ConfigMap", short_names=("cm",)),
    Resource("", "v1", "endpoints", "Endpoints", short_names=("ep",), singular="endpoints"),
    Resource("", "v1", "events", "Event", short_names=("ev",)),
    Resource("", "v1", "namespaces", "Namespace", False, short_names=("ns",), subresources=("status", "finalize")),
    Resource("", "v1", "nodes", "Node", False, short_names=("no",), subresources=("status",), resets_status=False),
    Resource(
        "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", short_names=("pvc",), subresources=("status",)
    ),
    Resource("", "v1", "persistentvolumes", "PersistentVolume", False, short_names=("pv",), subresources=("status",)),
    Resource(
        "",
        "v1",
        "pods",
        "Pod",
        short_names=("po",),
        categories=_ALL,
        subresources=("eviction", "log", "status"),
        generation=True,
    ),
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", short_names=("sa",)),
    Resource(
        "", "v1", "services", "Service", short_names=("svc",), categories=_ALL, subresources=("proxy", "status")
    ),
    Resource("apps", "v1", "controllerrevisions", "ControllerRevision"),
    Resource(
        "apps",
        "v1",
        "daemonsets",
        "DaemonSet",
        short_names=("ds",),
        categories=_ALL,
        subresources=("status",),
        generation=True,
    ),
    Resource(
        "apps",
        "v1",
        "deployments",
        "Deployment",
        short_names=("deploy",),
        categories=_ALL,
        subresources=_SCALED,
        generation=True,
    ),
    Resource(
        "apps",
        "v1",
        "replicasets",
        "ReplicaSet",
        short_names=("rs",),
        categories=_ALL,
        subresources=_SCALED,
        generation=True,
    ),
    Resource(
        "apps",
        "v1",
        "statefulsets",
        "StatefulSet",
        short_names=("sts",),
        categories=_ALL,
        subresources=_SCALED,
        generation=True,
    ),
    Resource(
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        False,
        verbs=("create",),
    ),
    Resource(
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        short_names=("hpa",),
        categories=_ALL,
        subresources=("status",),
        also_versions=("v1",),
    ),
    Resource(
        "batch",
        "v1",
        "cronjobs",
        "CronJob",
        short_names=("cj",),
        categories=_ALL,
        subresources=("status",),
        generation=True,
    ),
    Resource("batch", "v1", "jobs", "Job", categories=_ALL, subresources=("status",), generation=True),
    Resource("coordination.k8s.io", "v1", "leases", "Lease"),
    Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", generation=True),
    Resource(
        "networking.k8s.io",
        "v1",
        "ingresses",
        "Ingress",
        singular="ingress",
        short_names=("ing",),
        subresources=("status",),
        generation=True,
    ),
    Resource(
        "networking.k8s.io",
        "v1",
        "networkpolicies",
        "NetworkPolicy",
        short_names=("netpol",),
        generation=True,
    ),
    Resource(
        "policy",
        "v1",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        short_names=("pdb",),
        subresources=("status",),
        generation=True,
    ),
    Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", False),
    Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False),
    Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
    Resource("rbac.authorization.k8s.io", "v1", "roles", "Role"),
    Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, short_names=("sc",)),
    Resource(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        False,
        short_names=("crd", "crds"),
        subresources=("status",),
        generation=True,
    ),
)

NOT_SERVED: dict[str, str] = {
    "/openapi": "OpenAPI documents",
    "/metrics": "the API server's own metrics",
    "/logs": "the API server's own logs",
    "/debug": "profiling",
    "/apis/admissionregistration.k8s.io": "admission webhooks and policies",
    "/apis/apiregistration.k8s.io": "aggregated APIs",
    "/apis/authentication.k8s.io": "token and self subject reviews",
    "/apis/authorization.k8s.io/v1/subjectaccessreviews": "access reviews of others",
    "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews": "rules reviews",
    "/apis/certificates.k8s.io": "certificate signing requests",
    "/apis/events.k8s.io": "events by their second API (read them at /api/v1)",
    "/apis/flowcontrol.apiserver.k8s.io": "priority and fairness",
    "/apis/networking.k8s.io/v1/ingressclasses": "ingress classes",
    "/apis/networking.k8s.io/v1/ipaddresses": "addresses of services",
    "/apis/networking.k8s.io/v1/servicecidrs": "address ranges of services",
    "/apis/node.k8s.io": "runtime classes",
    "/apis/resource.k8s.io": "dynamic resource allocation",
    "/apis/scheduling.k8s.io": "priority classes",
    "/apis/storage.k8s.io/v1/csidrivers": "CSI drivers",
    "/apis/storage.k8s.io/v1/csinodes": "CSI nodes",
    "/apis/storage.k8s.io/v1/csistoragecapacities": "CSI storage capacity",
    "/apis/storage.k8s.io/v1/volumeattachments": "volume attachments",
    "/api/v1/componentstatuses": "component statuses",
    "/api/v1/limitranges": "limit ranges",
    "/api/v1/podtemplates": "pod templates",
    "/api/v1/replicationcontrollers": "replication controllers",
    "/api/v1/resourcequotas": "resource quotas",
    "pods/attach": "attach",
    "pods/binding": "binding a pod by hand",
    "pods/ephemeralcontainers": "ephemeral containers",
    "pods/portforward": "port forwarding",
    "pods/proxy": "the pod proxy",
    "pods/resize": "in-place resize",
    "nodes/proxy": "the node proxy",
    "serviceaccounts/token": "token requests",
}
"""Everything a real API server has and this one answers with 501: a path prefix (without its namespace), or
`resource/subresource`, and what it is. Unknown options of a served resource are named where they are refused."""


def not_served_reason(path: str) -> str | None:
    """What a path (its namespace already taken out) would have been, if it is on the list."""
    for prefix, what in NOT_SERVED.items():
        if prefix.startswith("/") and (path == prefix or path.startswith(f"{prefix}/")):
            return what
    return None


class Registry:
    """The served resources, the ones from custom resource definitions included."""

    def __init__(self) -> None:
        self._served: dict[tuple[str, str, str], Resource] = {}
        self._by_kind: dict[tuple[str, str], Resource] = {}
        for resource in BUILT_IN:
            self.add(resource)

    def add(self, resource: Resource) -> None:
        for version in (resource.version, *resource.also_versions):
            self._served[resource.group, version, resource.plural] = resource
            self._by_kind[resource.group, resource.kind] = resource

    def add_definition(self, definition: Obj) -> None:
        """Serve what a CustomResourceDefinition defines."""
        for resource in _resources_of(definition):
            self.add(resource)

    def remove(self, resource: Resource) -> None:
        self._served.pop((resource.group, resource.version, resource.plural), None)
        self._by_kind.pop((resource.group, resource.kind), None)

    def remove_definition(self, definition: Obj) -> None:
        for resource in _resources_of(definition):
            self.remove(resource)

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._served.get((group, version, plural))

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        group = api_version.rpartition("/")[0]
        return self._by_kind.get((group, kind))

    def __iter__(self) -> Iterator[Resource]:
        return iter(dict.fromkeys(self._served.values()))

    def group_versions(self) -> list[tuple[str, str]]:
        return list(dict.fromkeys((group, version) for group, version, _ in self._served))

    def in_version(self, group: str, version: str) -> Iterable[Resource]:
        found = [item for (grp, ver, _), item in self._served.items() if (grp, ver) == (group, version)]
        return sorted(found, key=lambda item: item.plural)


def _resources_of(definition: Obj) -> Iterator[Resource]:
    spec = definition["spec"]
    names = spec["names"]
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        subresources = tuple(sorted(version.get("subresources") or {}))
        yield Resource(
            spec["group"],
            version["name"],
            names["plural"],
            names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            singular=names.get("singular") or names["kind"].lower(),
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            subresources=subresources,
            generation=True,
            resets_status="status" in subresources,
            custom=True,
        )
