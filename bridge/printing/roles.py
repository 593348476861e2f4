"""Roles as the YAML that `kubectl apply` takes, with a comment at each rule that says who needs it."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from bridge.rbac import CLUSTER_WIDE, Roles, Rule

API = "rbac.authorization.k8s.io"
_WIDTH = 118
_PLAIN = re.compile(r"[A-Za-z0-9][-A-Za-z0-9./]*\Z")
_OTHERWISE = re.compile(r"(?:true|false|null|yes|no|on|off|[ynYN]|[-+.\d][-+.\deExX_]*)\Z", re.I)
"""What YAML does not take for a text."""


class Account(msgspec.Struct, frozen=True):
    """The service account that the roles are bound to."""

    namespace: str = "alertbridge"
    name: str = "alertbridge"


def objects(found: Roles, account: Account, name: str = "") -> list[dict[str, Any]]:
    """Return a role and its binding for each namespace, and the cluster's where something is needed there.

    `name` is what the roles are called; empty: as the account.
    """
    made = []
    for place, rules in sorted(found.rules.items()):
        role = _role(place, account, name)
        made += [{**role, "rules": [rule for rule, _ in _rules(rules)]}, _binding(role, place, account)]
    return made


def text(found: Roles, account: Account, name: str = "", command: str = "alertbridge rbac") -> str:
    """Return them as YAML documents, each rule under a comment with its users; what is to be known comes first."""
    # The command stays on one line, to be copied.
    told = [command, *(line for paragraph in _told(found) for line in _wrapped(paragraph))]
    head = "\n".join(f"# {line}" for line in told)
    documents = []
    for place, rules in sorted(found.rules.items()):
        role = _role(place, account, name)
        lines = [*_lines(role), "rules:"]
        for rule, comments in _rules(rules):
            lines += [f"  # {line}" for comment in comments for line in _wrapped(comment, 2)]
            first, *rest = _lines(rule)
            lines += [f"  - {first}", *(f"    {line}" for line in rest)]
        documents += ["\n".join(lines), "\n".join(_lines(_binding(role, place, account)))]
    return "\n---\n".join([f"{head}\n{documents[0]}", *documents[1:]] if documents else [head])


def _told(found: Roles) -> Iterator[str]:
    """Yield what people have to know of the roles as a whole."""
    yield "The least roles for the routes of this configuration, from what the actions and collectors declare."
    if len(found.clusters) > 1:
        yield f"For all clusters together ({', '.join(found.clusters)}): --cluster prints what one of them needs."
    if not found.rules:
        yield "Nothing is asked of the API server."
    if found.labelled:
        yield (
            "Where a label of the alert names another namespace, that is out of reach until it is added by "
            f"--namespace: {', '.join(found.labelled)}."
        )
    yield from (f"Left out: {sentence}." for sentence in found.left_out)
    yield from (f"To be added: {sentence}." for sentence in found.open)


def _wrapped(paragraph: str, indent: int = 0) -> list[str]:
    return textwrap.wrap(paragraph, _WIDTH - 2 - indent, break_long_words=False, break_on_hyphens=False)


def _role(place: str, account: Account, name: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name or account.name, "namespace": place}
    if place == CLUSTER_WIDE:
        # Two installations in one cluster, each with its own account, have one of their own.
        metadata = {"name": f"{account.namespace}-{name or account.name}"}
    metadata["labels"] = {"app.kubernetes.io/name": "alertbridge"}
    kind = "ClusterRole" if place == CLUSTER_WIDE else "Role"
    return {"apiVersion": f"{API}/v1", "kind": kind, "metadata": metadata}


def _binding(role: dict[str, Any], place: str, account: Account) -> dict[str, Any]:
    reference = {"apiGroup": API, "kind": role["kind"], "name": role["metadata"]["name"]}
    subject = {"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}
    return {**role, "kind": f"{role['kind']}Binding", "roleRef": reference, "subjects": [subject]}


def _rules(rules: Sequence[Rule]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield each rule as the API has it, with its comments; resources that differ in nothing else share one."""
    shared: dict[tuple[Any, ...], list[str]] = {}
    for rule in rules:
        key = (rule.group, rule.verbs, rule.names, rule.users, rule.guessed)
        shared.setdefault(key, []).append(rule.resource)
    for (group, verbs, names, users, guessed), resources in shared.items():
        made: dict[str, Any] = {"apiGroups": [group], "resources": resources}
        if names:
            made["resourceNames"] = list(names)
        comments = [", ".join(users)]
        if guessed:
            comments.append(f"The plural is a guess: see `kubectl api-resources --api-group={group}`.")
        yield {**made, "verbs": list(verbs)}, comments


def _lines(document: dict[str, Any], indent: str = "") -> list[str]:
    """Return nested maps as lines of YAML; lists of texts stand on one line, as people write roles."""
    lines = []
    for key, value in document.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, f"{indent}  ")]
        elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
            lines.append(f"{indent}{key}:")
            for item in value:
                first, *rest = _lines(item, f"{indent}    ")
                lines += [f"{indent}  - {first.strip()}", *rest]
        elif isinstance(value, list):
            lines.append(f"{indent}{key}: [{', '.join(map(_scalar, value))}]")
        else:
            lines.append(f"{indent}{key}: {_scalar(value)}")
    return lines


def _scalar(value: str) -> str:
    return value if _PLAIN.match(value) and not _OTHERWISE.match(value) else json.dumps(value)
