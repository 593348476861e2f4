"""Resources, environment and image of one container."""

from __future__ import annotations

from typing import Any

from tests.contract.action_cases import Case, Env, Scene
from tests.contract.action_cases.workloads import CONTROLLERS, roll_out
from tests.support.cluster import BAD, HEALTHY, Site

SIDECAR = {"name": "sidecar", "image": HEALTHY, "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}


async def _set(site: Site, kind: str = "deployments", **main: Any) -> Any:
    """Change the container `main` by hand, as somebody who sends the whole list."""
    found = await site.direct.get(site.ref("Deployment", "web"))
    containers = found["spec"]["template"]["spec"]["containers"]
    changed = [{**each, **main} if each["name"] == "main" else each for each in containers]
    body = {"spec": {"template": {"spec": {"containers": changed}}}}
    return await site.send("PATCH", site.path(kind, "web"), body)


async def resources(env: Env) -> Scene:
    ref = await env.site.deploy()
    other = {"requests": {"cpu": "20m", "memory": "48Mi"}}
    params = {"container": "main", "requests": {"memory": "32Mi"}, "limits": {"cpu": "500m"}, "allow_lower": True}
    return Scene(about=ref, params=params, meddle=lambda: _set(env.site, resources=other))


async def environment(env: Env) -> Scene:
    ref = await env.site.deploy()
    await _set(env.site, env=[{"name": "MODE", "value": "fast"}, {"name": "OLD", "value": "1"}])
    await env.site.until(lambda: env.site.complete(ref))
    params = {"set": {"MODE": "safe", "NEW": 5}, "remove": ["OLD"]}
    meddle = [{"name": "MODE", "value": "faster"}]
    return Scene(about=ref, params=params, meddle=lambda: _set(env.site, env=meddle))


async def image(env: Env) -> Scene:
    ref = await roll_out(env.site, "Deployment", image=BAD)
    params = {"container": "main", "tag": HEALTHY.rpartition(":")[2]}
    return Scene(about=ref, params=params, meddle=lambda: env.site.set_image("web", f"{BAD}-2"))


CASES = (
    Case(action="set_resources", prepare=resources, needs=CONTROLLERS),
    Case(action="set_env", prepare=environment, needs=CONTROLLERS),
    Case(action="set_image", prepare=image, needs=CONTROLLERS),
)
