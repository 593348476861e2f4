"""Collector `deployment`: a workload's basic facts: since when it runs what, and who owns its count."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from bridge.evidence.autoscaler import find_autoscaler
from bridge.evidence.objects import ObjectParams, age, meta, read_revisions, read_workload
from bridge.model.revisions import version_began
from bridge.model.workload import annotations_of, at, images, number, parse_time, rollout_of
from bridge.ports import ActionContext


class DeploymentEvidence:
    """Implements bridge.ports.Collector."""

    name = "deployment"
    summary = "Since when a workload runs which images, its replicas, and whether an autoscaler owns their number."
    params: type[BaseModel] = ObjectParams

    async def collect(self, context: ActionContext, params: ObjectParams) -> dict[str, Any]:
        """Return the facts. Times are unix seconds; 0.0 where they are not known.

        `rolled_out_at` is the newest rollout, a restart included; `version_at` is when the version that runs came,
        restarts left out.
        """
        ref, workload = await read_workload(context, params)
        revisions = await read_revisions(context, ref, workload)
        autoscaler = await find_autoscaler(context, ref)
        state = rollout_of(ref.kind, workload)
        now = context.reach.clock.now()
        created = parse_time(meta(workload, "creationTimestamp"))
        rolled_out = revisions[0].began_at if revisions else 0.0
        version = version_began(revisions)
        return {
            "kind": ref.kind,
            "name": ref.name,
            "namespace": ref.namespace,
            "uid": meta(workload, "uid"),
            "generation": number(workload, "metadata", "generation"),
            "observed_generation": number(workload, "status", "observedGeneration"),
            "created_at": created,
            "age_seconds": age(created, now),
            "revision": revisions[0].number if revisions else 0,
            "rolled_out_at": rolled_out,
            "rolled_out_seconds": age(rolled_out, now),
            "version_at": version,
            "version_seconds": age(version, now),
            "image": ", ".join(images(at(workload, "spec", "template") or {})),
            "replicas": state.desired,
            "ready": state.ready,
            "available": state.available,
            "paused": bool(at(workload, "spec", "paused")),
            "autoscaled": autoscaler is not None,
            "autoscaler": meta(autoscaler, "name") if autoscaler else "",
            "remediation": annotations_of(workload).get("alertbridge.io/remediation", ""),
        }
