"""Permissions as actions and collectors declare them: from a kind and verbs. Pure functions.

Which verbs an operation of a plan needs is decided by the callers; how a kind is called in a Role is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.model.permission import Permission

_OWN_PLURALS = {"endpoints": "endpoints", "podmetrics": "pods", "nodemetrics": "nodes"}
"""Kinds whose resource does not follow from their name."""
_VOWELS = ("a", "e", "i", "o", "u")


def plural_of(kind: str) -> str:
    """Return the resource name that a Role uses for a kind: right for every built-in one, a guess for custom ones.

    Those follow the English plural by convention (kubebuilder makes it so); their definition may say otherwise.
    """
    name = kind.lower()
    if name in _OWN_PLURALS:
        return _OWN_PLURALS[name]
    if name.endswith(("s", "x", "z", "ch", "sh")):
        return f"{name}es"
    return f"{name[:-1]}ies" if name.endswith("y") and name[-2:-1] not in _VOWELS else f"{name}s"


def permit(
    api_version: str,
    kind: str,
    *verbs: str,
    subresource: str = "",
    namespace: str | None = None,
    names: Sequence[str] = (),
    optional: bool = False,
) -> Permission:
    """Return leave for `verbs` on objects of the kind, there where `namespace` says (None: with the object)."""
    resource = plural_of(kind) + (f"/{subresource}" if subresource else "")
    group = api_version.rpartition("/")[0]
    return Permission(group, resource, tuple(sorted(verbs)), namespace, tuple(names), optional)


def kind_of(kind: str, params: Mapping[str, Any]) -> str:
    """Return the kind that a step is about: its own `kind`, else the target's."""
    return str(params.get("kind") or kind)
