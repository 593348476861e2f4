"""Deployments, StatefulSets and DaemonSets."""

from __future__ import annotations

from tests.contract.action_cases import Case, Env, Scene
from tests.support.cluster import BAD


async def restart(env: Env) -> Scene:
    site = env.site
    ref = await site.deploy()
    notes = {"annotations": {"kubectl.kubernetes.io/restartedAt": "2020-01-01T00:00:00Z"}}
    by_hand = {"spec": {"template": {"metadata": notes}}}
    return Scene(about=ref, params={}, meddle=lambda: site.send("PATCH", site.path("deployments", "web"), by_hand))


async def undo(env: Env) -> Scene:
    site = env.site
    ref = await site.deploy()
    await site.set_image("web", BAD)

    async def second_revision() -> bool:
        document = await site.cluster.get(ref)
        status = document.get("status", {})
        return status.get("observedGeneration") == document["metadata"]["generation"] and bool(
            status.get("updatedReplicas")
        )

    await site.until(second_revision)
    return Scene(about=ref, params={"patience": 0}, meddle=lambda: site.set_image("web", f"{BAD}-2"))


async def scale(env: Env) -> Scene:
    site = env.site
    ref = await site.deploy()
    by_hand = {"spec": {"replicas": 5}}
    return Scene(
        about=ref, params={"by": 1}, meddle=lambda: site.send("PATCH", site.path("deployments", "web"), by_hand)
    )


CASES = (
    Case(action="rollout_restart", prepare=restart, needs=("controllers",)),
    Case(action="rollout_undo", prepare=undo, needs=("controllers",)),
    Case(action="scale", prepare=scale, needs=("controllers",)),
)
