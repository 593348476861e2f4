"""A rollback of ours leaves behind what Helm 3.19 left: its recorded records and objects stand in for the program.

The recording: revision 1 installed, 2 deployed, 3 failed with a bad image and one more ConfigMap, then back to 2.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.actions.helm_rollback import HelmRollback
from bridge.errors import PlanError
from bridge.model.helm import Release, judge, last_good, release_of
from bridge.model.marks import REMEDIATION
from bridge.model.plan import Plan
from bridge.model.verification import Answer
from tests.support.cluster import Site, open_site
from tests.support.helm import RELEASE, history, install, post, read, record, recorded
from tests.support.rig import Rig

pytestmark = [pytest.mark.cluster]

SERVERS_OWN = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "namespace")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with open_site() as found:
        await install(found, recorded("releases-before-rollback", found.namespace))
        found.proxy.clear()
        yield found


def rig(site: Site, **params: Any) -> Rig:
    about = site.ref("Deployment", "netweave-gateway")
    return Rig(site, HelmRollback(), {"release": RELEASE, **params}, about)


async def rolled_back(site: Site, **params: Any) -> tuple[Rig, Plan]:
    run = rig(site, **params)
    plan = await run.plan()
    made = await run.make_all(plan)
    assert (await run.verified(plan, made)).answer is Answer.FIXED
    return run, plan


def comparable(release: Release, *, made: bool) -> dict[str, Any]:
    """A record without what a clock or a server chose; of one that was made now, without the times in it."""
    body = dict(release.body)
    info = dict(body["info"])
    labels = dict(release.labels)
    if made:
        assert info.pop("last_deployed")
        assert labels.pop("modifiedAt").isdecimal()
    return {"body": {**body, "info": info}, "labels": labels, "keys": list(body)}


async def test_the_records_are_those_that_helm_left(site: Site) -> None:
    await rolled_back(site)
    ours = await history(site)
    theirs = [release_of(item) for item in recorded("releases-after-rollback", site.namespace)]
    assert [release.version for release in ours] == [1, 2, 3, 4]
    for one, other in zip(ours, theirs, strict=True):
        made = one.version == 4
        assert comparable(one, made=made) == comparable(other, made=made)


async def test_the_objects_are_those_that_helm_left(site: Site) -> None:
    before = {ref: (await site.cluster.get(ref))["metadata"]["uid"] for ref in _staying(site)}
    await rolled_back(site)
    for item in recorded("objects-after-rollback", site.namespace):
        kind, name = item["kind"], item["metadata"]["name"]
        if name == "kube-root-ca.crt":
            continue
        found = await read(site, kind, name, item["apiVersion"])
        assert found is not None, f"{kind} {name}"
        assert _plain(found) == _plain(item)
    assert await read(site, "ConfigMap", "netweave-extra") is None
    assert before == {ref: (await site.cluster.get(ref))["metadata"]["uid"] for ref in _staying(site)}


async def test_the_failed_revision_is_passed_over_and_the_plan_says_what_differs(site: Site) -> None:
    plan = await rig(site).plan()
    assert "from revision 3 (failed, gateway-1.0.0) to 2" in plan.summary
    assert plan.summary.endswith("1 changed, 1 removed")
    names = [(change.operation.value, change.ref.name) for change in plan.changes]
    assert names == [
        ("call", "sh.helm.release.v1.netweave.v3"),
        ("patch", "netweave-gateway"),
        ("delete", "netweave-extra"),
        ("call", "sh.helm.release.v1.netweave.v2"),
        ("call", "sh.helm.release.v1.netweave.v3"),
    ]
    assert [field.pointer for field in plan.changes[1].fields if field.change] == [
        "/spec/template/spec/containers/0/image"
    ]
    assert site.proxy.mutating(dry_runs=True) == []


async def test_what_follows_a_rollback_reads_it_and_goes_on_from_there(site: Site) -> None:
    """As `helm history`, `helm rollback 3` and `helm rollback 1` would."""
    await rolled_back(site)
    with pytest.raises(PlanError, match="rolled back already, to revision 2"):
        await rig(site).plan()
    found = await history(site)
    assert judge(found) == {1: "unproven", 2: "same", 3: "failed", 4: "current"}
    run = rig(site, to_revision=3)
    plan = await run.plan()
    await run.make_all(plan)
    found = await history(site)
    assert [(r.version, r.status, r.description) for r in found[2:]] == [
        (3, "failed", 'Upgrade "netweave" failed: context deadline exceeded'),
        (4, "superseded", "Rollback to 2"),
        (5, "deployed", "Rollback to 3"),
    ]
    assert await read(site, "ConfigMap", "netweave-extra") is not None
    await rolled_back(site, to_revision=1)
    config = await read(site, "ConfigMap", "netweave-config")
    assert config is not None
    assert config["data"] == {"rps": "50"}
    assert await read(site, "ConfigMap", "netweave-extra") is None
    assert [release.status for release in await history(site)][-2:] == ["superseded", "deployed"]


async def test_an_upgrade_after_a_rollback_has_it_to_go_back_to(site: Site) -> None:
    """What Helm records for an upgrade that fails, after what we recorded."""
    await rolled_back(site)
    current = (await history(site))[-1]
    await post(site, record(5, "failed", current.manifest, site.namespace))
    chosen = last_good(await history(site))
    assert chosen is not None
    assert (chosen.version, chosen.description) == (4, "Rollback to 2")


def _staying(site: Site) -> list[Any]:
    return [
        site.ref("Deployment", "netweave-gateway"),
        site.ref("ConfigMap", "netweave-config", "v1"),
        site.ref("Service", "netweave-gateway", "v1"),
    ]


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """An object without what a server or a controller chose, and without our mark."""
    meta = {key: value for key, value in document["metadata"].items() if key not in SERVERS_OWN}
    notes = dict(meta.get("annotations") or {})
    for key in (REMEDIATION, "deployment.kubernetes.io/revision"):
        notes.pop(key, None)
    spec = {k: v for k, v in document.get("spec", {}).items() if k not in ("clusterIP", "clusterIPs")}
    return {"metadata": {**meta, "annotations": notes}, "spec": spec, "data": document.get("data")}
