"""The disruption budget: what may be disturbed in a window, what a plan would disturb, and the answer. Data.

Kept by stores.budgets, asked by guards.budget, written in `budgets:` of the configuration. What is disturbed is what
was ready: a plan that mends what is down costs nothing.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from pydantic import Field, model_validator

from bridge.model.runbook import Duration, Strict

Count = Annotated[int, Field(ge=0)]


class BudgetLimits(Strict):
    """What may be disturbed within the window. What is not given has no limit here."""

    targets: Count | None = None
    """Workloads (of a drain: nodes) of which pods that are ready are disturbed."""
    percent: Annotated[float, Field(ge=0, le=100)] | None = None
    """Of one workload's pods, all runs in the window together."""
    nodes: Count | None = None
    """Nodes that are cordoned or drained."""


class BudgetSettings(Strict):
    """`budgets:` of the configuration. Every limit holds by itself; the strictest decides."""

    window: Annotated[Duration, Field(gt=0, le=86400)] = 600.0
    """Sliding: what a run disturbed counts until so long after the run has ended."""
    cluster: BudgetLimits = BudgetLimits(targets=20, nodes=1)
    """For each cluster."""
    namespace: BudgetLimits = BudgetLimits(targets=10)
    """For each namespace of each cluster."""
    clusters: dict[str, BudgetLimits] = Field(default={})
    """By the connection's name: takes the place of `cluster` there."""
    namespaces: dict[str, BudgetLimits] = Field(default={})
    """By name: takes the place of `namespace` there."""
    halt_after: Annotated[int, Field(ge=1)] | None = 50
    """When so many different targets were to be disturbed within the window, also such as the budget deferred,
    everything pauses until a person resumes."""

    @model_validator(mode="after")
    def _halt_above(self) -> BudgetSettings:
        for limits in (self.cluster, self.namespace, *self.clusters.values(), *self.namespaces.values()):
            if self.halt_after is not None and limits.targets is not None and limits.targets >= self.halt_after:
                raise ValueError(f"halt_after ({self.halt_after}) has to be above every limit of targets")
        return self

    def rules_for(self, spends: tuple[Spend, ...]) -> BudgetRules:
        """Return what holds for these."""
        scopes = sorted({scope for spend in spends for scope in spend.scopes})
        limits = tuple(self.limit_of(scope) for scope in scopes)
        return BudgetRules(limits=limits, window=self.window, halt_after=self.halt_after)

    def limit_of(self, scope: str) -> Limit:
        """Return what holds in one scope."""
        kind, _, name = scope.partition(":")
        said = (
            self.clusters.get(name, self.cluster)
            if kind == "cluster"
            else self.namespaces.get(name.rpartition("/")[2], self.namespace)
        )
        return Limit(scope, said.targets, said.percent, said.nodes)


class Spend(msgspec.Struct, frozen=True, kw_only=True):
    """One part of what a plan disturbs. Empty: nothing of that sort."""

    scopes: tuple[str, ...]
    """Where it counts: `cluster:NAME`, `namespace:CLUSTER/NAME`."""
    target: str = ""
    workload: str = ""
    percent: float = 0.0
    """Of the workload's pods."""
    node: str = ""


class Limit(msgspec.Struct, frozen=True):
    """What holds in one scope; None: no limit."""

    scope: str
    targets: int | None = None
    percent: float | None = None
    nodes: int | None = None


class BudgetRules(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for one plan. `window` in seconds."""

    limits: tuple[Limit, ...]
    window: float
    halt_after: int | None = None


class BudgetAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the budget says to a plan."""

    granted: bool
    halted: bool = False
    """Too much was asked for in the window: everything is paused now, by this."""
    paused: bool = False
    """The same, when everything was paused already."""
    scope: str = ""
    what: str = ""
    """The dimension that has no room: `targets`, `percent of WORKLOAD` or `nodes`."""
    used: float = 0.0
    asked: float = 0.0
    """With what is used already."""
    most: float = 0.0
    retry_at: float | None = None
    """When it may have room at the earliest, unix seconds; None when it never has: the plan alone is too much."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What one run has reserved, or disturbed a short while ago."""

    remediation: str
    settled_at: float | None
    """When it ended, unix seconds; None: it is under way."""
    spends: tuple[Spend, ...]


class BudgetUse(msgspec.Struct, frozen=True, kw_only=True):
    """What counts now."""

    runs: tuple[Spent, ...] = ()
    wanted: int = 0
    """How many different targets were to be disturbed within the window, granted or not: `halt_after` counts."""
