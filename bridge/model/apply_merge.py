"""What a server-side apply would change, computed from the object as it is: for plans, which may not ask the server.

Lists of the built-in kinds are merged by the keys that their types have; those of custom kinds, whose schema is not
known here, are taken as wholes, which is what the server does with them unless the schema says otherwise. Pure
functions. Source: Kubernetes, server-side apply (merge strategy, field management, conflicts).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from bridge.model.marks import REMEDIATION
from bridge.model.plan import Field, escape_token, holds
from bridge.model.quantity import canonical_quantity

_BUILT_IN = frozenset(["", "apps", "autoscaling", "batch", "policy"])
_LIST_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "resourceClaims": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "ownerReferences": ("uid",),
}
_WHOLE_MAPS = frozenset({"selector", "nodeSelector", "labelSelector", "configMapKeyRef", "secretKeyRef", "fieldRef"})
_FREE_MAPS = frozenset(
    {"labels", "annotations", "data", "binaryData", "matchLabels", "limits", "requests", "parameters"}
)
"""Maps whose keys people choose: a key called `env` in them is no list of variables."""
_SIZES = frozenset({"limits", "requests", "hard"})
_MARK = ("metadata", "annotations", REMEDIATION)
"""It is in everything that is sent, and in no manifest of a runbook."""
_SERVERS_OWN = frozenset({"apiVersion", "kind", "status"})
_OWNABLE = ("labels", "annotations", "finalizers", "ownerReferences")

Path = tuple[str, ...]
Trees = Mapping[str, Any]
"""By field manager what of `fieldsV1` is at the place that is looked at."""


class Conflict(msgspec.Struct, frozen=True):
    """A field that another manager owns and that would get another value."""

    manager: str
    field: str


def configuration_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a manifest an apply sets: no identity, status and nulls, quantities as a server has them."""
    body = {key: value for key, value in manifest.items() if key not in _SERVERS_OWN}
    meta = {key: value for key, value in (manifest.get("metadata") or {}).items() if key in _OWNABLE}
    body.pop("metadata", None)
    cleaned: dict[str, Any] = _clean({**({"metadata": meta} if meta else {}), **body}, ())
    return cleaned


def merged(current: Mapping[str, Any], config: Mapping[str, Any], api_version: str) -> dict[str, Any]:
    """Return the object with the configuration applied; what other managers set stays."""
    result: dict[str, Any] = _merge(current, config, (), is_built_in(api_version))
    return result


def changes(current: Mapping[str, Any], after: Mapping[str, Any]) -> list[Field]:
    """Return the fields that differ: mappings key by key, lists and plain values as wholes."""
    return list(_differences(current, after, ""))


def conflicts(
    current: Mapping[str, Any], config: Mapping[str, Any], api_version: str, *, manager: str
) -> list[Conflict]:
    """Return the fields that would change and belong to others; those of `manager` itself are among them."""
    entries = current.get("metadata", {}).get("managedFields") or []
    trees: dict[str, Any] = {}
    for number, entry in enumerate(entries):
        if (entry.get("manager"), entry.get("operation")) != (manager, "Apply"):
            trees[f"{number} {entry.get('manager', '')}"] = entry.get("fieldsV1") or {}
    found = _conflicts(current, config, (), trees, is_built_in(api_version))
    return [Conflict(who.partition(" ")[2], ".".join(path)) for who, path in found]


def given_up(current: Mapping[str, Any], config: Mapping[str, Any], *, manager: str) -> list[Path]:
    """Return the fields that `manager` applied before and leaves out now: the server takes them away.

    Only those in mappings, and only where nobody else owns them; items of lists stay out of it.
    """
    entries = current.get("metadata", {}).get("managedFields") or []
    ours = [e for e in entries if (e.get("manager"), e.get("operation")) == (manager, "Apply")]
    theirs = [e.get("fieldsV1") or {} for e in entries if e not in ours]
    gone: list[Path] = []
    for entry in ours:
        for path in _leaves(entry.get("fieldsV1") or {}, ()):
            if path != _MARK and not _there(config, path) and not any(_owns(tree, path) for tree in theirs):
                gone.append(path)
    return gone


def without(document: Mapping[str, Any], paths: list[Path]) -> dict[str, Any]:
    """Return a copy without what is at the paths."""
    result: dict[str, Any] = copy.deepcopy(dict(document))
    for path in paths:
        node: Any = result
        for step in path[:-1]:
            node = node.get(step) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(path[-1], None)
    return result


def is_built_in(api_version: str) -> bool:
    """Whether the API is Kubernetes' own, whose lists' keys are known."""
    group = api_version.rpartition("/")[0]
    return group in _BUILT_IN or (group.endswith(".k8s.io") and group.count(".") == 2)


def _clean(value: Any, path: Path) -> Any:
    if isinstance(value, Mapping):
        return {key: _clean(item, (*path, key)) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_clean(item, path) for item in value]
    sized = len(path) > 1 and (path[-2] in _SIZES or path[-2:] == ("capacity", "storage"))
    if sized and isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return canonical_quantity(value)
        except ValueError:
            return value
    return value


def _keys(path: Path, built_in: bool) -> tuple[str, ...] | None:
    """Return the keys that tell the items of the list at a path apart; None: it is one value."""
    field = path[-1]
    if not built_in:
        return ("uid",) if path == ("metadata", "ownerReferences") else None
    if len(path) > 1 and path[-2] in _FREE_MAPS:
        return None
    if field == "ports":
        if {"containers", "initContainers"} & set(path):
            return ("containerPort", "protocol")
        return ("port", "protocol") if path == ("spec", "ports") else None
    return _LIST_KEYS.get(field)


def _is_whole(path: Path, built_in: bool) -> bool:
    return built_in and bool(path) and path[-1] in _WHOLE_MAPS and (len(path) < 2 or path[-2] not in _FREE_MAPS)


def _identity(item: Any, keys: tuple[str, ...]) -> str:
    found = {key: item.get(key, "TCP" if key == "protocol" else None) for key in keys}
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


def _by_key(items: Any, keys: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the items by what tells them apart; None where that does not tell all of them apart."""
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        return None
    found = {_identity(item, keys): item for item in items}
    return found if len(found) == len(items) else None


def _merge(current: Any, config: Any, path: Path, built_in: bool) -> Any:
    if isinstance(config, Mapping) and isinstance(current, Mapping) and not _is_whole(path, built_in):
        result = {key: copy.deepcopy(value) for key, value in current.items()}
        for key, value in config.items():
            result[key] = _merge(current.get(key), value, (*path, key), built_in)
        return result
    if isinstance(config, list) and isinstance(current, list) and path:
        if path == ("metadata", "finalizers"):
            return current + [item for item in config if item not in current]
        keys = _keys(path, built_in)
        if keys and (old := _by_key(current, keys)) is not None and (new := _by_key(config, keys)) is not None:
            kept = [_merge(item, new.get(name, item), path, built_in) for name, item in old.items()]
            return kept + [copy.deepcopy(item) for name, item in new.items() if name not in old]
    # What is there already with a server's defaults in it stays as it is.
    return copy.deepcopy(current if current is not None and holds(current, config) else config)


def _differences(before: Any, after: Any, pointer: str) -> Iterator[Field]:
    if isinstance(before, Mapping) and isinstance(after, Mapping) and (before or not pointer):
        for key in sorted({*before, *after}):
            if not pointer and key in _SERVERS_OWN:
                continue
            yield from _differences(before.get(key), after.get(key), f"{pointer}/{escape_token(key)}")
    elif before != after and not (before is None and holds(None, after)):
        yield Field(pointer, before, after, filled=True)


def _conflicts(current: Any, config: Any, path: Path, trees: Trees, built_in: bool) -> Iterator[tuple[str, Path]]:
    if not trees:
        return
    if isinstance(config, Mapping) and isinstance(current, Mapping) and not _is_whole(path, built_in):
        for key, value in config.items():
            inside = {who: tree[f"f:{key}"] for who, tree in trees.items() if f"f:{key}" in tree}
            yield from _conflicts(current.get(key), value, (*path, key), inside, built_in)
        return
    keys = _keys(path, built_in) if path and isinstance(config, list) and isinstance(current, list) else None
    if keys and (old := _by_key(current, keys)) is not None and (new := _by_key(config, keys)) is not None:
        for name, item in new.items():
            if name in old:
                inside = {who: sub for who, tree in trees.items() if (sub := _item(tree, name)) is not None}
                yield from _conflicts(old[name], item, (*path, name), inside, built_in)
        return
    if path != ("metadata", "finalizers") and not holds(current, config):
        yield from ((who, path) for who in trees)


def _item(tree: Mapping[str, Any], name: str) -> Any:
    for key, inside in tree.items():
        if key.startswith("k:") and json.dumps(json.loads(key[2:]), sort_keys=True, separators=(",", ":")) == name:
            return inside
    return None


def _leaves(tree: Mapping[str, Any], path: Path) -> Iterator[Path]:
    for key, inside in tree.items():
        if not key.startswith("f:"):
            continue
        here = (*path, key[2:])
        below = [name for name in inside if name != "."]
        if not below:
            yield here
        elif all(name.startswith("f:") for name in below):
            yield from _leaves(inside, here)


def _there(document: Any, path: Path) -> bool:
    for step in path:
        if not isinstance(document, Mapping) or step not in document:
            return False
        document = document[step]
    return True


def _owns(tree: Mapping[str, Any], path: Path) -> bool:
    for step in path:
        if f"f:{step}" not in tree:
            return False
        tree = tree[f"f:{step}"]
    return True
