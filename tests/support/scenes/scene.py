"""What a scene says. Data only; `theatre` plays it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bridge.demo.cluster import SimulatedCluster

State = Callable[[SimulatedCluster], None]
"""Brings something about in a cluster; `world` has the usual ones."""
End = Literal["healed", "escalated", "observed", "undone", "denied"]


@dataclass(frozen=True, kw_only=True)
class _Said:
    source: str
    """The section of the source that it proves, a row of `rows.py` and perhaps more: `RB-001 A`."""
    alert: str
    """Its name, as Prometheus has it. Empty: it is triggered by hand, by the runbook's name."""
    runbook: str
    """The one that has to be run."""
    namespace: str = ""
    """Of the alert and of facts; that of the system when left out."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the alert's series, beside alertname and namespace; and of its rule, where that is not shipped."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    before: Sequence[State] = ()
    """A state that was good for an hour, in which copies of ConfigMaps were kept."""
    cluster: Sequence[State] = ()
    """The state in which the alert fires."""
    prometheus: Mapping[str, Any] = field(default_factory=dict)
    """Part of a query to the value that it gives: a number, a list of (labels, number), None for no samples, or a
    `when`. The first part that is in the query counts; a query that none is in has no samples."""
    answers: Mapping[str, Any] = field(default_factory=dict)
    """What pods answer through their Service: `PATH` or `METHOD PATH`, also the end of one, to (status, body), a
    body, or a `when`. What is not here is 200."""
    http: Mapping[str, Any] = field(default_factory=dict)
    """The same of the scene's HTTP server, `${http}`; what is not here is 404."""
    shows: Any = ""
    """The TLS Secret whose certificate the scene's HTTPS server shows, at `${tls}`; may be a `when`."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """Of the runbook, by name: connections alone, and what an adopter has to name (`non_critical`)."""
    needs: Literal["", "sentinels", "own sentinels", "postgres", "sentinels and postgres"] = ""
    """Real servers: Sentinels with a Redis that are well (for all scenes together), or its own, to be broken; a
    PostgreSQL with every database that is configured."""
    redis: Mapping[str, Any] = field(default_factory=dict)
    """Keys of that Redis with their values; what is no text is written as JSON."""
    first: Callable[[Any], Any] | None = None
    """What is done before the alert fires; called with `Playing`, may be async."""
    patience: float = 0.0
    """Real seconds for each second that is waited for: where peers take real time. None pass otherwise."""
    when_done: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    """What a Job does, by the beginning of its name: called with `Playing` when it has succeeded."""
    beside: Sequence[str] = ()
    """Runbooks that its route's `continue` leads to as well: their runs go on beside it, and are not looked at."""
    resolves_after: float | None = None
    """Seconds after which the alert resolves; None: it fires to the end."""
    # -- what is to be so
    scenarios: Sequence[str] = ()
    """Names of the scenarios that were chosen, in order; of their attempts as well, after them: `name > attempt`."""
    actions: Sequence[str] | None = None
    """Actions of the steps that were made, in order, each time they were; None: not looked at."""
    mode: Literal["auto", "approve", "observe"] = "auto"
    """In which it was to run; in `approve` somebody agrees each time that they are asked."""
    ends: End = "healed"
    outcome: str = ""
    """Where `ends` leaves several."""
    told: Sequence[str] = ()
    """Parts of what the person is told who is called."""
    after: Mapping[str, Any] = field(default_factory=dict)
    """Facts when it has ended; see facts.py."""
    later: Mapping[str, Any] = field(default_factory=dict)
    """Facts three hours later, when what was temporary is over."""
    asked: Sequence[str] = ()
    """`METHOD PATH` that the scene's HTTP server was asked, at least; messages are `POST /channels/NAME`."""
    unchanged: bool = False
    """Nothing was written to the cluster."""
    check: Callable[[Any], Any] | None = None
    """What cannot be said otherwise; called with `Playing`, may be async."""


@dataclass(frozen=True)
class Scene(_Said):
    """One scene."""

    name: str = field(kw_only=False)
    system: str = ""

    def __str__(self) -> str:
        return self.name.replace(" ", "-").replace("/", "-")


NAMESPACES = {
    "netweave": "o2ims-system",
    "omendb": "omendb-prod",
    "onboarding-kyc": "business-onboarding",
    "python-services": "python-services",
    "omnimesh": "omnimesh-core",
}


def scenes(system: str, *given: Scene) -> tuple[Scene, ...]:
    """Return the scenes of a system; two of them never have one name."""
    names = [scene.name for scene in given]
    assert len(set(names)) == len(names), f"a name is there twice: {names}"
    return tuple(replace(each, system=system, namespace=each.namespace or NAMESPACES[system]) for each in given)
