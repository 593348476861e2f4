"""A Helm rollback that cannot be finished, that is undone, or that must not begin: what is left behind then."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from bridge.actions.helm_rollback import HelmRollback
from bridge.errors import PermanentError, PlanStale, UndoBlocked
from bridge.evidence.registry import collectors
from bridge.guards.owner import OwnerGuard
from bridge.kube.client import KubeCluster
from bridge.kube.connection import ClusterConnection
from bridge.model.mode import Mode
from bridge.model.plan import Operation
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, Remediation
from bridge.model.verification import Answer
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from tests.support.cluster import BAD, HEALTHY, Site, open_site
from tests.support.helm import RELEASE, history, install, post, read, record, recorded
from tests.support.rig import REMEDIATION, Rig

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("quiet_log")]

DEPLOYMENT = """
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: netweave-gateway}
spec:
  replicas: 2
  progressDeadlineSeconds: 1
  selector: {matchLabels: {app: gateway}}
  template:
    metadata: {labels: {app: gateway}}
    spec:
      containers:
      - {name: gateway, image: "IMAGE"}
"""
SECRET = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: netweave-login}\nstringData: {word: WORD}\n"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with open_site() as found:
        yield found


async def failed_upgrade(site: Site, **params: Any) -> Rig:
    """The recording's release after its failed third revision."""
    about = await install(site, recorded("releases-before-rollback", site.namespace))
    site.proxy.clear()
    return Rig(site, HelmRollback(), {"release": RELEASE, **params}, about)


async def states(site: Site) -> list[tuple[int, str]]:
    return [(release.version, release.status) for release in await history(site)]


async def image(site: Site) -> str:
    found = await read(site, "Deployment", "netweave-gateway", "apps/v1")
    assert found is not None
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


async def test_a_rollback_that_fails_half_way_is_put_back_and_leaves_no_record(site: Site) -> None:
    rig = await failed_upgrade(site)
    before = [release.body for release in await history(site)]
    site.proxy.faults.answer(422, method="DELETE", path=".*configmaps/netweave-extra.*", times=None)
    view = await rig.run()
    assert (view.outcome, view.escalated) == (Outcome.FAILED, True), rig.told()
    assert [release.body for release in await history(site)] == before
    assert await image(site) == BAD
    assert await read(site, "ConfigMap", "netweave-extra") is not None


async def test_what_cannot_be_put_back_is_recorded_as_failed_and_said(site: Site) -> None:
    """Somebody repairs the Deployment by hand in the midst: theirs stays, and nothing stays pending."""
    rig = await failed_upgrade(site)
    site.proxy.faults.answer(422, method="DELETE", path=".*configmaps/netweave-extra.*", times=None)
    applied = 0

    async def repair(point: str) -> None:
        nonlocal applied
        if point == "after applied":
            applied += 1
            if applied == 2:
                container = {"containers": [{"name": "gateway", "image": f"{HEALTHY}-by-hand"}]}
                by_hand = {"spec": {"template": {"spec": container}}}
                await site.send("PATCH", site.path("deployments", "netweave-gateway"), by_hand)

    rig.work.point = repair
    view = await rig.run()
    assert view.escalated, rig.told()
    assert await states(site) == [(1, "superseded"), (2, "deployed"), (3, "failed"), (4, "failed")]
    newest = (await history(site))[-1]
    assert newest.description.startswith('Rollback "netweave" failed:')
    assert "deployment/" in newest.description
    assert "v4 is recorded as failed" in view.detail
    assert (await image(site)).endswith("-by-hand")


async def test_an_undo_after_an_upgrade_puts_nothing_back(site: Site) -> None:
    rig = await failed_upgrade(site)
    plan = await rig.plan()
    made = await rig.make_all(plan)
    await post(site, record(5, "deployed", (await history(site))[-1].manifest, site.namespace))
    done = msgspec.structs.replace(plan, changes=tuple(each.change for each in made))
    before = await states(site)
    with pytest.raises(UndoBlocked, match=r"v5 is there: the release was changed since"):
        await rig.make(done, done.inverses[0])
    assert await states(site) == before


async def test_an_undo_leaves_records_and_objects_as_they_were(site: Site) -> None:
    rig = await failed_upgrade(site)
    before = [(release.body, release.labels) for release in await history(site)]
    plan = await rig.plan()
    made = await rig.make_all(plan)
    done = msgspec.structs.replace(plan, changes=tuple(each.change for each in made))
    for change in done.inverses:
        await rig.make(done, change)
    assert [(release.body, release.labels) for release in await history(site)] == before
    assert await image(site) == BAD


async def test_helm_that_comes_first_makes_the_plan_stale(site: Site) -> None:
    """Its new record is the lock: of two that begin, one finds it there."""
    rig = await failed_upgrade(site)
    plan = await rig.plan()
    await post(site, record(4, "pending-upgrade", "", site.namespace))
    with pytest.raises(PlanStale, match="somebody changed the release"):
        await rig.make(plan, plan.changes[0])


async def test_a_rollback_to_what_does_not_start_is_not_fixed_for_good(site: Site) -> None:
    bad, good = DEPLOYMENT.replace("IMAGE", BAD), DEPLOYMENT.replace("IMAGE", HEALTHY)
    place = site.namespace
    about = await install(site, [record(1, "superseded", bad, place), record(2, "deployed", good, place)])
    await site.until(lambda: site.complete(about))
    rig = Rig(site, HelmRollback(), {"release": RELEASE}, about)
    plan = await rig.plan()
    made = await rig.make_all(plan)
    answer = await rig.verified(plan, made)
    assert (answer.answer, answer.final) == (Answer.NOT_FIXED, True)
    assert "progress deadline" in answer.detail


MORE = """
      - name: side
        image: "IMAGE"
        ports: [{containerPort: 8080}]
        env: [{name: WHERE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}]
        resources: {limits: {cpu: 1000m, memory: 1024Mi}}
        livenessProbe: {httpGet: {path: /, port: 8080}}
        volumeMounts: [{name: config, mountPath: /etc/config}]
      volumes: [{name: config, configMap: {name: config, optional: true}}]
"""


async def test_what_the_server_fills_in_is_neither_a_change_nor_in_the_way_of_the_undo(site: Site) -> None:
    """A container that comes back is read with defaults in it: it is made all the same, and goes again."""
    small = DEPLOYMENT.replace("IMAGE", HEALTHY)
    large = (DEPLOYMENT.rstrip("\n") + MORE).replace("IMAGE", HEALTHY)
    place = site.namespace
    about = await install(site, [record(1, "superseded", large, place), record(2, "deployed", small, place)])
    before = (await site.cluster.get(about))["spec"]
    rig = Rig(site, HelmRollback(), {"release": RELEASE}, about)
    plan = await rig.plan()
    made = await rig.make_all(plan)
    assert [each.wrote for each in await rig.make_all(plan, doubtful=True)] == [True] * len(plan.changes)
    assert (await rig.verified(plan, made)).answer is Answer.FIXED
    containers = (await site.cluster.get(about))["spec"]["template"]["spec"]["containers"]
    assert [container["name"] for container in containers] == ["gateway", "side"]
    assert containers[1]["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert containers[1]["livenessProbe"]["periodSeconds"] == 10
    done = msgspec.structs.replace(plan, changes=tuple(each.change for each in made))
    for change in done.inverses:
        await rig.make(done, change)
    assert (await site.cluster.get(about))["spec"] == before


async def test_disruption_counts_the_ready_pods_of_what_is_replaced(site: Site) -> None:
    old, new = DEPLOYMENT.replace("IMAGE", HEALTHY), DEPLOYMENT.replace("IMAGE", HEALTHY.replace("3.10", "3.9"))
    place = site.namespace
    about = await install(site, [record(1, "superseded", new, place), record(2, "deployed", old, place)])
    await site.until(lambda: site.complete(about))
    plan = await Rig(site, HelmRollback(), {"release": RELEASE}, about).plan()
    assert (plan.disruption.ready_pods, plan.disruption.percent) == (2, 100.0)


async def test_nothing_of_a_secret_reaches_plan_journal_or_report(site: Site) -> None:
    """The records hold values and Secrets of the chart; a plan names them and finds them when it is made."""
    place = site.namespace
    old = DEPLOYMENT.replace("IMAGE", HEALTHY) + SECRET.replace("WORD", "old-secret-word")
    new = DEPLOYMENT.replace("IMAGE", HEALTHY) + SECRET.replace("WORD", "new-secret-word")
    more = {"config": {"login": "value-of-the-chart"}}
    about = await install(
        site, [record(1, "superseded", old, place, **more), record(2, "deployed", new, place, **more)]
    )
    rig = Rig(site, HelmRollback(), {"release": RELEASE}, about)
    view = await rig.run()
    assert view.outcome is Outcome.SUCCEEDED, rig.told()
    secret = await read(site, "Secret", "netweave-login")
    assert secret is not None
    assert base64.b64decode(secret["data"]["word"]) == b"old-secret-word"
    kept = msgspec.json.encode([rig.work.rows[REMEDIATION].entries, view]).decode()
    assert "netweave-login" in kept
    for word in ("old-secret-word", "new-secret-word", "value-of-the-chart"):
        assert word not in kept
        assert base64.b64encode(word.encode()).decode() not in kept
    for release in await history(site):
        encoded = (await read(site, "Secret", release.secret) or {})["data"]["release"]
        assert encoded[:200] not in kept
        assert base64.b64decode(encoded).decode()[:200] not in kept


@pytest.mark.parametrize(
    ("meta", "who"),
    [
        ({"labels": {"helm.toolkit.fluxcd.io/name": "web"}}, "Flux helmrelease web"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "web:apps/Deployment:x/y"}}, "Argo CD application web"),
    ],
)
@pytest.mark.parametrize("place", ["object", "record", "new object"])
async def test_a_release_that_a_gitops_controller_owns_is_left_to_it(
    site: Site, meta: dict[str, Any], who: str, place: str
) -> None:
    """What Git holds comes back, whatever is rolled back here."""
    if place == "new object":
        added = (
            f"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {json.dumps({'name': 'new', **meta})}\ndata: {{a: b}}\n"
        )
        base = DEPLOYMENT.replace("IMAGE", HEALTHY)
        records = [
            record(1, "superseded", base + added, site.namespace),
            record(2, "deployed", base, site.namespace),
        ]
        rig = Rig(site, HelmRollback(), {"release": RELEASE}, await install(site, records))
    else:
        rig = await failed_upgrade(site)
        path = site.path("deployments", "netweave-gateway")
        if place == "record":
            path = site.path("secrets", "sh.helm.release.v1.netweave.v3", "/api/v1")
        await site.send("PATCH", path, {"metadata": meta})
    plan = await rig.plan()
    rem = Remediation(id=REMEDIATION, runbook="r", target=rig.target, mode=Mode.AUTO)
    verdict = await OwnerGuard().check(rem, plan, rig.context)
    assert verdict.reason is Reason.OWNER_WOULD_REVERT
    assert who in verdict.detail
    allowed = msgspec.structs.replace(rem, allow_drift=True)
    assert (await OwnerGuard().check(allowed, plan, rig.context)).reason is not Reason.OWNER_WOULD_REVERT


async def test_helm_itself_does_not_stand_in_the_way_of_a_rollback_through_its_records(site: Site) -> None:
    rig = await failed_upgrade(site)
    plan = await rig.plan()
    rem = Remediation(id=REMEDIATION, runbook="r", target=rig.target, mode=Mode.AUTO)
    verdict = await OwnerGuard().check(rem, plan, rig.context)
    assert verdict.reason is not Reason.OWNER_WOULD_REVERT, verdict.detail


async def test_without_leave_to_read_secrets_the_error_names_the_setting(site: Site) -> None:
    rig = await failed_upgrade(site)
    closed = KubeCluster(ClusterConnection(name="test", url=site.proxy.url))
    context = msgspec.structs.replace(rig.context, reach=Reach(closed, rig.clock, Outside(OutsideSettings())))
    try:
        with pytest.raises(PermanentError, match="secret_namespaces"):
            await rig.action.plan(context, rig.params)
    finally:
        await closed.close()


async def test_the_release_is_found_by_the_target_and_its_history_is_evidence(site: Site) -> None:
    rig = await failed_upgrade(site)
    path = site.path("deployments", "netweave-gateway")
    await site.send("PATCH", path, {"metadata": {"annotations": {"meta.helm.sh/release-namespace": site.namespace}}})
    found = await collectors()["helm"].collect(rig.context, collectors()["helm"].params())
    assert {key: found[key] for key in ("release", "revision", "status", "pending", "went_back")} == {
        "release": RELEASE,
        "revision": 3,
        "status": "failed",
        "pending": False,
        "went_back": False,
    }
    assert (found["last_good"]["revision"], found["last_good"]["judgement"]) == (2, "deployed")
    assert [item["revision"] for item in found["history"]] == [3, 2, 1]
    assert found["history"][0]["description"] == 'Upgrade "netweave" failed: context deadline exceeded'
    plan = await rig.action.plan(rig.context, rig.action.params())
    assert "from revision 3" in plan.summary


async def test_old_records_go_when_the_history_is_full(site: Site) -> None:
    manifest = DEPLOYMENT.replace("IMAGE", HEALTHY)
    place = site.namespace
    older = DEPLOYMENT.replace("IMAGE", HEALTHY.replace("3.10", "3.9"))
    records = [record(n, "superseded", older, place) for n in range(1, 10)] + [
        record(10, "deployed", manifest, place)
    ]
    rig = Rig(site, HelmRollback(), {"release": RELEASE}, await install(site, records))
    plan = await rig.plan()
    assert [change.operation for change in plan.changes][:2] == [Operation.DELETE, Operation.CALL]
    await rig.make_all(plan)
    assert [version for version, _ in await states(site)] == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
