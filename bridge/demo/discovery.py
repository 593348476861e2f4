"""What clients ask before they ask for objects: versions, groups, resources, health. Called by `api`."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

from bridge.demo.objects import Obj
from bridge.demo.resources import Resource

if TYPE_CHECKING:
    from bridge.demo.cluster import SimulatedCluster

VERSION: Obj = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.0+simulated",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "none",
    "compiler": "none",
    "platform": "simulated",
}
_HEALTH = ("/readyz", "/livez", "/healthz")
_CHECKS = ("ping", "log", "etcd", "informer-sync", "poststarthook/start-apiextensions-informers")


def answer(cluster: SimulatedCluster, path: str, address: str) -> Obj | str | None:
    """The document at a path of discovery; None when the path is no such."""
    path = path.rstrip("/")
    if path == "/version":
        return VERSION
    if path == "/api":
        clients = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": clients}
    if path == "/apis":
        groups = [_group(cluster, group) for group in _groups(cluster)]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    parts = path.strip("/").split("/")
    if len(parts) == 2 and parts[0] == "api":
        return _resources(cluster, "", parts[1])
    if len(parts) == 2 and parts[0] == "apis" and parts[1] in _groups(cluster):
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(cluster, parts[1])}
    if len(parts) == 3 and parts[0] == "apis":
        return _resources(cluster, parts[1], parts[2])
    return None


def health(cluster: SimulatedCluster, path: str, verbose: bool) -> tuple[int, str] | None:
    """Status and text of a health endpoint; None when the path is none. A failing check is named in `unwell`."""
    root, _, check = path.strip("/").partition("/")
    if f"/{root}" not in _HEALTH:
        return None
    checks = [check] if check else [*_CHECKS, *sorted(cluster.unwell.difference(_CHECKS))]
    failed = cluster.unwell.intersection(checks)
    if check:
        return (500, f'internal server error: "{check}" failed\n') if failed else (200, "ok")
    if not failed and not verbose:
        return 200, "ok"
    lines = [f"[-]{name} failed: reason withheld" if name in failed else f"[+]{name} ok" for name in checks]
    return (500 if failed else 200), "\n".join([*lines, f"{root} check {'failed' if failed else 'passed'}"]) + "\n"


def _groups(cluster: SimulatedCluster) -> list[str]:
    return list(dict.fromkeys(group for group, _ in cluster.registry.group_versions() if group))


def _group(cluster: SimulatedCluster, group: str) -> Obj:
    versions = [
        {"groupVersion": f"{group}/{version}", "version": version}
        for found, version in cluster.registry.group_versions()
        if found == group
    ]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _resources(cluster: SimulatedCluster, group: str, version: str) -> Obj | None:
    found = list(cluster.registry.in_version(group, version))
    if not found:
        return None
    entries: list[Obj] = []
    for resource in found:
        entries.append(_entry(resource))
        entries += [_subresource_entry(resource, name) for name in resource.subresources]
    group_version = f"{group}/{version}" if group else version
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version}
    return {**head, "resources": entries}


def _entry(resource: Resource) -> Obj:
    entry: Obj = {
        "name": resource.plural,
        "singularName": resource.singular or resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "list" in resource.verbs:
        digest = hashlib.sha256(f"{resource.group}/{resource.version}/{resource.kind}".encode()).digest()
        entry["storageVersionHash"] = base64.b64encode(digest[:8]).decode()
    return entry


def _subresource_entry(resource: Resource, name: str) -> Obj:
    entry: Obj = {"name": f"{resource.plural}/{name}", "singularName": "", "namespaced": resource.namespaced}
    if name == "scale":
        return {
            **entry,
            "group": "autoscaling",
            "version": "v1",
            "kind": "Scale",
            "verbs": ["get", "patch", "update"],
        }
    if name == "eviction":
        return {**entry, "group": "policy", "version": "v1", "kind": "Eviction", "verbs": ["create"]}
    if name == "log":
        return {**entry, "kind": resource.kind, "verbs": ["get"]}
    if name == "proxy":
        return {**entry, "kind": "ServiceProxyOptions", "verbs": ["get"]}
    if name == "finalize":
        return {**entry, "kind": resource.kind, "verbs": ["update"]}
    return {**entry, "kind": resource.kind, "verbs": ["get", "patch", "update"]}
