"""Small helpers on plain Kubernetes objects. Used all over the simulated cluster; knows no kind in particular."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar, cast

Obj = dict[str, Any]
T = TypeVar("T")


def clone(value: T) -> T:
    """A deep copy of JSON-like data; several times faster than `copy.deepcopy`."""
    return cast(T, _clone(value))


def _clone(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clone(item) for item in value]
    return value


def without_nulls(value: Any) -> Any:
    """A deep copy without the keys whose value is null, which is how a typed decoder reads them."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def timestamp(seconds: float) -> str:
    """Unix seconds as the API writes them: `2026-11-20T20:05:53Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_timestamp(text: str) -> float:
    """Unix seconds of an RFC 3339 time. Raises ValueError."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def dig(obj: Any, *path: str, default: Any = None) -> Any:
    """The value under a path of keys, or the default where a step is missing or null."""
    for step in path:
        if not isinstance(obj, dict):
            return default
        obj = obj.get(step)
    return default if obj is None else obj


def name_of(obj: Obj) -> str:
    return str(obj["metadata"]["name"])


def namespace_of(obj: Obj) -> str:
    return str(obj["metadata"].get("namespace", ""))


def uid_of(obj: Obj) -> str:
    return str(obj["metadata"]["uid"])


def labels_of(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def controller_uid(obj: Obj) -> str | None:
    """The uid of the controlling owner, if there is one."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner["uid"])
    return None


def owner_reference(owner: Obj) -> Obj:
    """The reference that a controller puts into what it creates for `owner`."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_terminating(obj: Obj) -> bool:
    return "deletionTimestamp" in obj["metadata"]


def condition(obj: Obj, kind: str) -> Obj | None:
    """The condition of that type in the object's status."""
    for entry in dig(obj, "status", "conditions", default=[]):
        if entry.get("type") == kind:
            return dict(entry)
    return None


def pod_is_ready(pod: Obj) -> bool:
    ready = condition(pod, "Ready")
    return ready is not None and ready["status"] == "True"


def drop_none(obj: Obj) -> Obj:
    """Without the keys that are None."""
    return {key: value for key, value in obj.items() if value is not None}
