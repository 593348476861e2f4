"""Helm releases: the recorded one, and one whose chart has a Secret and a history that is full."""

from __future__ import annotations

import base64
from typing import Any

from tests.contract.action_cases import Case, Env, Scene
from tests.support.cluster import BAD, HEALTHY, Site
from tests.support.helm import RELEASE, history, install, post, read, record, recorded

RECORDED = {"release": RELEASE}
_DEPLOYMENT = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: netweave-gateway}
spec:
  selector: {matchLabels: {app: gateway}}
  template:
    metadata: {labels: {app: gateway}}
    spec:
      containers:
      - name: gateway
        image: IMAGE
"""
_SECRET = """
---
apiVersion: v1
kind: Secret
metadata: {name: netweave-login}
stringData: {word: WORD}
"""
_NEW = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: netweave-new}\ndata: {a: '1'}\n"
_OLD = "---\napiVersion: v1\nkind: Service\nmetadata: {name: netweave-old}\nspec: {ports: [{port: 80}]}\n"


async def back(env: Env) -> Scene:
    """The recording's release: two records and two objects change."""
    site = env.site
    about = await install(site, recorded("releases-before-rollback", site.namespace))
    before = await _look(site)

    async def upgraded() -> None:
        manifest = (await history(site))[-1].manifest
        number = (await history(site))[-1].version + 1
        await post(site, record(number, "deployed", manifest, site.namespace))

    async def undone() -> None:
        assert await _look(site) == before

    return Scene(about=about, params=RECORDED, meddle=upgraded, undone=undone)


async def with_secrets(env: Env) -> Scene:
    """A Secret changes, a ConfigMap goes, a Service comes, the workload is new, and the oldest record is pruned."""
    site = env.site
    good = _DEPLOYMENT.replace("IMAGE", HEALTHY) + _SECRET.replace("WORD", "old-word") + _OLD
    bad = _DEPLOYMENT.replace("IMAGE", BAD) + _SECRET.replace("WORD", "new-word") + _NEW
    place = site.namespace
    records = [record(number, "superseded", good, place) for number in (1, 2, 3)]
    about = await install(site, [*records, record(4, "deployed", bad, place)])
    before = await _look(site)
    before["records"].pop(1)

    async def gone() -> None:
        await site.send("DELETE", site.path("secrets", "sh.helm.release.v1.netweave.v1", "/api/v1"))
        await post(site, record(1, "superseded", good, place))

    async def undone() -> None:
        found = await _look(site)
        assert found == before

    async def word_is_back() -> None:
        found = await read(site, "Secret", "netweave-login")
        assert found is not None
        assert base64.b64decode(found["data"]["word"]) == b"old-word"

    return Scene(about=about, params={"max_history": 4}, meddle=gone, undone=undone, settled=word_is_back)


async def _look(site: Site) -> dict[str, Any]:
    """What a rollback changes: every record, and what the objects say."""
    found: dict[str, Any] = {"records": {r.version: (r.body, r.labels) for r in await history(site)}}
    for kind, name, api_version in (
        ("Deployment", "netweave-gateway", "apps/v1"),
        ("ConfigMap", "netweave-extra", "v1"),
        ("ConfigMap", "netweave-new", "v1"),
        ("Service", "netweave-old", "v1"),
        ("Secret", "netweave-login", "v1"),
    ):
        document = await read(site, kind, name, api_version)
        found[name] = document and (document.get("spec"), document.get("data"))
    return found


CASES = (
    Case(
        action="helm_rollback",
        prepare=back,
        needs=("controllers",),
        lacks=("remade",),
        names=("release", "namespace"),
    ),
    Case(
        action="helm_rollback",
        variant="secrets",
        prepare=with_secrets,
        needs=("controllers",),
        lacks=("remade",),
        names=("release", "namespace"),
    ),
)
