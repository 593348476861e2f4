"""Server-side apply: merge a configuration, find conflicts, remove what its manager gave up. Called by `verbs`."""

from __future__ import annotations

import json
from typing import Any

from bridge.demo.fieldsets import Fields, Path, collect, compare, covers, from_tree, item_step, rewrite
from bridge.demo.objects import Obj, clone
from bridge.demo.status_errors import ApiError
from bridge.demo.structure import is_atomic_map, is_set, list_keys


def apply_configuration(
    current: Obj, config: Obj, *, manager: str, force: bool, api_version: str, now: str, kind: str
) -> Obj:
    """`current` with `config` applied by `manager`, its managedFields included.

    Raises ApiError 409 when another manager owns a field that would change, unless forced.
    """
    claimed = collect(_owned_part(config), kind=kind)
    merged: Obj = typed_merge(current, _owned_part(config), (), kind)
    identity = {"manager": manager, "operation": "Apply", "apiVersion": api_version}
    entries = current["metadata"].get("managedFields") or []
    before: Fields = set()
    others: list[Obj] = []
    for entry in entries:
        if all(entry.get(key) == value for key, value in identity.items()) and not entry.get("subresource"):
            before = from_tree(entry["fieldsV1"])
        else:
            others.append(entry)
    changed, _ = compare(current, merged, kind=kind)
    if not force:
        _refuse_conflicts(others, changed & claimed)
    for path in sorted(before - claimed, reverse=True):
        if not any(covers(from_tree(entry["fieldsV1"]), path) for entry in others):
            _remove(merged, path)
    _, gone = compare(current, merged, kind=kind)
    merged["metadata"]["managedFields"] = (
        rewrite({"metadata": {"managedFields": entries}}, identity, "", claimed, gone, now)
        if force
        else _shared(entries, identity, claimed, gone, now)
    )
    return merged


def _owned_part(config: Obj) -> Obj:
    metadata = {
        key: value
        for key, value in (config.get("metadata") or {}).items()
        if key in ("labels", "annotations", "finalizers", "ownerReferences")
    }
    body = {key: clone(value) for key, value in config.items() if key not in ("apiVersion", "kind", "metadata")}
    return body | ({"metadata": clone(metadata)} if metadata else {})


def _shared(entries: list[Obj], identity: Obj, claimed: Fields, gone: Fields, now: str) -> list[Obj]:
    """Without conflicts, a field that two managers set to the same value belongs to both."""
    mine = [entry for entry in entries if all(entry.get(key) == value for key, value in identity.items())]
    others = [entry for entry in entries if entry not in mine]
    kept = rewrite({"metadata": {"managedFields": mine}}, identity, "", claimed, set(), now)
    rest = rewrite({"metadata": {"managedFields": others}}, {"operation": "-"}, "", set(), gone, now)
    return sorted([*kept, *rest], key=lambda item: (item["operation"], item["time"], item["manager"]))


def _refuse_conflicts(others: list[Obj], fields: Fields) -> None:
    causes: list[Obj] = []
    for entry in others:
        owned = from_tree(entry["fieldsV1"])
        subresource = entry.get("subresource")
        through = f' with subresource "{subresource}"' if subresource else ""
        who = f'conflict with "{entry["manager"]}"{through} using {entry["apiVersion"]}'
        causes += [
            {"reason": "FieldManagerConflict", "message": who, "field": dotted(path)}
            for path in sorted(fields & owned)
        ]
    if not causes:
        return
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    listed = ", ".join(f"{entry['message']}: {entry['field']}" for entry in causes)
    raise ApiError(409, "Conflict", f"Apply failed with {count}: {listed}", details={"causes": causes})


def dotted(path: Path) -> str:
    """A field's path as messages show it: `.spec.containers[name="web"].image`."""
    text = ""
    for step in path:
        kind, _, rest = step.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(rest).items()) + "]"
        else:
            text += f"[={rest}]"
    return text


def typed_merge(current: Any, config: Any, path: tuple[str, ...], kind: str) -> Any:
    """The configuration over the object, list items matched by the keys of their type."""
    if isinstance(config, dict) and isinstance(current, dict):
        if path and is_atomic_map(path, kind=kind):
            return clone(config)
        merged = dict(current)
        for key, value in config.items():
            merged[key] = typed_merge(current.get(key), value, (*path, key), kind)
        if "metadata" in merged and not path:
            merged["metadata"] = dict(merged["metadata"])
        return merged
    if isinstance(config, list) and isinstance(current, list) and path:
        keys = list_keys(path, kind=kind)
        if is_set(path):
            return current + [item for item in config if item not in current]
        if keys:
            return _merge_items(current, config, path, keys, kind)
    return clone(config)


def _merge_items(
    current: list[Obj], config: list[Obj], path: tuple[str, ...], keys: tuple[str, ...], kind: str
) -> list[Obj]:
    merged = list(current)
    places = {item_step(item, keys): index for index, item in enumerate(merged)}
    for item in config:
        step = item_step(item, keys)
        if step in places:
            merged[places[step]] = typed_merge(merged[places[step]], item, path, kind)
        else:
            merged.append(clone(item))
    return merged


def _remove(obj: Any, path: Path) -> None:
    """Take the field at a path out, where it is there."""
    node, step = obj, path[0]
    kind, _, rest = step.partition(":")
    if kind == "f" and isinstance(node, dict) and rest in node:
        if len(path) == 1:
            del node[rest]
            return
        node[rest] = clone(node[rest])
        _remove(node[rest], path[1:])
    elif kind == "k" and isinstance(node, list):
        wanted = json.loads(rest)
        for item in list(node):
            if all(item.get(key) == value for key, value in wanted.items()):
                if len(path) == 1:
                    node.remove(item)
                else:
                    _remove(item, path[1:])
    elif kind == "v" and isinstance(node, list) and json.loads(rest) in node:
        node.remove(json.loads(rest))
