"""What actions, collectors and expressions of one run see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from bridge.model.remediation import Remediation, RemediationView
from bridge.model.target import Target
from bridge.ports import Connections


class RunContext(msgspec.Struct, frozen=True, kw_only=True):
    """Implements ports.ActionContext."""

    remediation: str
    planned_at: float
    target: Target
    reach: Connections
    results: tuple[Mapping[str, Any], ...] = ()
    run: Remediation | None = None
    tried: int = 0


def variables(
    view: RemediationView,
    *,
    now: float,
    prometheus: bool,
    evidence: dict[str, Any],
    steps: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the CEL variables of a run. Label values are data: nothing in them is ever evaluated."""
    remediation = view.remediation
    return {
        **alert_variables(remediation.labels, remediation.annotations, remediation.params),
        "evidence": evidence,
        "alert": {
            "name": remediation.labels.get("alertname", ""),
            "starts_at": remediation.started_at,
            "started": _when(remediation.started_at),
            "age_seconds": max(0.0, now - remediation.started_at),
            "resolved": bool(view.incidents) and not view.open_incidents,
        },
        "connections": {"prometheus": prometheus},
        "target": target_variables(remediation.target),
        "targets": [target_variables(target) for target in remediation.all_targets],
        "steps": dict(steps or {}),
        "now": now,
    }


def _when(at: float) -> str:
    """Return a time for people; empty for one beyond the calendar."""
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return ""


def alert_variables(labels: dict[str, str], annotations: dict[str, str], params: dict[str, Any]) -> dict[str, Any]:
    """Return the variables that are known before a target is: labels, annotations and parameters."""
    return {"labels": labels, "annotations": annotations, "params": params}


def target_variables(target: Target) -> dict[str, str]:
    return {"cluster": target.cluster, "kind": target.kind, "namespace": target.namespace, "name": target.name}
