"""Nodes, ConfigMaps, volumes, Jobs and objects of any kind."""

from __future__ import annotations

from typing import Any

from bridge.model.outside import Copy
from bridge.model.target import ObjectRef
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from tests.contract.action_cases import Case, Env, Scene
from tests.contract.action_cases.workloads import CONTROLLERS, SWITCH
from tests.support.capabilities import storage_class
from tests.support.cluster import HEALTHY, Site
from tests.support.definitions import DESTINATION_RULE
from tests.support.memory_copies import MemoryCopies
from tests.support.rig import REMEDIATION, SoonClock

CORE = "/api/v1"
MESH = "/apis/networking.istio.io/v1"
POLICIES = "/apis/networking.k8s.io/v1"


# -- nodes


async def spare_node(env: Env, *, cordoned: bool = False) -> ObjectRef:
    """Return a node that the cluster can do without; it takes pods again in the end."""
    nodes = await env.site.direct.list("v1", "Node", "")
    name = sorted(node["metadata"]["name"] for node in nodes if not node["spec"].get("taints"))[-1]
    env.stack.push_async_callback(switch, env.site, name, None)
    if cordoned:
        ref = ObjectRef("v1", "Node", "", name, cluster=env.site.direct.name)
        await env.site.direct.patch(ref, {"spec": {"unschedulable": True}})
    return ObjectRef("v1", "Node", "", name, cluster=env.site.cluster.name)


async def switch(site: Site, node: str, unschedulable: bool | None) -> Any:
    return await site.send("PATCH", f"{CORE}/nodes/{node}", {"spec": {"unschedulable": unschedulable}})


async def cordon(env: Env) -> Scene:
    return Scene(about=await spare_node(env), params={})


async def uncordon(env: Env) -> Scene:
    return Scene(about=await spare_node(env, cordoned=True), params={})


async def drain(env: Env) -> Scene:
    site = env.site
    await site.deploy(replicas=6)
    node = await spare_node(env)

    async def takes_pods() -> None:
        assert not (await site.direct.get(node))["spec"].get("unschedulable")

    return Scene(about=node, params={}, undone=takes_pods)


# -- ConfigMaps


async def config(site: Site, name: str = "web-config", **data: str) -> ObjectRef:
    body = {"metadata": {"name": name}, "data": data}
    await site.send("POST", site.path("configmaps", api=CORE), body)
    return site.ref("ConfigMap", name, "v1")


async def reconfigure(site: Site, name: str = "web-config", **data: str) -> Any:
    return await site.send("PATCH", site.path("configmaps", name, CORE), {"data": data})


YAML = "# limits\nrateLimit:\n  rps: 50  # a second\n"


async def patch(env: Env) -> Scene:
    ref = await config(env.site, **{"config.yaml": YAML, "LEVEL": "info", "OLD": "x"})
    params = {
        "set": {"LEVEL": "debug"},
        "remove": ["OLD"],
        "edit": [{"key": "config.yaml", "path": "rateLimit.rps", "to": 100}],
    }

    async def is_back() -> None:
        assert (await env.site.direct.get(ref))["data"]["config.yaml"] == YAML

    async def meddle() -> None:
        await reconfigure(env.site, **{"config.yaml": "a: 1"})

    return Scene(about=ref, params=params, meddle=meddle, undone=is_back)


async def restore(env: Env) -> Scene:
    site = env.site
    ref = await config(site, LEVEL="broken", NEW="x")
    copies = MemoryCopies(SoonClock())
    good = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ref.name}, "data": {"LEVEL": "info"}}
    await copies.keep(ref, Copy(taken_at=0.0, manifest=good, good=True))
    reach = Reach(site.cluster, SoonClock(), Outside(OutsideSettings()), copies)
    return Scene(about=ref, params={}, meddle=lambda: reconfigure(site, LEVEL="other"), reach=reach)


async def level_by_config(env: Env) -> Scene:
    ref = await env.site.deploy()
    await config(env.site, log_level="info")
    params = {"level": "debug", "config_map": "web-config"}
    return Scene(about=ref, params=params, meddle=lambda: reconfigure(env.site, log_level="warning"))


async def level_by_env(env: Env) -> Scene:
    ref = await env.site.deploy()
    env_of = [{"name": "main", "image": HEALTHY, "env": [{"name": "LEVEL", "value": "trace"}]}]
    body = {"spec": {"template": {"spec": {"containers": env_of}}}}

    async def meddle() -> None:
        await env.site.send("PATCH", env.site.path("deployments", "web"), body)

    return Scene(about=ref, params={"level": "debug", "env": "LEVEL"}, meddle=meddle)


async def track(env: Env) -> Scene:
    ref = await env.site.deploy(replicas=1)
    name = f"incident-tracker-{REMEDIATION}"

    return Scene(
        about=ref,
        params={"name": "incident-tracker", "severity": "critical"},
        meddle=lambda: config(env.site, name, status="mine"),
        trample=lambda: reconfigure(env.site, name, status="mine"),
    )


async def track_again(env: Env) -> Scene:
    name = f"incident-tracker-{REMEDIATION}"
    labels = {"alertbridge.io/incident": REMEDIATION}
    body = {"metadata": {"name": name, "labels": labels}, "data": {"status": "active", "incident_id": REMEDIATION}}
    await env.site.send("POST", env.site.path("configmaps", api=CORE), body)
    ref = env.site.ref("Deployment", "web")
    params = {"name": "incident-tracker", "status": "resolved", "facts": {"found": "a disk"}}
    return Scene(about=ref, params=params, meddle=lambda: reconfigure(env.site, name, status="mine"))


# -- volumes and Jobs


async def expand(env: Env) -> Scene:
    site = env.site
    spec = {
        "storageClassName": await storage_class(site),
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    body = {"metadata": {"name": "data"}, "spec": spec}
    await site.send("POST", site.path("persistentvolumeclaims", api=CORE), body)
    ref = site.ref("PersistentVolumeClaim", "data", "v1")

    async def bound() -> bool:
        return bool((await site.direct.get(ref)).get("status", {}).get("phase") == "Bound")

    await site.until(bound)
    larger = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}

    async def meddle() -> None:
        await site.send("PATCH", site.path("persistentvolumeclaims", "data", CORE), larger)

    return Scene(about=ref, params={"size": "2Gi", "max_size": "10Gi"}, meddle=meddle)


COMMAND = ["/pause", "-v"] if "pause" in HEALTHY else ["true"]
TASK = {"template": {"spec": {"containers": [{"name": "main", "image": HEALTHY, "command": COMMAND}]}}}


async def job(env: Env) -> Scene:
    return Scene(about=env.site.ref("Deployment", "web"), params={"name": "restore", "template": TASK})


async def job_of_a_cronjob(env: Env) -> Scene:
    pod = {**TASK["template"]["spec"], "restartPolicy": "Never"}
    spec = {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
    place = env.site.path("cronjobs", api="/apis/batch/v1")
    await env.site.send("POST", place, {"metadata": {"name": "backup"}, "spec": spec})
    params = {"name": "backup", "from_cronjob": "backup", "env": {"WHY": "test"}}
    return Scene(about=env.site.ref("Deployment", "web"), params=params)


# -- any kind


async def rule(site: Site, host: str = "web") -> ObjectRef:
    await site.serve(DESTINATION_RULE)
    body = {**rule_manifest(host), "metadata": {"name": "web", "labels": {"app": "web"}}}
    await site.send("POST", site.path("destinationrules", api=MESH), body)
    return site.ref("DestinationRule", "web", "networking.istio.io/v1")


def rule_manifest(host: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "web"},
        "spec": {"host": host, "subsets": [{"name": "v1", "labels": {"version": "v1"}}], **spec},
    }


async def delete_rule(env: Env) -> Scene:
    site = env.site
    ref = await rule(site)
    place = site.path("destinationrules", api=MESH)
    return Scene(
        about=ref,
        params={"api_version": ref.api_version},
        meddle=lambda: site.send("PATCH", f"{place}/web", {"spec": {"host": "other"}}),
        trample=lambda: site.send("POST", place, rule_manifest("theirs")),
    )


async def delete_policy(env: Env) -> Scene:
    site = env.site
    place = site.path("networkpolicies", api=POLICIES)
    body = {"metadata": {"name": "deny"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
    await site.send("POST", place, body)
    ref = site.ref("NetworkPolicy", "deny", "networking.k8s.io/v1")
    return Scene(
        about=ref,
        params={"api_version": ref.api_version},
        meddle=lambda: site.send("PATCH", f"{place}/deny", {"spec": {"policyTypes": ["Ingress", "Egress"]}}),
        trample=lambda: site.send("POST", place, body),
    )


async def delete_config(env: Env) -> Scene:
    """Of a kind whose changes the server does not count."""
    ref = await config(env.site, LEVEL="info")
    place = env.site.path("configmaps", api=CORE)
    return Scene(
        about=ref,
        params={"api_version": "v1"},
        meddle=lambda: reconfigure(env.site, LEVEL="other"),
        trample=lambda: env.site.send("POST", place, {"metadata": {"name": "web-config"}}),
    )


async def apply_new(env: Env) -> Scene:
    site = env.site
    await site.serve(DESTINATION_RULE)
    place = site.path("destinationrules", api=MESH)
    return Scene(
        about=site.ref("Deployment", "web"),
        params={"manifest": rule_manifest("web")},
        meddle=lambda: site.send("POST", place, rule_manifest("theirs")),
        trample=lambda: site.send("PATCH", f"{place}/web", {"spec": {"host": "theirs"}}),
    )


async def apply_rule(env: Env) -> Scene:
    ref = await rule(env.site)
    place = env.site.path("destinationrules", "web", MESH)
    return Scene(
        about=ref,
        params={"manifest": rule_manifest("web", trafficPolicy={"connectionPool": {"tcp": {"maxConnections": 5}}})},
        meddle=lambda: env.site.send(
            "PATCH", place, {"spec": {"trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 9}}}}}
        ),
    )


async def apply_deployment(env: Env) -> Scene:
    """Over fields of another manager, with an item added to a list that is merged by key."""
    ref = await env.site.deploy()
    container = {"name": "main", "image": HEALTHY, "env": [{"name": "LEVEL", "value": "debug"}]}
    manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [container]}}},
    }
    body = {"spec": {"replicas": 5}}
    return Scene(
        about=ref,
        params={"manifest": manifest, "force": True},
        meddle=lambda: env.site.send("PATCH", env.site.path("deployments", "web"), body),
    )


NODES = ("nodes",)
NEW = ("remade",)
"""What the plan makes is not there before."""
CASES = (
    Case(action="cordon", prepare=cordon, needs=NODES, lacks=(*SWITCH, "remade")),
    Case(action="uncordon", prepare=uncordon, needs=NODES, lacks=(*SWITCH, "remade")),
    # On a real cluster it would evict what is not the test's.
    Case(action="drain", prepare=drain, needs=("simulated", *NODES), lacks=("meddle", "remade")),
    Case(action="configmap_patch", prepare=patch),
    Case(action="configmap_restore", prepare=restore),
    Case(action="log_level", variant="config", prepare=level_by_config, needs=CONTROLLERS),
    Case(action="log_level", variant="env", prepare=level_by_env, needs=CONTROLLERS),
    Case(action="incident_tracker", variant="new", prepare=track, needs=CONTROLLERS, lacks=NEW),
    Case(action="incident_tracker", variant="again", prepare=track_again),
    Case(action="pvc_expand", prepare=expand, needs=("storage",)),
    Case(action="job_run", prepare=job, needs=CONTROLLERS, lacks=("meddle", *NEW), arguments=()),
    Case(
        action="job_run",
        variant="cronjob",
        prepare=job_of_a_cronjob,
        needs=CONTROLLERS,
        lacks=("meddle", *NEW),
        arguments=(),
    ),
    Case(action="object_delete", variant="custom", prepare=delete_rule),
    Case(action="object_delete", variant="policy", prepare=delete_policy),
    Case(action="object_delete", variant="config", prepare=delete_config),
    Case(action="object_apply", variant="new", prepare=apply_new, lacks=NEW),
    Case(action="object_apply", variant="custom", prepare=apply_rule),
    Case(action="object_apply", variant="deployment", prepare=apply_deployment, needs=CONTROLLERS),
)
