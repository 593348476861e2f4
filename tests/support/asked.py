"""What recorded requests asked of the API server, in the words of a Role; and whether permissions cover it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bridge.demo.paths import parse
from bridge.model.permission import Permission
from tests.support.recording_proxy import Recorded

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Asked(NamedTuple):
    """One request as RBAC sees it."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str


def asked(entry: Recorded) -> Asked | None:
    """Return what a request asks for; None for what costs no permission: discovery, health, self reviews."""
    path = parse(entry.path)
    if path is None or not path.plural or path.group == "authorization.k8s.io":
        return None
    resource = f"{path.plural}/{path.subresource}" if path.subresource else path.plural
    return Asked(_verb(entry, bool(path.name)), path.group, resource, path.namespace, path.name)


def _verb(entry: Recorded, named: bool) -> str:
    """Source: Kubernetes documentation, Authorization: determine the request verb."""
    if entry.verb in ("GET", "HEAD"):
        if entry.query.get("watch") in ("true", "1"):
            return "watch"
        return "get" if named else "list"
    if entry.verb == "DELETE" and not named:
        return "deletecollection"
    return _VERBS[entry.verb]


def beyond(entries: Iterable[Recorded], permissions: Iterable[Permission], namespace: str) -> list[Asked]:
    """Return what was asked without leave. `namespace` is where the step's object is."""
    allowed = list(permissions)
    found = {what for entry in entries if (what := asked(entry)) is not None}
    return sorted(what for what in found if not any(_covers(each, what, namespace) for each in allowed))


def _covers(permission: Permission, what: Asked, namespace: str) -> bool:
    place = namespace if permission.namespace is None else permission.namespace
    return (
        (permission.group, permission.resource) == (what.group, what.resource)
        and what.verb in permission.verbs
        and (not place or not what.namespace or what.namespace == place)
        and (not permission.names or what.name in permission.names)
    )
