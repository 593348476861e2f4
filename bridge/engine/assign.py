"""From an alert and its routes to the remediations it wants. Pure; called by dispatch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bridge.configuration.expressions import render
from bridge.engine.context import alert_variables
from bridge.errors import InvalidInput, UnknownValue
from bridge.model.alert import Alert
from bridge.model.intake import Assignment
from bridge.model.mode import Mode
from bridge.model.reason import Reason
from bridge.model.remediation import Remediation
from bridge.model.runbook import Runbook
from bridge.model.target import Target, check_name, check_namespace


class ClusterMap(msgspec.Struct, frozen=True, kw_only=True):
    """Which connection serves an alert: by the value of `label`, or the default for alerts without it."""

    label: str = "cluster"
    names: Mapping[str, str] = {}
    """Label value to the connection's name."""
    default: str | None = ""
    """The connection for alerts without the label; None when there is none."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a route asks for: the runbook with its parameters and limits."""

    runbook: Runbook
    path: str
    params: Mapping[str, Any] = {}
    mode: Mode | None = None
    cooldown: float = 600.0
    max_attempts: int = 3
    attempts_window: float = 3600.0
    hold_off: float = 0.0
    allow_drift: bool = False
    allow_irreversible: bool = False
    allow_namespaces: tuple[str, ...] = ()
    approvers: int = 1
    approve_within: float | None = None
    group: Mapping[str, str] | None = None
    """The labels by which the route groups, as far as the alert has them; None where it does not group."""


class Refused(Exception):
    """This wish cannot become a remediation; carries the reason and a sentence."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def assign(
    alert: Alert, wish: Wish, *, clusters: ClusterMap, new_id: Callable[[], str], since: float = 0.0
) -> Assignment:
    """Return the remediation that the alert asks for by this route; raise Refused. `since`: when it was received."""
    params = _params(alert, wish)
    target = _target(alert, wish.runbook, params, _cluster(alert, clusters))
    document = wish.runbook.model_dump(mode="json", by_alias=True)
    group = _group(wish, target.cluster)
    remediation = Remediation(
        id=new_id(),
        runbook=wish.runbook.name,
        target=target,
        mode=wish.mode or Mode.OBSERVE,
        params=params,
        runbook_doc=document,
        config_hash=hashlib.sha256(msgspec.json.encode([document, params], order="sorted")).hexdigest()[:16],
        route=wish.path,
        labels=alert.labels,
        annotations=alert.annotations,
        started_at=alert.starts_at / 1_000_000,
        received_at=since,
        cooldown=wish.cooldown,
        max_attempts=wish.max_attempts,
        attempts_window=wish.attempts_window,
        hold_off=wish.hold_off,
        allow_drift=wish.allow_drift,
        allow_irreversible=wish.allow_irreversible,
        allow_namespaces=wish.allow_namespaces,
        approvers=max(wish.approvers, wish.runbook.approvers),
        approve_within=wish.approve_within or wish.runbook.approve_within,
        requested_by=alert.requested_by,
        why=alert.why,
        override=alert.override,
        group=group,
        parents=alert.order.parents if alert.order else (),
        above=alert.order.above if alert.order else (),
    )
    if group:
        # Its targets are not known yet: their locks keep it from meeting other runs, this other runs of the group.
        key = f"{wish.runbook.name}|{group}{_how(remediation)}"
        most = wish.runbook.target.at_most or 1
        return Assignment(join_key=key, queue_key=key, remediation=remediation, most_targets=most)
    queue_key = "|".join((target.cluster, target.kind, target.namespace, target.name))
    join_key = f"{wish.runbook.name}|{queue_key}{_how(remediation)}"
    return Assignment(join_key=join_key, queue_key=queue_key, remediation=remediation)


def turn_away(
    alert: Alert, wish: Wish, refused: Refused, *, new_id: Callable[[], str], since: float = 0.0
) -> Assignment:
    """Return the remediation that changes nothing and tells a person why nothing can be made of the alert's wish."""
    remediation = Remediation(
        id=new_id(),
        runbook=wish.runbook.name,
        target=Target("", wish.runbook.target.kind, "", "(not known)"),
        mode=wish.mode or Mode.OBSERVE,
        route=wish.path,
        labels=alert.labels,
        annotations=alert.annotations,
        started_at=alert.starts_at / 1_000_000,
        received_at=since,
        refused=refused.reason.value,
        refusal=refused.detail,
    )
    key = f"{wish.runbook.name}|refused|{alert.key}"
    return Assignment(join_key=key, queue_key=key, remediation=remediation)


def _how(remediation: Remediation) -> str:
    """Return how far, and how late, the run may act: who may act at once joins none that only looks, or waits."""
    hold_off = 0.0 if remediation.requested_by else remediation.hold_off
    mode = "" if remediation.mode is Mode.AUTO else f"|{remediation.mode.value}"
    return f"{mode}|after {hold_off:g}" if hold_off else mode


def _group(wish: Wish, cluster: str) -> str:
    """Return what the alerts of one run for several targets have in common; empty when it is for one target.

    Only a runbook that says `target.at_most` is written for several: configurations put `group_by` everywhere.
    """
    if wish.runbook.target.at_most is None or wish.group is None:
        return ""
    labels = msgspec.json.encode(dict(sorted(wish.group.items()))).decode()
    return f"group|{cluster}|{labels}"


def _cluster(alert: Alert, clusters: ClusterMap) -> str:
    value = alert.labels.get(clusters.label, "")
    if value:
        if value not in clusters.names:
            raise Refused(Reason.UNKNOWN_CLUSTER, f"{clusters.label}={value!r} names no configured cluster")
        return clusters.names[value]
    if clusters.default is None:
        raise Refused(Reason.UNKNOWN_CLUSTER, f"no label {clusters.label!r}, and no default cluster is configured")
    return clusters.default


def _params(alert: Alert, wish: Wish) -> dict[str, Any]:
    given = alert_variables(alert.labels, alert.annotations, {})
    params: dict[str, Any] = {}
    for name, declared in wish.runbook.params.items():
        value = wish.params.get(name, declared.default)
        try:
            params[name] = render(value, given)
        except (InvalidInput, UnknownValue) as error:
            raise Refused(Reason.INVALID_TARGET, f"parameter {name}: {error}") from error
        if params[name] is None and declared.required:
            raise Refused(Reason.INVALID_TARGET, f"parameter {name} of {wish.runbook.name} has no value")
    return params


def _target(alert: Alert, runbook: Runbook, params: dict[str, Any], cluster: str) -> Target:
    known = alert_variables(alert.labels, alert.annotations, params)
    spec = runbook.target
    try:
        # Only a kind that has no namespaces comes without one: an empty label must not widen the target.
        namespace = check_namespace(render(spec.namespace, known)) if spec.namespace else ""
        name = check_name(render(spec.name, known), "target name")
        return Target(cluster, spec.kind, namespace, name)
    except (InvalidInput, UnknownValue) as error:
        raise Refused(Reason.INVALID_TARGET, str(error)) from error
