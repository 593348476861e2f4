"""Pods that are taken away, and replaced by their controllers."""

from __future__ import annotations

from typing import Any

from tests.contract.action_cases import Case, Env, Scene
from tests.contract.action_cases.workloads import CONTROLLERS
from tests.support.cluster import Site

NAMES = ("name", "namespace", "pod")


async def _orphan(site: Site) -> Any:
    """Let go of the pod that is planned: nobody would make it again."""
    pods = await site.direct.list("v1", "Pod", site.namespace, labels={"app": "web"})
    oldest = min(pods, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))
    path = site.path("pods", oldest["metadata"]["name"], "/api/v1")
    return await site.send("PATCH", path, {"metadata": {"ownerReferences": None}})


def removed(action: str, variant: str, **params: Any) -> Case:
    async def prepare(env: Env) -> Scene:
        ref = await env.site.deploy()
        return Scene(about=ref, params={"only": "all", **params}, meddle=lambda: _orphan(env.site))

    return Case(action=action, variant=variant, prepare=prepare, needs=CONTROLLERS, names=NAMES)


CASES = (
    removed("pod_evict", "workload"),
    removed("pod_delete", "labels", labels={"app": "web"}, grace_seconds=1),
)
