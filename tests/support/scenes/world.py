"""The usual states of a cluster, for scenes. Each function returns what brings one about; namespaces left out are the
gateway's of netweave, so other systems say theirs."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from bridge.demo import workloads
from bridge.demo.cluster import SimulatedCluster
from bridge.demo.controllers.authority import self_signed
from bridge.demo.controllers.volumes import storage_class
from bridge.demo.deletion import delete_object
from bridge.demo.exec import ExecResult
from bridge.demo.objects import Obj, clone
from bridge.model.helm_manifest import as_sent, objects_of
from tests.support import helm
from tests.support.scenes.scene import State

DAY = 86400.0
NAMESPACE = workloads.NAMESPACE


def app(
    name: str,
    namespace: str = NAMESPACE,
    *,
    image: str = "",
    then: str = "",
    ago: float = 600.0,
    replicas: int = 3,
    container: str = "",
    labels: Mapping[str, str] | None = None,
    ports: Mapping[str, int] | None = None,
    services: Sequence[str] | None = None,
    release: str = "",
    days: float = 10.0,
    requests: Mapping[str, str] | None = None,
    limits: Mapping[str, str] | None = None,
) -> State:
    """A Deployment that has run for `days`, with its Services; with `then` its image is that one since `ago` seconds.

    With `release` Helm installed it, and each image is a revision of that release.
    """

    def manifest(tag: str) -> Obj:
        made = workloads.deployment(name, tag, namespace=namespace, replicas=replicas, labels=dict(labels or {}))
        spec = made["spec"]["template"]["spec"]["containers"][0]
        spec["name"] = container or name
        spec["resources"]["requests"].update(requests or {})
        spec["resources"]["limits"].update(limits or {})
        made["spec"]["strategy"] = _ALL_AT_ONCE
        return made

    def install(cluster: SimulatedCluster, tag: str, version: int, last: bool) -> None:
        made = manifest(tag)
        if release:
            text = json.dumps({key: value for key, value in made.items() if key != "status"})
            record = helm.record(
                version, "deployed" if last else "superseded", f"---\n{text}\n", namespace, name=release
            )
            record["metadata"] |= {"name": f"sh.helm.release.v1.{release}.v{version}"}
            record["metadata"]["labels"] |= {"name": release}
            cluster.apply(record)
            (whole,) = objects_of(text, namespace).values()
            made = as_sent(whole, release, namespace)
        cluster.apply(made)

    def bring(cluster: SimulatedCluster) -> None:
        first = image or f"registry.example/{name}:1.0.0"
        now = cluster.now()
        with cluster.travel(now - days * DAY):
            for each in services if services is not None else (name,):
                made = workloads.service(each, namespace=namespace)
                made["spec"]["selector"] = {"app": name}
                made["spec"]["ports"] = [
                    {"name": label, "port": port, "targetPort": 8080}
                    for label, port in (ports or {"http": 80}).items()
                ]
                cluster.apply(made)
            install(cluster, first, 1, not then)
            cluster.settle(120)
        if then:
            with cluster.travel(now - ago):
                if release:
                    install(cluster, first, 1, False)
                install(cluster, then, 2, True)
                cluster.settle(ago)

    return bring


_ALL_AT_ONCE = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0}}


def stateful(
    name: str,
    namespace: str = NAMESPACE,
    *,
    image: str = "",
    replicas: int = 1,
    container: str = "",
    labels: Mapping[str, str] | None = None,
    claim: str = "",
    size: str = "10Gi",
    service_port: int = 0,
) -> State:
    """A StatefulSet of a day, with a volume for each pod where `claim` names one."""

    def bring(cluster: SimulatedCluster) -> None:
        chosen = {"app": name, **(labels or {})}
        pod = {"containers": [{"name": container or name, "image": image or f"registry.example/{name}:1.0.0"}]}
        spec: Obj = {
            "serviceName": name,
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": chosen}, "spec": pod},
        }
        if claim:
            cluster.apply(storage_class())
            spec["volumeClaimTemplates"] = [{"metadata": {"name": claim}, "spec": _claim(size)}]
        with cluster.travel(cluster.now() - DAY):
            if service_port:
                cluster.apply(workloads.service(name, namespace=namespace, port=service_port))
            cluster.apply(
                {
                    "apiVersion": "apps/v1",
                    "kind": "StatefulSet",
                    "metadata": {"name": name, "namespace": namespace, "labels": chosen},
                    "spec": spec,
                }
            )
            cluster.settle(600)

    return bring


def _claim(size: str) -> Obj:
    return {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "standard",
        "resources": {"requests": {"storage": size}},
    }


def claim(name: str, namespace: str = NAMESPACE, size: str = "50Gi") -> State:
    """A volume by itself, of a storage class that can be expanded."""

    def bring(cluster: SimulatedCluster) -> None:
        cluster.apply(storage_class())
        cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": namespace},
                "spec": _claim(size),
            }
        )

    return bring


def config(name: str, namespace: str = NAMESPACE, /, **data: str) -> State:
    """A ConfigMap, as it is since now; a key's `__` stands for a dot: `config__yaml`."""
    content = {key.replace("__", "."): value for key, value in data.items()}
    return thing("v1", "ConfigMap", name, namespace, data=content)


def since(days: float, state: State) -> State:
    """The same, brought about so many days ago."""

    def bring(cluster: SimulatedCluster) -> None:
        with cluster.travel(cluster.now() - days * DAY):
            state(cluster)
            cluster.step()

    return bring


def thing(api_version: str, kind: str, name: str, namespace: str = NAMESPACE, /, **rest: Any) -> State:
    """Any object."""

    def bring(cluster: SimulatedCluster) -> None:
        cluster.apply(
            clone(
                {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **rest}
            )
        )

    return bring


def cronjob(name: str, namespace: str = NAMESPACE, image: str = "registry.example/backup:1") -> State:
    """A CronJob that is suspended: the template of a Job that is run by hand."""
    container = {"name": "backup", "image": image}
    job = {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}
    spec = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": job}}
    return thing("batch/v1", "CronJob", name, namespace, spec=spec)


def definition(group: str, plural: str, kind: str, version: str = "v1", scope: str = "Namespaced") -> State:
    """A CustomResourceDefinition that takes anything."""

    def bring(cluster: SimulatedCluster) -> None:
        made = clone(workloads.CERTIFICATE_DEFINITION)
        made["metadata"]["name"] = f"{plural}.{group}"
        made["spec"] |= {
            "group": group,
            "scope": scope,
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
        }
        made["spec"]["versions"][0]["name"] = version
        cluster.apply(made)

    return bring


def policy(
    name: str,
    app_name: str,
    namespace: str = NAMESPACE,
    *,
    egress: Sequence[Obj] | None = None,
    ingress: Sequence[Obj] | None = None,
) -> State:
    """A NetworkPolicy on the pods of an app; an empty list lets nothing through."""
    types = [*(["Egress"] if egress is not None else []), *(["Ingress"] if ingress is not None else [])]
    rules = {key: list(each) for key, each in (("egress", egress), ("ingress", ingress)) if each is not None}
    spec = {"podSelector": {"matchLabels": {"app": app_name}}, "policyTypes": types, **rules}
    return thing("networking.k8s.io/v1", "NetworkPolicy", name, namespace, spec=spec)


def port(number: int, protocol: str = "TCP") -> Obj:
    """A rule of a policy: out (or in) at that port."""
    return {"ports": [{"protocol": protocol, "port": number}]}


def autoscaler(name: str, namespace: str = NAMESPACE, *, low: int = 2, high: int = 6, now: int = 0) -> State:
    """A HorizontalPodAutoscaler of a Deployment by CPU; at `now` replicas, its most when left out."""

    def bring(cluster: SimulatedCluster) -> None:
        count = now or high
        target = {"type": "Utilization", "averageUtilization": 80}
        cluster.apply(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                    "minReplicas": low,
                    "maxReplicas": high,
                    "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
                },
                "status": {"currentReplicas": count, "desiredReplicas": count},
            }
        )

    return bring


def logs(
    app_name: str, *lines: str, namespace: str = NAMESPACE, container: str = "", previous: bool = False
) -> State:
    """What the pods of an app have logged."""
    return lambda cluster: cluster.logs.set(
        namespace, f"{app_name}-*", container or app_name, list(lines), previous=previous
    )


def usage(cpu: str, memory: str, of: str = "") -> State:
    """What each container uses; of one app alone (its pods begin with its name) with `of`."""

    def told(pod: Obj, _container: str) -> tuple[str, str] | None:
        return (cpu, memory) if pod["metadata"]["name"].startswith(of) else None

    return lambda cluster: cluster.set_behavior(usage=told)


def behavior(**changes: Any) -> State:
    """How workloads behave, see bridge.demo.behavior: `behavior(oom_cured_at="2Gi")`."""
    return lambda cluster: cluster.set_behavior(**changes)


def crashes_unless(name: str, key: str, text: str, of: str, namespace: str = NAMESPACE) -> State:
    """Pods whose names begin with `of` crash when they start while a ConfigMap's value lacks a text."""

    def judge(cluster: SimulatedCluster, pod: Obj) -> Literal["crash"] | None:
        found = (cluster.get("configmaps", namespace, name) or {}).get("data", {}).get(key, "")
        return "crash" if pod["metadata"]["name"].startswith(of) and text not in found else None

    return lambda cluster: cluster.set_behavior(judge=lambda pod: judge(cluster, pod))


def restarted_pods(of: str, namespace: str = NAMESPACE, seconds: float = 120.0) -> State:
    """The pods whose names begin with `of` were deleted so long ago, and made anew."""

    def bring(cluster: SimulatedCluster) -> None:
        with cluster.travel(cluster.now() - seconds):
            for pod in cluster.list("pods", namespace):
                if pod["metadata"]["name"].startswith(of):
                    delete_object(cluster, cluster.resource("v1", "Pod"), pod, {})
            cluster.settle(seconds)

    return bring


def not_ready(pod: str, namespace: str = NAMESPACE, *, for_ever: bool = False) -> State:
    """One pod hangs: it is not ready, until it is made anew; `for_ever`, then neither."""

    def bring(cluster: SimulatedCluster) -> None:
        found = cluster.get("pods", namespace, pod)
        assert found is not None, pod
        uid = found["metadata"]["uid"]

        def judge(given: Obj) -> Literal["never"] | None:
            same = given["metadata"]["name"] == pod if for_ever else given["metadata"]["uid"] == uid
            return "never" if same else None

        cluster.set_behavior(judge=judge)
        status = clone(found["status"])
        for each in status["conditions"]:
            if each["type"] in ("Ready", "ContainersReady"):
                each["status"] = "False"
        for each in status["containerStatuses"]:
            each["ready"] = False
        cluster.apply({**clone(found), "status": status})
        cluster.step()

    return bring


def unbound(name: str, namespace: str = NAMESPACE) -> State:
    """A claim without its volume."""

    def bring(cluster: SimulatedCluster) -> None:
        found = clone(cluster.get("persistentvolumeclaims", namespace, name) or {})
        cluster.apply({**found, "status": {"phase": "Lost"}})

    return bring


def program(*command: str, stdout: str = "", exit_code: int = 0, namespace: str = "*") -> State:
    """What a command in a container answers."""

    def run(_pod: Obj, _container: str, given: list[str]) -> ExecResult | None:
        same = given[: len(command)] == list(command)
        return ExecResult(stdout=stdout, exit_code=exit_code) if same else None

    return lambda cluster: cluster.programs.add(run, namespace=namespace)


def certificate(name: str = "netweave-tls", namespace: str = NAMESPACE, *, days: float = 7.0) -> State:
    """A Certificate of cert-manager with its Secret, that runs out in so many days."""
    return lambda cluster: workloads.seed_certificate(cluster, name=name, days_left=days, namespace=namespace)


def tls_secret(name: str, namespace: str = NAMESPACE, *, days: float = 2.0, host: str = "example.com") -> State:
    """A pair by itself."""

    def bring(cluster: SimulatedCluster) -> None:
        public, private = _pair(host, round(cluster.now() / DAY) * DAY, days)
        data = {"tls.crt": _encoded(public), "tls.key": _encoded(private)}
        thing("v1", "Secret", name, namespace, type="kubernetes.io/tls", data=data)(cluster)

    return bring


@lru_cache(maxsize=64)
def _pair(host: str, day: float, days: float) -> tuple[bytes, bytes]:
    return self_signed(host, [host], day - 80 * DAY, day + days * DAY)


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def dns(cluster: SimulatedCluster) -> None:
    """kube-system with its DNS."""
    workloads.seed_dns(cluster)


def unwell(*checks: str) -> State:
    """Checks of the API server's own health that fail."""
    return lambda cluster: cluster.unwell.update(checks)
