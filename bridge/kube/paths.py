"""Request paths and query values for the Kubernetes API. Pure; used by bridge.kube.client alone.

Every part is checked before it becomes part of a path. A name of `..` would otherwise turn a request about one
object into a request about its namespace, and an empty one into a request about the whole collection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from bridge.errors import InvalidInput
from bridge.model.target import check_name, check_namespace

_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}\Z")
_API_VERSION = re.compile(r"(?:[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?v[0-9][a-z0-9]{0,30}\Z")
_QUALIFIED = r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_REQUIREMENT = re.compile(
    rf"!?{_QUALIFIED}\Z|{_QUALIFIED}(?:=|==|!=){_LABEL_VALUE}\Z"
    rf"|{_QUALIFIED} (?:in|notin) \({_LABEL_VALUE}(?:,{_LABEL_VALUE})*\)\Z"
)
_KEY = re.compile(rf"{_QUALIFIED}\Z")
_VALUE = re.compile(rf"{_LABEL_VALUE}\Z")
_FIELD = re.compile(r"[A-Za-z][A-Za-z.]{0,63}\Z")
_FIELD_VALUE = re.compile(r"[-A-Za-z0-9_./:]{1,253}\Z")
_PORT = re.compile(r"(?P<scheme>https?:)?(?P<port>[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)\Z")
_SEGMENT = re.compile(r"[-A-Za-z0-9._~!$&'()*+,;=:@]*\Z")
_QUERY = re.compile(r"[-A-Za-z0-9._~!$'()*+,;=:@/?&%]*\Z")
_HEALTH = re.compile(r"/(?:livez|readyz|healthz)(?:/[a-z0-9][-a-z0-9]{0,62})*(?:\?verbose)?\Z|/version\Z")
_MOST_ARGUMENTS = 100
_LONGEST_ARGUMENTS = 8192
SUBRESOURCES = frozenset({"", "status", "scale", "eviction"})


class Resource(msgspec.Struct, frozen=True):
    """How a kind is called in paths, and whether its objects live in namespaces."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def label(self) -> str:
        """The name that a Role uses, e.g. `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


def _known(api_version: str, kinds: Mapping[str, str], *, namespaced: bool = True) -> dict[tuple[str, str], Resource]:
    return {(api_version, kind): Resource(api_version, kind, plural, namespaced) for kind, plural in kinds.items()}


KNOWN: Mapping[tuple[str, str], Resource] = {
    **_known(
        "v1",
        {
            "Pod": "pods",
            "Service": "services",
            "Endpoints": "endpoints",
            "ConfigMap": "configmaps",
            "Secret": "secrets",
            "Event": "events",
            "ServiceAccount": "serviceaccounts",
            "PersistentVolumeClaim": "persistentvolumeclaims",
            "ReplicationController": "replicationcontrollers",
            "ResourceQuota": "resourcequotas",
            "LimitRange": "limitranges",
        },
    ),
    **_known(
        "v1",
        {"Node": "nodes", "Namespace": "namespaces", "PersistentVolume": "persistentvolumes"},
        namespaced=False,
    ),
    **_known(
        "apps/v1",
        {
            "Deployment": "deployments",
            "StatefulSet": "statefulsets",
            "DaemonSet": "daemonsets",
            "ReplicaSet": "replicasets",
            "ControllerRevision": "controllerrevisions",
        },
    ),
    **_known("autoscaling/v2", {"HorizontalPodAutoscaler": "horizontalpodautoscalers"}),
    **_known("batch/v1", {"Job": "jobs", "CronJob": "cronjobs"}),
    **_known("discovery.k8s.io/v1", {"EndpointSlice": "endpointslices"}),
    **_known("events.k8s.io/v1", {"Event": "events"}),
    **_known("networking.k8s.io/v1", {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}),
    **_known("networking.k8s.io/v1", {"IngressClass": "ingressclasses"}, namespaced=False),
    **_known("policy/v1", {"PodDisruptionBudget": "poddisruptionbudgets"}),
    **_known("storage.k8s.io/v1", {"StorageClass": "storageclasses"}, namespaced=False),
    **_known("rbac.authorization.k8s.io/v1", {"Role": "roles", "RoleBinding": "rolebindings"}),
    **_known(
        "rbac.authorization.k8s.io/v1",
        {"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings"},
        namespaced=False,
    ),
    **_known("apiextensions.k8s.io/v1", {"CustomResourceDefinition": "customresourcedefinitions"}, namespaced=False),
    **_known("metrics.k8s.io/v1beta1", {"PodMetrics": "pods"}),
    **_known("metrics.k8s.io/v1beta1", {"NodeMetrics": "nodes"}, namespaced=False),
    **_known("cert-manager.io/v1", {"Certificate": "certificates", "CertificateRequest": "certificaterequests"}),
}
"""The kinds that need no discovery: discovery costs a request and a permission."""


def check_kind(api_version: object, kind: object) -> tuple[str, str]:
    """Return both if they have the form of an apiVersion and a kind; raise InvalidInput otherwise."""
    if not isinstance(api_version, str) or not _API_VERSION.match(api_version) or ".." in api_version:
        raise InvalidInput(f"apiVersion {_shown(api_version)} is not of the form v1 or group/v1")
    if not isinstance(kind, str) or not _KIND.match(kind):
        raise InvalidInput(f"kind {_shown(kind)} is not the name of a Kubernetes kind")
    return api_version, kind


def group_path(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def collection_path(resource: Resource, namespace: str, *, everywhere: bool = False) -> str:
    """Return the path of all objects of a kind in a namespace, or, only when asked for, in all of them.

    Raises InvalidInput for a wrong namespace; an empty one never widens a request by itself.
    """
    base = group_path(resource.api_version)
    if everywhere and namespace:
        raise InvalidInput(f"all namespaces are asked for, and {_shown(namespace)} as well")
    if resource.namespaced and not everywhere:
        return f"{base}/namespaces/{check_namespace(namespace)}/{resource.plural}"
    if namespace:
        raise InvalidInput(f"{resource.kind} is cluster-wide: it has no namespace, not {_shown(namespace)}")
    return f"{base}/{resource.plural}"


def object_path(resource: Resource, namespace: str, name: str, subresource: str = "") -> str:
    """Return the path of one object; raise InvalidInput for names that could widen the request."""
    if subresource not in SUBRESOURCES:
        raise InvalidInput(f"subresource {_shown(subresource)} is not one of status, scale and eviction")
    path = f"{collection_path(resource, namespace)}/{check_name(name)}"
    return f"{path}/{subresource}" if subresource else path


def service_path(namespace: str, service: str, port: str, path: str) -> str:
    """Return the path of the API server's service proxy. `port` is a name or number, `https:` before it for TLS."""
    place = _PORT.match(port) if isinstance(port, str) else None
    if place is None:
        raise InvalidInput(f"port {_shown(port)} is not a service port's name or number")
    name = f"{place['scheme'] or ''}{check_namespace(service, 'service')}:{place['port']}"
    before, _, query = path.partition("?")
    segments = before.split("/")
    if (
        not path.startswith("/")
        or any(s in (".", "..") or not _SEGMENT.match(s) for s in segments[1:])
        or not _QUERY.match(query)
        or len(path) > 1024
    ):
        raise InvalidInput(f"path {_shown(path)} is not a plain absolute path, with a query at most")
    return f"/api/v1/namespaces/{check_namespace(namespace)}/services/{name}/proxy{path}"


def health_path(path: str) -> str:
    """Return the path if it is one of the server's own health endpoints; raise InvalidInput otherwise."""
    if not isinstance(path, str) or not _HEALTH.match(path):
        raise InvalidInput(f"path {_shown(path)} is not a health endpoint such as /readyz?verbose")
    return path


def command_query(command: Sequence[str], container: str) -> str:
    """Return the query of an exec: one `command` for each argument, as they are, in order.

    Raises InvalidInput for a text in the list's place, an empty list, and what no program can be given.
    """
    if isinstance(command, str | bytes) or not command or not all(isinstance(part, str) for part in command):
        raise InvalidInput("a command is a list of arguments, not a line of text")
    if any("\0" in part for part in command) or not command[0]:
        raise InvalidInput("an argument holds a NUL character, or the program has no name")
    if len(command) > _MOST_ARGUMENTS or sum(len(part.encode("utf-8", "replace")) for part in command) > (
        _LONGEST_ARGUMENTS
    ):
        raise InvalidInput(f"a command has at most {_MOST_ARGUMENTS} arguments and {_LONGEST_ARGUMENTS} bytes")
    arguments = "".join(f"&command={quote(part, safe='', errors='replace')}" for part in command)
    return f"?container={container}&stdin=false&stdout=true&stderr=true&tty=false{arguments}"


def label_selector(labels: Mapping[str, str] | str | None) -> str | None:
    """Return the value of `labelSelector`, or None for no selection.

    An empty mapping or text is refused: it would mean everything. So is what is no plain requirement, so that a
    label's value cannot add terms of its own.
    """
    if labels is None:
        return None
    if isinstance(labels, str):
        terms = [term.strip() for term in re.split(r",(?![^(]*\))", labels)]
        if not all(_REQUIREMENT.match(term) for term in terms):
            raise InvalidInput(f"label selector {_shown(labels)} is empty or malformed")
        return ",".join(terms)
    if not labels:
        raise InvalidInput("an empty label selector selects everything: refused")
    for key, value in labels.items():
        if not (isinstance(key, str) and isinstance(value, str) and _KEY.match(key) and _VALUE.match(value)):
            raise InvalidInput(f"label {_shown(key)}={_shown(value)} is not valid in a selector")
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def field_selector(fields: Mapping[str, str] | None) -> str | None:
    """Return the value of `fieldSelector`; raise InvalidInput for a field or value that could add terms."""
    if not fields:
        return None
    for field, value in fields.items():
        if not (isinstance(value, str) and _FIELD.match(field) and _FIELD_VALUE.match(value)):
            raise InvalidInput(f"field {_shown(field)}={_shown(value)} is not valid in a selector")
    return ",".join(f"{field}={value}" for field, value in sorted(fields.items()))


def query_string(params: Mapping[str, str | int | None]) -> str:
    """Return `?a=b&…` of those that are set, or nothing."""
    pairs = [
        f"{quote(key, safe='')}={quote(str(value), safe='')}" for key, value in params.items() if value is not None
    ]
    return "?" + "&".join(pairs) if pairs else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
