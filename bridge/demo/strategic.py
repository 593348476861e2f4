"""Strategic merge patches: lists merged by the keys of the API's types. Called by `patches`; pure functions."""

from __future__ import annotations

from typing import Any

from bridge.demo.objects import Obj, clone
from bridge.demo.status_errors import bad_request
from bridge.demo.structure import is_set, patch_key

_ORDER = "$setElementOrder/"
_DROP = "$deleteFromPrimitiveList/"


def strategic_merge(current: Obj, patch: Obj, path: tuple[str, ...] = ()) -> Obj:
    """`current` with a strategic merge patch applied. Raises ApiError 400 for a patch without its merge key."""
    if patch.get("$patch") == "replace":
        replaced: Obj = clean({key: value for key, value in patch.items() if key != "$patch"})
        return replaced
    if patch.get("$patch") == "delete":
        return {}
    merged = dict(current)
    if "$retainKeys" in patch:
        kept = set(patch["$retainKeys"])
        merged = {key: value for key, value in merged.items() if key in kept}
    for key, value in patch.items():
        if key.startswith(_DROP):
            field = key.removeprefix(_DROP)
            merged[field] = [item for item in merged.get(field) or [] if item not in value]
        elif not key.startswith("$"):
            _merge_field(merged, key, value, (*path, key))
    for key, order in patch.items():
        if key.startswith(_ORDER):
            field = key.removeprefix(_ORDER)
            merged[field] = _ordered(merged.get(field) or [], order, patch_key((*path, field)))
    return merged


def _merge_field(merged: Obj, key: str, value: Any, path: tuple[str, ...]) -> None:
    if value is None:
        merged.pop(key, None)
        return
    current = merged.get(key)
    if isinstance(value, dict):
        if value.get("$patch") == "delete":
            merged.pop(key, None)
        else:
            merged[key] = strategic_merge(current if isinstance(current, dict) else {}, value, path)
    elif isinstance(value, list):
        merged[key] = _merge_list(current if isinstance(current, list) else [], value, path)
    else:
        merged[key] = value


def _merge_list(current: list[Any], patch: list[Any], path: tuple[str, ...]) -> list[Any]:
    if is_set(path):
        return current + [item for item in patch if item not in current]
    key = patch_key(path)
    if key is None or not all(isinstance(item, dict) for item in patch):
        return [clean(item) for item in patch]
    if any(item.get("$patch") == "replace" for item in patch):
        return [clean(item) for item in patch if "$patch" not in item]
    merged = [dict(item) for item in current]
    added: list[Obj] = []
    for item in patch:
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        place = next((index for index, old in enumerate(merged) if old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            merged = [old for old in merged if old.get(key) != item[key]]
        elif place is None:
            added.append(clean(item))
        else:
            merged[place] = strategic_merge(merged[place], item, path)
    return merged + added


def _ordered(items: list[Any], order: list[Any], key: str | None) -> list[Any]:
    """The items that the order names, in that order; each other one stays behind its old neighbour."""

    def identity(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    wanted = [identity(entry) for entry in order]
    listed = sorted(
        (item for item in items if identity(item) in wanted), key=lambda item: wanted.index(identity(item))
    )
    others = [(index, item) for index, item in enumerate(items) if identity(item) not in wanted]
    for index, item in others:
        listed.insert(min(index, len(listed)), item)
    return listed


def clean(value: Any) -> Any:
    """A new value of a patch, without nulls and directives."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if item is not None and not key.startswith("$")}
        return {key: clean(item) for key, item in kept.items()}
    if isinstance(value, list):
        return [clean(item) for item in value if not (isinstance(item, dict) and item.get("$patch") == "delete")]
    return clone(value)
