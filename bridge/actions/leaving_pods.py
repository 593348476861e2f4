"""Which pods of a node a drain evicts, leaves and refuses: pure functions over what the API says of them.

Source: kubectl, pkg/drain/filters.go. Otherwise than there, pods that have ended are left where they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bridge.model.pod import controller_of, is_leaving, is_mirror
from bridge.model.workload import Document, at

_ENDED = frozenset({"Succeeded", "Failed"})


class Rules(msgspec.Struct, frozen=True):
    """What a drain may do beyond evicting pods that come back elsewhere with their data."""

    emptydir: bool = False
    """Pods with emptyDir volumes go, and what is in those with them."""
    bare: bool = False
    """Pods without a controller go: nothing makes them again."""


class Sorted(msgspec.Struct, frozen=True, kw_only=True):
    """The pods of a node. Those that have ended are in none of the lists."""

    evict: tuple[Document, ...]
    leaving: tuple[Document, ...]
    """Being deleted already: waited for."""
    stay: tuple[Document, ...]
    """Of DaemonSets and static ones: they belong to the node."""
    with_data: tuple[Document, ...]
    """With emptyDir volumes, where that is not allowed."""
    bare: tuple[Document, ...]
    """Without a controller, where that is not allowed."""


def sort_pods(pods: Sequence[Document], rules: Rules) -> Sorted:
    """Return each pod where it belongs, by namespace and name, so that planning again gives the same order."""
    found: dict[str, list[Document]] = {"evict": [], "leaving": [], "stay": [], "with_data": [], "bare": []}
    for pod in sorted(pods, key=place_of):
        if at(pod, "status", "phase") not in _ENDED or is_leaving(pod):
            found[_fate(pod, rules)].append(pod)
    return Sorted(**{name: tuple(those) for name, those in found.items()})


def _fate(pod: Document, rules: Rules) -> str:
    controller = controller_of(pod)
    if is_mirror(pod) or controller.get("kind") == "DaemonSet":
        return "stay"
    if is_leaving(pod):
        return "leaving"
    if not controller and not rules.bare:
        return "bare"
    if uses_emptydir(pod) and not rules.emptydir:
        return "with_data"
    return "evict"


def uses_emptydir(pod: Document) -> bool:
    """Whether it keeps data on its node that nobody moves; memory-backed ones count, as for kubectl."""
    return any("emptyDir" in volume for volume in at(pod, "spec", "volumes") or [])


def place_of(pod: Document) -> tuple[str, str]:
    meta = pod["metadata"]
    return str(meta.get("namespace", "")), str(meta["name"])


def named(pods: Sequence[Document], most: int = 5) -> str:
    """Return some of the pods for a sentence: `shop/web-1, shop/web-2 and 3 more`."""
    shown = ", ".join("/".join(place_of(pod)) for pod in pods[:most])
    return f"{shown} and {len(pods) - most} more" if len(pods) > most else shown
