"""Roles as the YAML that `kubectl apply` takes, with a comment at each rule that says who needs it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from bridge.model.plan_text import yaml_lines
from bridge.rbac import CLUSTER_WIDE, Roles, Rule

API = "rbac.authorization.k8s.io"


class Account(msgspec.Struct, frozen=True):
    """The service account that the roles are bound to."""

    namespace: str = "alertbridge"
    name: str = "alertbridge"


def objects(found: Roles, account: Account) -> list[dict[str, Any]]:
    """Return a role and its binding for each namespace, and the cluster's where something is needed there."""
    made = []
    for place, rules in sorted(found.rules.items()):
        role = {**_head("ClusterRole" if place == CLUSTER_WIDE else "Role", place, account)}
        role["rules"] = [rule for rule, _ in _rules(rules)]
        made += [role, _binding(role, place, account)]
    return made


def text(found: Roles, account: Account) -> str:
    """Return them as YAML documents, each rule under a comment with its users."""
    documents = []
    for place, rules in sorted(found.rules.items()):
        role = _head("ClusterRole" if place == CLUSTER_WIDE else "Role", place, account)
        lines = [*yaml_lines(role, sort=False), "rules:"]
        for rule, users in _rules(rules):
            first, *rest = yaml_lines(rule, sort=False)
            lines += [f"  # {', '.join(users)}", f"  - {first}", *(f"    {line}" for line in rest)]
        documents += ["\n".join(lines), "\n".join(yaml_lines(_binding(role, place, account), sort=False))]
    return "\n---\n".join(documents)


def _head(kind: str, place: str, account: Account) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": account.name}
    if place != CLUSTER_WIDE:
        metadata["namespace"] = place
    metadata["labels"] = {"app.kubernetes.io/name": "alertbridge"}
    return {"apiVersion": f"{API}/v1", "kind": kind, "metadata": metadata}


def _binding(role: dict[str, Any], place: str, account: Account) -> dict[str, Any]:
    head = _head(f"{role['kind']}Binding", place, account)
    reference = {"apiGroup": API, "kind": role["kind"], "name": account.name}
    subject = {"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}
    return {**head, "roleRef": reference, "subjects": [subject]}


def _rules(rules: Sequence[Rule]) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Yield each rule as the API has it, with its users; resources that differ in nothing else share one."""
    shared: dict[tuple[Any, ...], list[str]] = {}
    for rule in rules:
        shared.setdefault((rule.group, rule.verbs, rule.names, rule.users), []).append(rule.resource)
    for (group, verbs, names, users), resources in shared.items():
        made: dict[str, Any] = {"apiGroups": [group], "resources": resources}
        if names:
            made["resourceNames"] = list(names)
        yield {**made, "verbs": list(verbs)}, users
