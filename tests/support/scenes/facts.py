"""Facts of a cluster, as scenes name them: `deployments.apps/NAME spec.replicas`, and what is to be so of one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.demo.cluster import SimulatedCluster

_PART = re.compile(r"(?:\\.|[^.\[\]\\])+|\[\d+\]")
_MISSING = object()


@dataclass(frozen=True)
class Wanted:
    """What a fact has to be, where it is not simply equal to something."""

    said: str
    holds: Callable[[Any], bool]

    def __repr__(self) -> str:
        return self.said


def contains(text: str) -> Wanted:
    return Wanted(f"contains {text!r}", lambda found: isinstance(found, str) and text in found)


def starts_with(text: str) -> Wanted:
    return Wanted(f"starts with {text!r}", lambda found: isinstance(found, str) and found.startswith(text))


def ends_with(text: str) -> Wanted:
    return Wanted(f"ends with {text!r}", lambda found: isinstance(found, str) and found.endswith(text))


present = Wanted("is there", lambda found: found is not _MISSING)
gone = Wanted("is not there", lambda found: found is _MISSING)


def fact(cluster: SimulatedCluster, name: str, namespace: str) -> Any:
    """Return a fact: `KEY/[NAMESPACE/]NAME PATH`, e.g. `configmaps/app data.log_level`.

    The key is the cluster's (`pods`, `deployments.apps`), the namespace the scene's where none is given. A path has
    dots, `[0]`, and a backslash before a dot within a key; without one it is the object itself.
    """
    place, _, path = name.partition(" ")
    key, *names = place.split("/")
    if len(names) == 1:
        names.insert(0, "" if key == "nodes" else namespace)
    found: Any = cluster.get(key, *names)
    if found is None:
        return _MISSING
    for part in _PART.findall(path):
        step: Any = int(part[1:-1]) if part[0] == "[" else part.replace("\\", "")
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return found


def so(found: Any, wanted: Any) -> bool:
    """Whether a fact is as wanted."""
    if isinstance(wanted, Wanted):
        return wanted.holds(found)
    return bool(found == wanted)


def shown(found: Any) -> str:
    return "(not there)" if found is _MISSING else repr(found)


@dataclass(frozen=True)
class When:
    """An answer that depends on a fact of the cluster."""

    name: str
    wanted: Any
    then: Any
    otherwise: Any

    def of(self, cluster: SimulatedCluster, namespace: str) -> Any:
        return answer(
            self.then if so(fact(cluster, self.name, namespace), self.wanted) else self.otherwise, cluster, namespace
        )


def when(name: str, wanted: Any, then: Any, otherwise: Any) -> When:
    """Return the answer `then` while the fact is as wanted; each of the two may be another `when`."""
    return When(name, wanted, then, otherwise)


def answer(value: Any, cluster: SimulatedCluster, namespace: str) -> Any:
    """Return an answer of now: the value itself, or what it depends on. A callable gets the cluster."""
    if isinstance(value, When):
        return value.of(cluster, namespace)
    return value(cluster) if callable(value) else value
