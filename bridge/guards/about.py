"""What a change is about, for the guards: its object, or the run's target where a plug-in's call acts on that."""

from __future__ import annotations

from bridge.model.plan import Change
from bridge.model.remediation import Remediation
from bridge.model.target import ObjectRef


def object_of(change: Change, remediation: Remediation) -> ObjectRef | None:
    """Return the Kubernetes object that a change is about; None for a peer beyond Kubernetes.

    A function of a plug-in is planned as a call that has the name of its target: what it does there is its own.
    """
    ref, target = change.ref, remediation.target
    if not change.external:
        return ref
    if (ref.cluster, ref.namespace, ref.name) != (target.cluster, target.namespace, target.name):
        return None
    version = str((remediation.runbook_doc.get("target") or {}).get("api_version") or "apps/v1")
    return ObjectRef(version, target.kind, target.namespace, target.name, cluster=target.cluster)
