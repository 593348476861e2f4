"""Rollouts and counts of Deployments, StatefulSets and DaemonSets."""

from __future__ import annotations

from typing import Any

from bridge.model.target import ObjectRef
from bridge.model.workload import rollout_of
from tests.contract.action_cases import Case, Env, Scene
from tests.support.cluster import BAD, HEALTHY, Site, deployment

CONTROLLERS = ("controllers",)
SWITCH = ("meddle", "trample")
"""A switch has no third position that somebody could have put it to."""


def plural(kind: str) -> str:
    return f"{kind.lower()}s"


async def complete(site: Site, ref: ObjectRef) -> None:
    async def done() -> bool:
        return rollout_of(ref.kind, await site.direct.get(ref)).complete

    await site.until(done)


async def roll_out(site: Site, kind: str, *, image: str = HEALTHY) -> ObjectRef:
    """Make a workload called `web` of that kind, and wait for it unless its image is bad."""
    body = {**deployment("web", image, 2), "kind": kind}
    if kind == "StatefulSet":
        body["spec"]["serviceName"] = "web"
    if kind == "DaemonSet":
        del body["spec"]["replicas"]
    await site.send("POST", site.path(plural(kind)), body)
    ref = site.ref(kind, "web")
    if image == HEALTHY:
        await complete(site, ref)
    return ref


async def note(site: Site, kind: str, key: str, value: str) -> Any:
    """Give the pod template another annotation: a new version that runs as well as the one before."""
    notes = {"annotations": {key: value}}
    return await site.send("PATCH", site.path(plural(kind), "web"), {"spec": {"template": {"metadata": notes}}})


def restart(kind: str) -> Case:
    async def prepare(env: Env) -> Scene:
        ref = await roll_out(env.site, kind)
        key, value = "kubectl.kubernetes.io/restartedAt", "2020-01-01T00:00:00Z"
        return Scene(about=ref, params={}, meddle=lambda: note(env.site, kind, key, value))

    return Case(action="rollout_restart", variant=kind.lower(), prepare=prepare, needs=CONTROLLERS)


async def undo(env: Env) -> Scene:
    site = env.site
    ref = await site.deploy()
    await site.set_image("web", BAD)

    async def second_revision() -> bool:
        document = await site.direct.get(ref)
        status = document.get("status", {})
        return status.get("observedGeneration") == document["metadata"]["generation"] and bool(
            status.get("updatedReplicas")
        )

    await site.until(second_revision)
    return Scene(about=ref, params={"patience": 0}, meddle=lambda: site.set_image("web", f"{BAD}-2"))


def undo_by_revision(kind: str) -> Case:
    """By ControllerRevisions; both versions run, so that nothing is stuck and the undo is exact."""

    async def prepare(env: Env) -> Scene:
        ref = await roll_out(env.site, kind)
        await note(env.site, kind, "test/version", "2")
        await complete(env.site, ref)
        return Scene(about=ref, params={"to_revision": 1}, meddle=lambda: note(env.site, kind, "test/version", "3"))

    return Case(action="rollout_undo", variant=kind.lower(), prepare=prepare, needs=CONTROLLERS)


async def scale(env: Env) -> Scene:
    site = env.site
    ref = await site.deploy()
    by_hand = {"spec": {"replicas": 5}}
    return Scene(
        about=ref, params={"by": 1}, meddle=lambda: site.send("PATCH", site.path("deployments", "web"), by_hand)
    )


async def scale_by_subresource(env: Env) -> Scene:
    """A ReplicaSet stands for any kind that is no workload to us, and has a scale."""
    site = env.site
    body = {**deployment("web", HEALTHY, 2), "kind": "ReplicaSet"}
    await site.send("POST", site.path("replicasets"), body)
    ref = site.ref("ReplicaSet", "web")

    async def ready() -> bool:
        return bool((await site.direct.get(ref)).get("status", {}).get("readyReplicas") == 2)

    await site.until(ready)
    params = {"api_version": "apps/v1", "kind": "ReplicaSet", "replicas": 3}
    by_hand = {"spec": {"replicas": 5}}
    return Scene(
        about=ref, params=params, meddle=lambda: site.send("PATCH", site.path("replicasets", "web"), by_hand)
    )


async def pause(env: Env) -> Scene:
    return Scene(about=await env.site.deploy(), params={})


async def resume(env: Env) -> Scene:
    ref = await env.site.deploy()
    await env.site.send("PATCH", env.site.path("deployments", "web"), {"spec": {"paused": True}})
    return Scene(about=ref, params={})


CASES = (
    restart("Deployment"),
    restart("StatefulSet"),
    restart("DaemonSet"),
    Case(action="rollout_undo", prepare=undo, needs=CONTROLLERS),
    undo_by_revision("StatefulSet"),
    undo_by_revision("DaemonSet"),
    Case(action="rollout_pause", prepare=pause, needs=CONTROLLERS, lacks=SWITCH),
    Case(action="rollout_resume", prepare=resume, needs=CONTROLLERS, lacks=SWITCH),
    Case(action="scale", prepare=scale, needs=CONTROLLERS),
    Case(action="scale", variant="subresource", prepare=scale_by_subresource, needs=CONTROLLERS),
)
