"""The arithmetic of a rolling update. Called by the deployment controller; pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bridge.demo.objects import Obj, dig

REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


def spec_replicas(obj: Obj) -> int:
    """How many pods a workload is to have."""
    return int(dig(obj, "spec", "replicas", default=0))


def counted(obj: Obj, field: str) -> int:
    """A count of a workload's status; what is absent is zero."""
    return int(dig(obj, "status", field, default=0))


def revision_of(obj: Obj) -> int:
    text = dig(obj, "metadata", "annotations", REVISION, default="0")
    return int(text) if text.isdigit() else 0


def resolve(value: int | str, total: int, *, up: bool) -> int:
    """An absolute number, from one or from a percentage of the total."""
    if isinstance(value, str) and value.endswith("%"):
        share = int(value[:-1]) * total / 100
        return math.ceil(share) if up else math.floor(share)
    return int(value)


@dataclass(frozen=True)
class Limits:
    """How far a rollout may go beyond and below the wanted count."""

    wanted: int
    surge: int
    unavailable: int

    @classmethod
    def of(cls, deployment: Obj) -> Limits:
        wanted = spec_replicas(deployment)
        strategy = deployment["spec"].get("strategy") or {}
        if strategy.get("type") == "Recreate":
            return cls(wanted, 0, 0)
        rolling = strategy.get("rollingUpdate") or {}
        surge = resolve(rolling.get("maxSurge", 0), wanted, up=True)
        unavailable = resolve(rolling.get("maxUnavailable", 0), wanted, up=False)
        if surge == 0 and unavailable == 0:
            unavailable = 1
        return cls(wanted, surge, min(unavailable, wanted))

    @property
    def most(self) -> int:
        return self.wanted + self.surge

    @property
    def least_available(self) -> int:
        return self.wanted - self.unavailable

    def annotations(self) -> dict[str, str]:
        """What the ReplicaSets remember of it."""
        return {DESIRED: str(self.wanted), MAXIMUM: str(self.most)}


def new_replicas(deployment: Obj, limits: Limits, owned: list[Obj], present: int) -> int:
    """How many pods the ReplicaSet of the present template gets now."""
    if deployment["spec"]["strategy"]["type"] == "Recreate":
        return 0 if any(counted(found, "replicas") for found in owned) and not present else limits.wanted
    if present > limits.wanted:
        return limits.wanted
    total = sum(spec_replicas(found) for found in owned)
    if total >= limits.most:
        return present
    return present + min(limits.most - total, limits.wanted - present)


def scale_down_room(deployment: Obj, limits: Limits, owned: list[Obj], new: Obj) -> int:
    """How many pods of old templates may go now."""
    total = sum(spec_replicas(found) for found in owned)
    new_missing = spec_replicas(new) - counted(new, "availableReplicas")
    return total - limits.least_available - new_missing


def proportions(deployment: Obj, limits: Limits, active: list[Obj]) -> list[tuple[Obj, int]]:
    """The counts by which several active ReplicaSets follow a new total, the largest taking the rest."""
    allowed = limits.most if limits.wanted > 0 else 0
    total = sum(spec_replicas(found) for found in active)
    left = allowed - total
    ordered = sorted(active, key=lambda found: (-spec_replicas(found), found["metadata"]["creationTimestamp"]))
    sizes: list[int] = []
    spent = 0
    for found in ordered:
        size = spec_replicas(found)
        known = dig(found, "metadata", "annotations", MAXIMUM, default="")
        before = int(known) if known.isdigit() and int(known) else total
        share = round(size * allowed / before) - size if left else 0
        share = min(share, left - spent) if left > 0 else max(share, left - spent)
        spent += share
        sizes.append(max(size + share, 0))
    if sizes:
        sizes[0] = max(sizes[0] + left - spent, 0)
    return list(zip(ordered, sizes, strict=True))
