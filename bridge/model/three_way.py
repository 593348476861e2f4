"""The three-way merge that Helm makes: of the old manifest, the new one and the object that is there. Pure functions.

What the new manifest says is so; what only the old one said goes; what neither says (a server's default, a sidecar,
another one's annotation) stays. Lists of built-in kinds that have a key are merged item by item, others and all
lists of custom kinds are one value.
Sources: Kubernetes, strategicpatch.CreateThreeWayMergePatch with the patch tags of its types; helm.sh/helm/v3,
pkg/kube createPatch (custom kinds: the JSON merge patch, RFC 7386, from the old to the new manifest).
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bridge.model.metadata import SERVERS_OWN
from bridge.model.plan import Field, escape_token
from bridge.model.quantity import canonical_quantity

Path = tuple[str, ...]
Doc = dict[str, Any]

_KEYS: Mapping[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "ownerReferences": "uid",
    "webhooks": "name",
    "secrets": "name",
}
"""Merge keys of the lists that have one wherever they are; `ports` depends on where it is."""
_RETAIN = frozenset({"strategy", "volumes", "resourceClaims"})
"""Where an object is of one sort: with another, what the new one doesn't say goes (patch strategy retainKeys)."""
_QUANTITIES = frozenset({"limits", "requests", "capacity", "hard", "default", "defaultRequest"})
_QUANTITY = frozenset({"sizeLimit", "averageValue"})
_EMPTY: tuple[Any, ...] = ({}, [], "", 0, False)
"""What the server does not write down."""
_BUILT_IN = frozenset({"", "apps", "batch", "autoscaling", "policy", "extensions"})


def is_built_in(group: str, kind: str) -> bool:
    """Whether the API server itself defines the kind. Definitions of custom kinds are merged as custom ones are."""
    own = group in _BUILT_IN or group.endswith(".k8s.io")
    return own and kind != "CustomResourceDefinition" and not group.startswith(("gateway.", "snapshot.", "metrics."))


def three_way(old: Doc, new: Doc, live: Doc, *, built_in: bool) -> Doc:
    """Return the object as it is to be; `live` as it is where nothing differs."""
    old, new = _prepared(old), _prepared(new)
    if not built_in:
        merged = _merge_json(old, new, live)
        return merged if isinstance(merged, dict) else live
    return _map(old, new, live, ())


def _prepared(document: Doc) -> Doc:
    """Return what a manifest can say: no status, nothing that the server writes, a Secret's texts as its data."""
    said = {key: value for key, value in document.items() if key not in ("status", "stringData")}
    said["metadata"] = {k: v for k, v in _as_map(document.get("metadata")).items() if k not in SERVERS_OWN}
    texts = _as_map(document.get("stringData"))
    if document.get("kind") == "Secret" and texts:
        encoded = {key: base64.b64encode(str(text).encode()).decode() for key, text in texts.items()}
        said["data"] = {**_as_map(document.get("data")), **encoded}
    return said


def _map(old: Doc, new: Doc, live: Doc, path: Path) -> Doc:
    merged = {key: value for key, value in live.items() if key not in old or _is_set(new, key)}
    for key, wanted in new.items():
        if wanted is None:
            merged.pop(key, None)
        elif not _left_to_the_server(old.get(key), wanted, live.get(key)):
            merged[key] = _value(old.get(key), wanted, live.get(key), (*path, key))
    return merged


def _left_to_the_server(old: Any, new: Any, live: Any) -> bool:
    """Whether both manifests have an empty value that the server dropped, or filled in."""
    return old == new and new in _EMPTY and (live is None or new == "")


def _is_set(new: Doc, key: str) -> bool:
    # `key: null` in a manifest takes the key away, as leaving it out does.
    return new.get(key) is not None


def _value(old: Any, new: Any, live: Any, path: Path) -> Any:
    if isinstance(new, dict):
        merged = _map(_as_map(old), new, _as_map(live), path)
        return _retained(merged, new, live, path[-1])
    if isinstance(new, list):
        return _list(old if isinstance(old, list) else [], new, live if isinstance(live, list) else [], path)
    wanted = _canonical(new, path)
    return live if _same(live, wanted) else wanted


def _retained(merged: Doc, new: Doc, live: Any, field: str) -> Doc:
    if field not in _RETAIN or merged == live:
        return merged
    return {key: value for key, value in merged.items() if key in new}


def _list(old: list[Any], new: list[Any], live: list[Any], path: Path) -> list[Any]:
    if path[:1] == ("metadata",) and path[-1] == "finalizers":
        gone = [item for item in old if item not in new]
        return [item for item in live if item not in gone] + [item for item in new if item not in live]
    identity = _identity(path, old, new, live)
    if identity is None:
        taken = _covers(live, new, path) and (old == new or not _covers(live, old, path))
        return live if taken else [_cleaned(item, (*path, "")) for item in new]
    before = {identity(item): item for item in old}
    there = {identity(item): item for item in live}
    merged = {}
    for item in new:
        name = identity(item)
        found = _map(before.get(name, {}), item, there.get(name, {}), (*path, ""))
        merged[name] = _retained(found, item, there.get(name, {}), path[-1])
    foreign = {name: item for name, item in there.items() if name not in merged and name not in before}
    return _ordered(merged, foreign, list(there))


def _ordered(merged: dict[Any, Any], foreign: dict[Any, Any], there: list[Any]) -> list[Any]:
    """Return the new manifest's items in its order; each foreign one stays behind the neighbour that it had."""
    order = list(merged)
    for name in foreign:
        before = [other for other in there[: there.index(name)] if other in order]
        order.insert(order.index(before[-1]) + 1 if before else 0, name)
    both = {**merged, **foreign}
    return [both[name] for name in order]


def _identity(path: Path, *lists: Sequence[Any]) -> Callable[[Any], Any] | None:
    """Return what tells items of a list apart; None for a list that is one value."""
    key = _key(path)
    items = [item for entries in lists for item in entries]
    if key is None or not all(isinstance(item, dict) and key in item for item in items):
        return None
    if all(_unique([item[key] for item in entries]) for entries in lists):
        return lambda item: item[key]
    # One port under two protocols: the server takes them for two, a strategic merge by the port alone would not.
    pairs = [[(item[key], item.get("protocol", "TCP")) for item in entries] for entries in lists]
    if path[-1] == "ports" and all(_unique(entries) for entries in pairs):
        return lambda item: (item[key], item.get("protocol", "TCP"))
    return None


def _key(path: Path) -> str | None:
    field = path[-1]
    if field == "ports":
        if path[-3:-2] in (("containers",), ("initContainers",)):
            return "containerPort"
        return "port" if path == ("spec", "ports") else None
    if field == "secrets" and path != ("secrets",):
        return None
    if field == "imagePullSecrets" and path == ("imagePullSecrets",):
        # A ServiceAccount's is one value.
        return None
    return _KEYS.get(field)


def _unique(values: list[Any]) -> bool:
    return len(set(map(str, values))) == len(values)


def _covers(live: Any, new: Any, path: Path) -> bool:
    """Whether the object has what is asked for, with nothing but defaults of the server beside it."""
    if live is None:
        return new is None or new in _EMPTY
    if isinstance(new, dict):
        return isinstance(live, dict) and all(_covers(live.get(key), new[key], (*path, key)) for key in new)
    if isinstance(new, list):
        inside = (*path, "")
        pairs = isinstance(live, list) and len(live) == len(new)
        return pairs and all(_covers(one, other, inside) for one, other in zip(live, new, strict=True))
    return new is None or _same(live, _canonical(new, path))


def _cleaned(value: Any, path: Path) -> Any:
    """Return a new value as the server keeps it: without nulls, quantities in its own writing."""
    if isinstance(value, dict):
        return {key: _cleaned(item, (*path, key)) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_cleaned(item, (*path, "")) for item in value]
    return _canonical(value, path)


def _canonical(value: Any, path: Path) -> Any:
    if path[-2:-1] and (path[-2] in _QUANTITIES or path[-1] in _QUANTITY):
        try:
            return canonical_quantity(value)
        except ValueError:
            return value
    return value


def _same(live: Any, wanted: Any) -> bool:
    """Whether two plain values are one; Python's `1 == True` is not JSON's."""
    return bool(live == wanted) and isinstance(live, bool) == isinstance(wanted, bool)


def _as_map(value: Any) -> Doc:
    return value if isinstance(value, dict) else {}


def _merge_json(old: Any, new: Any, live: Any) -> Any:
    """Apply to `live` what differs between two manifests, as a JSON merge patch would."""
    if old == new:
        return live
    if not isinstance(new, dict) or not isinstance(old, dict):
        return copy.deepcopy(new)
    merged = dict(live) if isinstance(live, dict) else {}
    for key in old.keys() | new.keys():
        if new.get(key) is None:
            if old.get(key) is not None or key in new:
                merged.pop(key, None)
        elif old.get(key) != new[key]:
            merged[key] = _merge_json(old.get(key), new[key], merged.get(key))
    return merged


def fields_between(live: Any, wanted: Any) -> list[Field]:
    """Return the fields that turn one object into the other, as fine as a plan can hold them.

    Items of two lists that have the same keys in the same order are compared one by one, relying on the key at its
    place; any other list that differs is one value.
    """
    return list(_between(live, wanted, "", ()))


def _between(live: Any, wanted: Any, pointer: str, path: Path) -> list[Field]:
    if live == wanted and _same_types(live, wanted):
        return []
    if isinstance(live, dict) and isinstance(wanted, dict):
        found: list[Field] = []
        for key in sorted(live.keys() | wanted.keys()):
            inner = f"{pointer}/{escape_token(key)}"
            found += _between(live.get(key), wanted.get(key), inner, (*path, key))
        return found
    if isinstance(live, list) and isinstance(wanted, list) and (key := _aligned(live, wanted, path)):
        found = []
        for index, (one, other) in enumerate(zip(live, wanted, strict=True)):
            inside = _between(one, other, f"{pointer}/{index}", (*path, ""))
            if inside:
                relied = Field(f"{pointer}/{index}/{key}", one[key], one[key], change=False, lasting=True)
                found += [relied, *inside]
        return found
    return [Field(pointer, copy.deepcopy(live), copy.deepcopy(wanted))]


def _aligned(live: list[Any], wanted: list[Any], path: Path) -> str | None:
    key = _key(path) if path else None
    if key is None or len(live) != len(wanted):
        return None
    pairs = zip(live, wanted, strict=True)
    same = all(isinstance(a, dict) and isinstance(b, dict) and a.get(key) == b.get(key) for a, b in pairs)
    return key if same and all(item.get(key) is not None for item in live) else None


def _same_types(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool)
