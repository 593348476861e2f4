"""Make one planned change under its preconditions. Called by execute; the only code that changes a cluster."""

from __future__ import annotations

import copy
from typing import Any

from bridge.errors import (
    KubeConflict,
    KubeError,
    KubeNotFound,
    KubeReplyLost,
    KubeUnavailable,
    PlanStale,
    TargetReplaced,
)
from bridge.model.plan import Change, Field, read_pointer, write_pointer
from bridge.ports import Cluster

MARK = "alertbridge.io/remediation"
"""The annotation that names the remediation which changed an object last."""


class ChangeApplier:
    """Applies changes to one cluster: read, compare with the plan, write with the version just read."""

    def __init__(self, cluster: Cluster, *, tries: int = 5) -> None:
        self._cluster = cluster
        self._tries = tries
        self._failed: Change | None = None
        """The change that the server answered with an error of its own, or not at all: it may have made it."""

    def in_doubt(self, change: Change) -> bool:
        """Whether a write of this change was sent whose fate is not known; without one nothing of it was made."""
        return self._failed == change

    async def apply(self, change: Change, *, remediation: str) -> bool:
        """Return True when it wrote, False when every field had its after-value already.

        Raises TargetReplaced (other uid, or gone), PlanStale (a field has another value than planned, or the
        object kept changing), and KubeError. A lost reply is settled by reading back: only when that fails,
        KubeReplyLost is raised. A third value then is PlanStale: whatever became of ours was overwritten.
        """
        lost: KubeReplyLost | None = None
        for _ in range(self._tries):
            current = await self._read(change, lost)
            if _matches(current, change, after=True):
                return lost is not None or self._failed == change
            _check_preconditions(current, change)
            try:
                await self._cluster.patch(
                    change.ref, _patch(current, change, remediation), subresource=change.subresource
                )
            except KubeConflict:
                # Somebody wrote between our read and our write; whether it matters, the next read tells.
                continue
            except KubeReplyLost as error:
                self._failed, lost = change, error
                continue
            except KubeUnavailable as error:
                if error.status:
                    self._failed = change
                raise
            return True
        if lost is not None:
            raise lost
        raise PlanStale(f"{change.ref} changed {self._tries} times between read and write")

    async def _read(self, change: Change, lost: KubeReplyLost | None) -> dict[str, Any]:
        try:
            current = await self._cluster.get(change.ref)
        except KubeNotFound as error:
            raise TargetReplaced(f"{change.ref} does not exist any more") from error
        except KubeError:
            if lost is not None:
                # The write's fate cannot be read back: that, not the failed read, is what the caller must know.
                raise lost from None
            raise
        uid = current.get("metadata", {}).get("uid", "")
        if change.ref.uid and uid != change.ref.uid:
            raise TargetReplaced(f"{change.ref} was made again since planning: uid {uid}, planned {change.ref.uid}")
        return current


def _matches(current: dict[str, Any], change: Change, *, after: bool) -> bool:
    fields = [field for field in change.fields if field.change]
    return all(read_pointer(current, f.pointer) == (f.after if after else f.before) for f in fields)


def _check_preconditions(current: dict[str, Any], change: Change) -> None:
    for field in change.fields:
        found = read_pointer(current, field.pointer)
        if found != field.before:
            raise PlanStale(
                f"{change.ref} {field.pointer} is {_shown(found)}, it was {_shown(field.before)} when planned"
            )


def _patch(current: dict[str, Any], change: Change, remediation: str) -> dict[str, Any]:
    desired = copy.deepcopy(current)
    for field in change.fields:
        if field.change:
            _write(desired, field)
    if not change.subresource:
        annotations = desired["metadata"].setdefault("annotations", {})
        annotations[MARK] = remediation
    patch = merge_patch(current, desired)
    patch.setdefault("metadata", {})["resourceVersion"] = current["metadata"]["resourceVersion"]
    return patch


def _write(desired: dict[str, Any], field: Field) -> None:
    write_pointer(desired, field.pointer, field.after)


def merge_patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) that turns `before` into `after`."""
    patch: dict[str, Any] = {}
    for key in before.keys() | after.keys():
        if key not in after:
            patch[key] = None
        elif key not in before:
            patch[key] = after[key]
        elif before[key] != after[key]:
            old, new = before[key], after[key]
            patch[key] = merge_patch(old, new) if isinstance(old, dict) and isinstance(new, dict) else new
    return patch


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
