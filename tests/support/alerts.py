"""Alerts, remediations and dispatches as tests of the stores write them."""

from __future__ import annotations

import itertools
from typing import Any

from bridge.model.alert import Alert, fingerprint
from bridge.model.intake import Assignment, Claim, Dispatch, IntakeEntry, Transition
from bridge.model.mode import Mode
from bridge.model.remediation import Decision, Entry, Remediation
from bridge.model.target import Target
from bridge.stores import Stores

START = 1_700_000_000_000_000
"""A start, microseconds."""
_ids = itertools.count()


def firing(name: str = "GatewayDown", *, start: int = START, source: str = "am", **labels: str) -> Alert:
    labels = {"alertname": name, **labels}
    return Alert(source=source, fingerprint=fingerprint(labels), status="firing", starts_at=start, labels=labels)


def resolved(
    name: str = "GatewayDown", *, start: int = START, end: int = START + 60_000_000, source: str = "am", **labels: str
) -> Alert:
    labels = {"alertname": name, **labels}
    return Alert(
        source=source,
        fingerprint=fingerprint(labels),
        status="resolved",
        starts_at=start,
        ends_at=end,
        labels=labels,
    )


def wish(runbook: str = "restart", name: str = "gateway", **more: Any) -> Assignment:
    """Return a wish for a new remediation of this runbook for this deployment."""
    target = Target("", "Deployment", "shop", name)
    return Assignment(
        join_key=f"{runbook}|{target}",
        queue_key=str(target),
        remediation=Remediation(id=f"r{next(_ids)}", runbook=runbook, target=target, mode=Mode.AUTO, **more),
    )


def grouped(name: str, *, most: int = 3, group: str = "group||zone=b") -> Assignment:
    """Return a wish for a run for several targets that this deployment is one of."""
    target = Target("", "Deployment", "shop", name)
    remediation = Remediation(id=f"r{next(_ids)}", runbook="restart", target=target, mode=Mode.AUTO, group=group)
    return Assignment(
        join_key=f"restart|{group}", queue_key=f"restart|{group}", remediation=remediation, most_targets=most
    )


def step(kind: str = "note", text: str = "") -> Entry:
    return Entry(kind=kind, text=text)


def decision(reason: str, **more: Any) -> Decision:
    return Decision(reason=reason, **more)


async def entries(stores: Stores, worker: str = "dispatcher") -> list[IntakeEntry]:
    """Return what waits in the intake, and acknowledge it."""
    found: list[IntakeEntry] = []
    while read := await stores.intake_queue.read(worker, count=100, block=0):
        await stores.intake_queue.done([entry.id for entry in read])
        found += read
    return found


async def transitions(stores: Stores) -> list[Transition]:
    """Return the transitions that wait in the intake, oldest first, and acknowledge them."""
    return [transition for entry in await entries(stores) for transition in entry.transitions]


async def fire(stores: Stores, *wishes: Assignment, alert: Alert | None = None, **more: Any) -> Transition:
    """Accept and dispatch one firing alert with these wishes."""
    await stores.intake.accept([alert or firing()])
    (transition,) = await transitions(stores)
    await stores.intake_queue.dispatch(Dispatch(transition=transition, assignments=wishes, **more))
    return transition


async def resolve(stores: Stores, alert: Alert | None = None) -> tuple[str, ...]:
    """Accept and dispatch one resolved alert; return the remediations that it cancelled."""
    await stores.intake.accept([alert or resolved()])
    (transition,) = await transitions(stores)
    return (await stores.intake_queue.dispatch(Dispatch(transition=transition))).cancelled


async def claimed(stores: Stores, worker: str = "worker") -> Claim:
    claim = await stores.work.claim(worker, block=1)
    assert claim is not None
    return claim
