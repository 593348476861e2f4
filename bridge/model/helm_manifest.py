"""The objects of a release, from the manifest in its record: parsing, identity and order. Pure functions.

The text is what Helm sent to the API server: YAML 1.1 documents, read as Go's decoder reads them (`on` is true,
`12:30` and dates are texts). Every object gets what Helm adds when it sends it. What is one object in two manifests
is the same one by group, kind, namespace and name.
Source: helm.sh/helm/v3, pkg/releaseutil (kind order), pkg/action/validate.go (labels and annotations that it adds).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bridge.errors import InvalidInput
from bridge.model.target import check_namespace

RELEASE_NAME = "meta.helm.sh/release-name"
RELEASE_NAMESPACE = "meta.helm.sh/release-namespace"
MANAGED_BY = "app.kubernetes.io/managed-by"
POLICY = "helm.sh/resource-policy"


def _words(text: str) -> list[str]:
    return text.split()


_LARGEST = 4 * 1024 * 1024
_MOST_VALUES = 300_000
_DEEPEST = 100
_SPLIT = re.compile(r"^---[^\n]*$", re.M)
_COMMENT = re.compile(r"(?:\s|#[^\n]*(?:\n|\Z))*\Z")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)\Z")
_BASED = re.compile(r"([-+]?)0(x[0-9a-fA-F_]+|o?[0-7_]+|b[01_]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_BASES = {"x": 16, "o": 8, "b": 2}
_ORDER = _words(
    "PriorityClass Namespace NetworkPolicy ResourceQuota LimitRange PodSecurityPolicy PodDisruptionBudget "
    "ServiceAccount Secret SecretList ConfigMap StorageClass PersistentVolume PersistentVolumeClaim "
    "CustomResourceDefinition ClusterRole ClusterRoleList ClusterRoleBinding ClusterRoleBindingList Role RoleList "
    "RoleBinding RoleBindingList Service DaemonSet Pod ReplicationController ReplicaSet Deployment "
    "HorizontalPodAutoscaler StatefulSet Job CronJob IngressClass Ingress APIService"
)
_RANK = {kind: rank for rank, kind in enumerate(_ORDER)}
_CLUSTER_WIDE = frozenset(
    _words(
        "PriorityClass Namespace PodSecurityPolicy StorageClass PersistentVolume CustomResourceDefinition "
        "ClusterRole ClusterRoleBinding IngressClass APIService MutatingWebhookConfiguration "
        "ValidatingWebhookConfiguration ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding RuntimeClass "
        "CSIDriver GatewayClass ClusterIssuer"
    )
)


class Key(msgspec.Struct, frozen=True, order=True):
    """What makes an object the same one in two manifests."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


class Manifest(msgspec.Struct, frozen=True):
    """One object of a release."""

    key: Key
    api_version: str
    document: dict[str, Any]
    """Without what Helm adds when it sends it: see `as_sent`."""

    @property
    def rank(self) -> int:
        """Its place in the order in which Helm installs; kinds that Helm doesn't know come last."""
        return _RANK.get(self.key.kind, len(_RANK))


def objects_of(
    text: str, namespace: str, *, naming: str = "", known: dict[str, Any] | None = None
) -> dict[Key, Manifest]:
    """Return the objects of a release in `namespace`, in the order in which Helm installs them.

    Reading YAML is slow (125 kB a second): with `naming` only documents that hold this text are read, and what is
    in `known` (document's text to its value, added to) is not read again. Nobody may change the values.

    Raises InvalidInput for what is no list of Kubernetes objects; its text quotes nothing but kinds and names.
    """
    if len(text) > _LARGEST:
        raise InvalidInput(f"the manifest is longer than {_LARGEST} characters")
    build = _Build()
    found: dict[Key, Manifest] = {}
    for part in _SPLIT.split(text):
        if naming not in part or _COMMENT.match(part):
            continue
        document = known[part] if known is not None and part in known else build.document(part)
        if known is not None:
            known[part] = document
        for item in _items(document):
            manifest = _manifest(item, namespace)
            found[manifest.key] = manifest
    return dict(sorted(found.items(), key=lambda entry: entry[1].rank))


def as_sent(manifest: Manifest, release: str, namespace: str) -> dict[str, Any]:
    """Return the object as Helm sends it: with the label and the annotations that say whose it is."""
    document = copy.deepcopy(manifest.document)
    meta = document["metadata"]
    meta["labels"] = {**(meta.get("labels") or {}), MANAGED_BY: "Helm"}
    meta["annotations"] = {
        **(meta.get("annotations") or {}),
        RELEASE_NAME: release,
        RELEASE_NAMESPACE: namespace,
    }
    return document


def removed(old: Iterable[Key], new: Iterable[Key]) -> list[Key]:
    """Return what is no more, last installed first: a workload goes before what it uses."""
    staying = set(new)
    return [key for key in reversed(list(old)) if key not in staying]


def _items(document: Any) -> list[dict[str, Any]]:
    if not isinstance(document, dict):
        raise InvalidInput("the manifest has a document that is no object")
    if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        return [item for item in document["items"] if isinstance(item, dict)]
    return [document]


def _manifest(document: dict[str, Any], namespace: str) -> Manifest:
    api_version, kind, meta = document.get("apiVersion"), document.get("kind"), document.get("metadata")
    if not isinstance(api_version, str) or not isinstance(kind, str) or not isinstance(meta, dict):
        raise InvalidInput("the manifest has an object without apiVersion, kind or metadata")
    name = meta.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidInput(f"the manifest has a {kind[:63]} without a name")
    place = "" if kind in _CLUSTER_WIDE else check_namespace(meta.get("namespace") or namespace)
    return Manifest(Key(api_version.rpartition("/")[0], kind, place, name), api_version, document)


class _Build:
    """Turns YAML nodes into plain values, with a limit on how many."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def document(self, text: str) -> Any:
        try:
            root = YAML(typ="safe", pure=True).compose(text)
        except (YAMLError, RecursionError) as error:
            raise InvalidInput(f"the manifest is not YAML ({type(error).__name__})") from None
        return None if root is None else self._value(root, 0)

    def _value(self, node: Node, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _DEEPEST:
            raise InvalidInput(f"the manifest holds more than {_MOST_VALUES} values or {_DEEPEST} levels")
        if isinstance(node, MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, SequenceNode):
            return [self._value(item, depth + 1) for item in node.value]
        return plain_scalar(node.value) if _is_plain(node) else str(node.value)

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if _is_plain(key) and key.value == "<<":
                parts = value.value if isinstance(value, SequenceNode) else [value]
                for part in reversed(parts):
                    merged.update(self._value(part, depth + 1))
            else:
                found[str(key.value)] = self._value(value, depth + 1)
        return {**merged, **found}


def _is_plain(node: Node) -> bool:
    """Whether a scalar was written without quotes and without a tag of a text."""
    return isinstance(node, ScalarNode) and not node.style


def plain_scalar(text: str) -> Any:
    """Return the value of an unquoted scalar as Go's YAML decoder takes it."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return int(text.replace("_", ""))
    if match := _BASED.match(text):
        sign, digits = match[1], match[2]
        base = _BASES.get(digits[0], 8)
        number = int(digits[1:] if digits[0] in _BASES else digits, base)
        return -number if sign == "-" else number
    return float(text) if _FLOAT.match(text) else text
