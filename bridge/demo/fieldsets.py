"""managedFields: who set which field. Called on every write; the same sets decide conflicts of server-side apply.

A set of fields is held as the API writes it (`fieldsV1`): a tree of `f:<field>`, `k:<keys>` and `v:<value>`, where
`.` marks the node itself.
"""

from __future__ import annotations

import json
from typing import Any

from bridge.demo.objects import Obj, clone
from bridge.demo.structure import is_atomic_map, is_set, list_keys

Path = tuple[str, ...]
Fields = set[Path]

_UNMANAGED = {
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
}
_MISSING = object()


def item_step(item: Obj, keys: tuple[str, ...]) -> str:
    """The step to one item of a list that is merged by key."""
    found = {key: item.get(key, "TCP" if key == "protocol" else None) for key in keys}
    return "k:" + json.dumps(found, separators=(",", ":"), sort_keys=True)


def collect(value: Any, *, kind: str, dots: bool = False) -> Fields:
    """The leaves of a configuration: what an apply lays claim to."""
    found: Fields = set()
    body = {key: item for key, item in value.items() if key not in ("apiVersion", "kind")}
    _walk(_MISSING, body, (), (), found, kind)
    return {path for path in found if dots or not _is_container(path, found)}


def _is_container(path: Path, fields: Fields) -> bool:
    return any(len(other) > len(path) and other[: len(path)] == path for other in fields) and not path[-1].startswith(
        "k:"
    )


def compare(old: Obj, new: Obj, *, kind: str) -> tuple[Fields, Fields]:
    """What a write set (added or changed), and what it removed."""
    changed: Fields = set()
    removed: Fields = set()
    _walk(_strip(old), _strip(new), (), (), changed, kind)
    _walk(_strip(new), _strip(old), (), (), removed, kind, only_missing=True)
    return changed, removed


def _strip(obj: Obj) -> Obj:
    kept = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
    kept["metadata"] = {key: value for key, value in obj.get("metadata", {}).items() if key not in _UNMANAGED}
    return kept


def _walk(
    old: Any,
    new: Any,
    path: Path,
    steps: Path,
    found: Fields,
    kind: str,
    *,
    only_missing: bool = False,
) -> None:
    """Put into `found` the steps to what `new` has and `old` doesn't (or, by default, has otherwise)."""
    if isinstance(new, dict) and new and not (path and is_atomic_map(path, kind=kind)):
        if old is _MISSING and steps:
            found.add(steps)
        before = old if isinstance(old, dict) else {}
        for key, value in new.items():
            past = before.get(key, _MISSING)
            _walk(past, value, (*path, key), (*steps, f"f:{key}"), found, kind, only_missing=only_missing)
        return
    if isinstance(new, list) and new and path:
        keys = list_keys(path, kind=kind)
        if is_set(path) or (keys and all(isinstance(item, dict) for item in new)):
            _walk_items(old, new, path, steps, found, kind, keys, only_missing)
            return
    differs = old is _MISSING if only_missing else old != new
    if differs and steps:
        found.add(steps)


def _walk_items(
    old: Any,
    new: list[Any],
    path: Path,
    steps: Path,
    found: Fields,
    kind: str,
    keys: tuple[str, ...] | None,
    only_missing: bool,
) -> None:
    if old is _MISSING:
        found.add(steps)
    before = old if isinstance(old, list) else []
    if keys is None or is_set(path):
        found.update((*steps, f"v:{json.dumps(item)}") for item in new if item not in before)
        return
    past = {item_step(item, keys): item for item in before if isinstance(item, dict)}
    for item in new:
        step = item_step(item, keys)
        earlier = past.get(step, _MISSING)
        if path[-1] == "ownerReferences":
            if earlier is _MISSING:
                found.add((*steps, step))
            continue
        _walk(earlier, item, path, (*steps, step), found, kind, only_missing=only_missing)


def to_tree(fields: Fields) -> Obj:
    """A set of fields as fieldsV1."""
    tree: Obj = {}
    for path in sorted(fields):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        if any(len(other) > len(path) and other[: len(path)] == path for other in fields):
            node["."] = {}
    return _sorted_tree(tree)


def _sorted_tree(tree: Obj) -> Obj:
    return {key: _sorted_tree(tree[key]) for key in sorted(tree)}


def from_tree(tree: Obj, steps: Path = ()) -> Fields:
    """A fieldsV1 as a set of fields."""
    found: Fields = set()
    if steps and (not tree or "." in tree):
        found.add(steps)
    for key, child in tree.items():
        if key != ".":
            found |= from_tree(child, (*steps, key))
    return found


def covers(fields: Fields, path: Path) -> bool:
    return any(path[: len(other)] == other for other in fields)


def record_update(
    old: Obj, new: Obj, *, manager: str, api_version: str, now: str, subresource: str = "", kind: str = ""
) -> list[Obj]:
    """managedFields of `new` after a plain write by `manager`: it owns what it changed, and nobody else does."""
    changed, removed = compare(old, new, kind=kind)
    if subresource == "status":
        changed = {path for path in changed if path[0] == "f:status" or path[0] == "f:metadata"}
    identity = {"manager": manager, "operation": "Update", "apiVersion": api_version}
    return rewrite(old, identity, subresource, changed, removed, now)


def rewrite(old: Obj, identity: Obj, subresource: str, owned: Fields, gone: Fields, now: str) -> list[Obj]:
    """The entries after one manager took `owned` and the fields `gone` went away."""
    entries: list[Obj] = []
    mine: Obj | None = None
    for entry in old.get("metadata", {}).get("managedFields") or ():
        same = all(entry.get(key) == value for key, value in identity.items())
        if same and entry.get("subresource", "") == subresource:
            mine = entry
            continue
        kept = _without(from_tree(entry["fieldsV1"]), owned, gone)
        if kept:
            entries.append({**entry, "fieldsV1": to_tree(kept)} if kept else entry)
    fields = _without(from_tree(mine["fieldsV1"]), set(), gone) if mine else set()
    if identity["operation"] == "Apply":
        fields = set()
    if fields | owned:
        # A plain write owns what it changed, also where that was its writer's before.
        changed = bool(owned - fields) or (identity["operation"] == "Update" and bool(owned))
        touched = mine is None or changed or bool(gone)
        when = now if touched or mine is None else mine["time"]
        entry = {**identity, "time": when, "fieldsType": "FieldsV1", "fieldsV1": to_tree(fields | owned)}
        if subresource:
            entry["subresource"] = subresource
        entries.append(entry)
    return sorted(clone(entries), key=lambda item: (item["operation"], item["time"], item["manager"]))


def _without(fields: Fields, taken: Fields, gone: Fields) -> Fields:
    """What is left to a manager: a node that only holds fields stays shared; a value has one owner."""
    leaves = {path for path in taken if not any(len(o) > len(path) and o[: len(path)] == path for o in taken)}
    return {path for path in fields if path not in leaves and not any(path[: len(away)] == away for away in gone)}
