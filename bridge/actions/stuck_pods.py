"""Pods that hold up the rollout of a StatefulSet, and their removal as further changes of a plan. Reads only.

A StatefulSet that starts its pods in order (the default) waits for a pod that is not ready before it replaces any,
also when the template that would mend that very pod is there already. Kubernetes calls the remedy a forced rollback
(documentation, StatefulSets): the broken pods are deleted by hand. So whatever changes the template of one takes
those pods away as well. They are not ready: nobody misses them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.actions.history import read_pods
from bridge.actions.permits import kind_of, permit
from bridge.actions.workloads import Workload
from bridge.model.controller_revisions import is_of
from bridge.model.permission import Permission
from bridge.model.plan import Change, Operation
from bridge.model.pod import is_leaving, is_ready
from bridge.model.workload import at, owned_by, ref_of
from bridge.ports import ActionContext


def permissions_for_stuck_pods(kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
    """Return what finding and removing them asks for: nothing for other kinds than StatefulSet."""
    if kind_of(kind, params) != "StatefulSet":
        return ()
    return (permit("v1", "Pod", "delete", "get", "list"),)


def waits_in_order(workload: Workload) -> bool:
    """Whether a pod that is not ready holds up the others."""
    ordered = at(workload.document, "spec", "podManagementPolicy") != "Parallel"
    return workload.ref.kind == "StatefulSet" and bool(ordered)


async def remove_stuck_pods(context: ActionContext, workload: Workload, *, keep: str = "") -> tuple[Change, ...]:
    """Return the removal of every pod that is not ready and not made from the revision called `keep`."""
    if not waits_in_order(workload):
        return ()
    found = []
    for pod in await read_pods(context, workload):
        mine = owned_by(pod, workload.ref.uid) and not is_leaving(pod)
        if mine and not is_ready(pod) and not (keep and is_of(pod, keep)):
            ref = ref_of(pod, "v1", "Pod", workload.ref.cluster)
            summary = f"delete {ref}, which is not ready: its StatefulSet would not replace it otherwise"
            found.append(Change(ref=ref, operation=Operation.DELETE, summary=summary))
    return tuple(sorted(found, key=lambda change: change.ref.name))
