"""A Helm release at a site: the recorded one, whose third revision failed, or one that a test composes."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bridge.errors import KubeNotFound
from bridge.model import helm
from bridge.model.helm import Release
from bridge.model.helm_manifest import as_sent, objects_of
from bridge.model.permits import plural_of
from bridge.model.target import ObjectRef
from tests.support.cluster import BAD, HEALTHY, Site

RECORDINGS = Path(__file__).parents[1] / "contract" / "recordings" / "helm"
RELEASE = "netweave"


def recorded(name: str, namespace: str = "helmed") -> list[dict[str, Any]]:
    """Return the objects of a recording, moved to another namespace, with images that a cluster can run."""
    return [_moved(item, namespace) for item in json.loads((RECORDINGS / f"{name}.json").read_text())["items"]]


def _moved(item: dict[str, Any], namespace: str) -> dict[str, Any]:
    if item["kind"] != "Secret":
        return dict(json.loads(_text(json.dumps(item), namespace)))
    body = helm.decode_body(item["data"]["release"])
    body |= {"namespace": namespace, "manifest": _text(body["manifest"], namespace)}
    moved = copy.deepcopy(item)
    moved["metadata"]["namespace"] = namespace
    moved["data"]["release"] = helm.encode_body(body)
    return moved


def _text(text: str, namespace: str) -> str:
    text = text.replace('"helmed"', f'"{namespace}"')
    return text.replace("gateway:1.0", HEALTHY).replace("gateway:bad", BAD)


def record(
    version: int, status: str, manifest: str, namespace: str, *, description: str = "", **more: Any
) -> dict[str, Any]:
    """Return a release record that a test composes."""
    deployed = helm.nano_time(1_700_000_000 + 3600 * version)
    info = {
        "first_deployed": helm.nano_time(1_700_000_000),
        "last_deployed": deployed,
        "deleted": "",
        "status": status,
    }
    body = {
        "name": RELEASE,
        "info": {**info, "description": description or "Upgrade complete"},
        "chart": {"metadata": {"name": "gateway", "version": f"1.{version}.0", "appVersion": "1.0"}},
        "manifest": manifest,
        "version": version,
        "namespace": namespace,
        **more,
    }
    labels = {"name": RELEASE, "owner": "helm", "status": status, "version": str(version), "modifiedAt": "1700000000"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": helm.SECRET_TYPE,
        "metadata": {"name": helm.secret_name(RELEASE, version), "namespace": namespace, "labels": labels},
        "data": {"release": helm.encode_body(body)},
    }


async def install(site: Site, records: Sequence[Mapping[str, Any]]) -> ObjectRef:
    """Make the records, and the objects as their newest revision has them; return what its Deployment is."""
    for item in records:
        await post(site, item)
    newest = helm.releases_of(records, RELEASE)[-1]
    for manifest in objects_of(newest.manifest, site.namespace).values():
        await post(site, as_sent(manifest, RELEASE, site.namespace))
    return site.ref("Deployment", "netweave-gateway")


async def post(site: Site, item: Mapping[str, Any]) -> dict[str, Any]:
    meta = {k: v for k, v in item["metadata"].items() if k in ("name", "labels", "annotations")}
    group = f"/apis/{item['apiVersion']}" if "/" in item["apiVersion"] else f"/api/{item['apiVersion']}"
    body = {key: value for key, value in item.items() if key != "status"}
    return await site.send("POST", site.path(plural_of(item["kind"]), "", group), {**body, "metadata": meta})


async def history(site: Site) -> list[Release]:
    """Return the release's records, oldest first."""
    found = await site.cluster.list("v1", "Secret", site.namespace, labels={"owner": "helm", "name": RELEASE})
    return helm.releases_of(found, RELEASE)


async def read(site: Site, kind: str, name: str, api_version: str = "v1") -> dict[str, Any] | None:
    try:
        return await site.cluster.get(site.ref(kind, name, api_version))
    except KubeNotFound:
        return None
