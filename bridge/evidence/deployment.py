"""Collector `deployment`: a workload's basic facts: since when it runs what, and who owns its count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.evidence.autoscaler import autoscaler_permission, find_autoscaler
from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import (
    ObjectParams,
    age,
    meta,
    read_revisions,
    read_workload,
    revision_permissions,
    workload_permission,
)
from bridge.model.permission import Permission
from bridge.model.revisions import version_began
from bridge.model.workload import annotations_of, at, images, number, parse_time, rollout_of
from bridge.ports import ActionContext


class DeploymentFacts(Facts):
    kind: str = Field(description="Deployment, StatefulSet or DaemonSet.")
    name: str = Field(description="Its name.")
    namespace: str = Field(description="Its namespace.")
    uid: str = Field(description="Its uid: another one is another object.")
    generation: int = Field(description="How often its spec was changed.")
    observed_generation: int = Field(description="The generation that its controller has taken up.")
    created_at: float = Field(description="When it was made.")
    age_seconds: float = Field(description="How long ago it was made.")
    revision: int = Field(description="Number of a Deployment's revision; 0 for other kinds.")
    rolled_out_at: float = Field(description="When its newest revision came, a restart included.")
    rolled_out_seconds: float = Field(description="How long ago that was.")
    version_at: float = Field(description="When the version that runs came, restarts left out.")
    version_seconds: float = Field(description="How long ago that was.")
    image: str = Field(description="Images of its containers, with commas between them.")
    replicas: int = Field(description="How many pods there are to be.")
    ready: int = Field(description="How many are ready.")
    available: int = Field(description="How many are available.")
    paused: bool = Field(description="Whether somebody paused its rollouts.")
    autoscaled: bool = Field(description="Whether an autoscaler owns the number of its replicas.")
    autoscaler: str = Field(description="Name of that autoscaler.")
    remediation: str = Field(description="Id of the remediation that changed it last; empty: none did.")


class DeploymentEvidence(BaseCollector):
    name = "deployment"
    summary = "Since when a workload runs which images, its replicas, and whether an autoscaler owns their number."
    params: type[BaseModel] = ObjectParams
    result: type[BaseModel] = DeploymentFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return [workload_permission(kind, params), *revision_permissions(kind, params), autoscaler_permission()]

    async def gather(self, context: ActionContext, params: ObjectParams) -> DeploymentFacts:
        """Return the facts. Times are unix seconds; 0.0 where they are not known."""
        ref, workload = await read_workload(context, params)
        revisions = await read_revisions(context, ref, workload)
        autoscaler = await find_autoscaler(context, ref)
        state = rollout_of(ref.kind, workload)
        now = context.reach.clock.now()
        created = parse_time(meta(workload, "creationTimestamp"))
        rolled_out = revisions[0].began_at if revisions else 0.0
        version = version_began(revisions)
        return DeploymentFacts(
            kind=ref.kind,
            name=ref.name,
            namespace=ref.namespace,
            uid=meta(workload, "uid"),
            generation=number(workload, "metadata", "generation"),
            observed_generation=number(workload, "status", "observedGeneration"),
            created_at=created,
            age_seconds=age(created, now),
            revision=revisions[0].number if revisions else 0,
            rolled_out_at=rolled_out,
            rolled_out_seconds=age(rolled_out, now),
            version_at=version,
            version_seconds=age(version, now),
            image=", ".join(images(at(workload, "spec", "template") or {})),
            replicas=state.desired,
            ready=state.ready,
            available=state.available,
            paused=bool(at(workload, "spec", "paused")),
            autoscaled=autoscaler is not None,
            autoscaler=meta(autoscaler, "name") if autoscaler else "",
            remediation=annotations_of(workload).get("alertbridge.io/remediation", ""),
        )
