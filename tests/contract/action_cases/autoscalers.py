"""HorizontalPodAutoscalers: their bounds, their metrics, and new ones."""

from __future__ import annotations

from typing import Any

from tests.contract.action_cases import Case, Env, Scene
from tests.contract.action_cases.workloads import CONTROLLERS
from tests.support.cluster import Site

API = "/apis/autoscaling/v2"
PLURAL = "horizontalpodautoscalers"


async def _make(site: Site, name: str = "web") -> Any:
    if site.simulated is not None:
        site.simulated.set_behavior(metrics_delay=0.02)
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    metric = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    metrics = [{"type": "Resource", "resource": metric}]
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 4, "metrics": metrics}
    return await site.send("POST", site.path(PLURAL, api=API), {"metadata": {"name": name}, "spec": spec})


async def _set(site: Site, **spec: Any) -> Any:
    return await site.send("PATCH", site.path(PLURAL, "web", API), {"spec": spec})


async def bounds(env: Env) -> Scene:
    ref = await env.site.deploy()
    await _make(env.site)
    params = {"min": 3, "max": 8}
    return Scene(about=ref, params=params, meddle=lambda: _set(env.site, minReplicas=2, maxReplicas=6))


async def target_use(env: Env) -> Scene:
    ref = await env.site.deploy()
    await _make(env.site)
    metric = {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70}}
    other = [{"type": "Resource", "resource": metric}]
    params = {"utilization": {"cpu": 60}}
    return Scene(about=ref, params=params, meddle=lambda: _set(env.site, metrics=other))


async def new(env: Env) -> Scene:
    ref = await env.site.deploy()
    if env.site.simulated is not None:
        env.site.simulated.set_behavior(metrics_delay=0.02)
    return Scene(
        about=ref,
        params={"min": 2, "max": 6},
        meddle=lambda: _make(env.site),
        trample=lambda: _set(env.site, maxReplicas=9),
    )


CASES = (
    Case(action="hpa_patch", prepare=bounds, needs=CONTROLLERS),
    Case(action="hpa_patch", variant="metrics", prepare=target_use, needs=CONTROLLERS),
    Case(action="hpa_create", prepare=new, needs=CONTROLLERS, lacks=("remade",)),
)
