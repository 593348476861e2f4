"""Roles and bindings: what the tokens of `SimulatedCluster.issue_token` may do. Called by `api`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.demo.objects import Obj
from bridge.demo.status_errors import ApiError

if TYPE_CHECKING:
    from bridge.demo.cluster import SimulatedCluster

ADMIN = "admin"
_API = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Action:
    """What somebody wants to do."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def is_allowed(cluster: SimulatedCluster, user: str, action: Action) -> bool:
    """Whether the user may. The admin may everything."""
    if user == ADMIN:
        return True
    return any(_rule_allows(rule, action) for rule in _rules(cluster, user, action.namespace))


def refusal(user: str, action: Action) -> ApiError:
    """403 in the server's words."""
    where = f'in the namespace "{action.namespace}"' if action.namespace else "at the cluster scope"
    qualified = f"{action.resource}.{action.group}" if action.group else action.resource
    subject = f'{qualified} "{action.name}"' if action.name else qualified
    message = (
        f'{subject} is forbidden: User "{user}" cannot {action.verb} resource "{action.full_resource}" '
        f'in API group "{action.group}" {where}'
    )
    details = {"name": action.name, "group": action.group, "kind": action.resource}
    details = {key: value for key, value in details.items() if value}
    return ApiError(403, "Forbidden", message, details=details)


def _rules(cluster: SimulatedCluster, user: str, namespace: str) -> Iterator[Obj]:
    bindings = cluster.list(f"clusterrolebindings.{_API}")
    if namespace:
        bindings = bindings + cluster.list(f"rolebindings.{_API}", namespace)
    for binding in bindings:
        if not any(_is_subject(subject, user) for subject in binding.get("subjects") or ()):
            continue
        reference = binding["roleRef"]
        if reference["kind"] == "ClusterRole":
            role = cluster.get(f"clusterroles.{_API}", "", reference["name"])
        else:
            role = cluster.get(f"roles.{_API}", binding["metadata"]["namespace"], reference["name"])
        yield from (role or {}).get("rules") or ()


def _is_subject(subject: Obj, user: str) -> bool:
    if subject["kind"] == "ServiceAccount":
        return user == f"system:serviceaccount:{subject.get('namespace', '')}:{subject['name']}"
    return bool(subject["kind"] == "User" and subject["name"] == user)


def _rule_allows(rule: Obj, action: Action) -> bool:
    def takes(field: str, value: str) -> bool:
        return "*" in rule.get(field, ()) or value in rule.get(field, ())

    names = rule.get("resourceNames")
    resources = rule.get("resources", ())
    any_subresource = bool(action.subresource) and f"*/{action.subresource}" in resources
    return (
        takes("verbs", action.verb)
        and takes("apiGroups", action.group)
        and (takes("resources", action.full_resource) or any_subresource)
        and (not names or action.name in names)
    )
