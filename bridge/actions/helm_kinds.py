"""Which kinds a Helm rollback may touch: a chart holds anything, and a Role that allows anything is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field as ParamField
from pydantic import field_validator

from bridge.model.runbook import Strict

_GROUPS: Mapping[str, str] = {
    "ConfigMap": "v1",
    "PersistentVolumeClaim": "v1",
    "Pod": "v1",
    "Secret": "v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "DaemonSet": "apps/v1",
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "CronJob": "batch/v1",
    "Job": "batch/v1",
    "Ingress": "networking.k8s.io/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PodDisruptionBudget": "policy/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
}
USUAL = (
    "ConfigMap",
    "Service",
    "ServiceAccount",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "HorizontalPodAutoscaler",
    "Ingress",
    "NetworkPolicy",
    "PodDisruptionBudget",
)
_MOST = 50


class KindParams(Strict):
    """The kinds of objects that may be changed."""

    kinds: tuple[str, ...] = ParamField(
        default=USUAL,
        min_length=1,
        max_length=_MOST,
        description="Kinds that the rollback may create, change and delete, in the release's namespace: a built-in "
        "kind (`Deployment`) or group and kind (`cert-manager.io/Certificate`). They are the permissions that the "
        "step asks for. Secrets of the chart are always among them, since the records are Secrets.",
    )

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        for kind in kinds:
            if "/" not in kind and kind not in _GROUPS:
                raise ValueError(f"{kind} is not known by itself: write its group before it, as in apps/Deployment")
        return kinds


def allowed(kinds: tuple[str, ...], group: str, kind: str) -> bool:
    """Whether objects of the kind may be touched."""
    return any(split(each) == (group, kind) for each in (*kinds, "Secret"))


def split(kind: str) -> tuple[str, str]:
    """Return group and kind of what a step names."""
    group, _, name = kind.rpartition("/")
    return (group, name) if group else (_GROUPS.get(kind, "v1").rpartition("/")[0], kind)


def kinds_of(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the kinds that raw parameters of a step name, which may be left out or hold a template still."""
    given = params.get("kinds")
    return tuple(map(str, given)) if isinstance(given, list | tuple) else USUAL
