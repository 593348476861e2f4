"""What a Helm rollback plans, and what it refuses with the mend: at a cluster in a dictionary."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bridge.actions.helm_rollback import HelmRollback, RollbackParams
from bridge.engine.context import RunContext
from bridge.errors import AlertbridgeError, InvalidInput, PlanError
from bridge.model.plan import Operation, Plan
from bridge.model.target import Target
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from tests.support.clock import START, FakeClock
from tests.support.fake_cluster import FakeCluster
from tests.support.helm import RELEASE, record

OWN = {"meta.helm.sh/release-name": RELEASE, "meta.helm.sh/release-namespace": "shop"}
LABELS = {"app.kubernetes.io/managed-by": "Helm"}


def manifest(kind: str, name: str, api_version: str = "v1", **more: str) -> str:
    lines = [f"{key}: {value}" for key, value in {"apiVersion": api_version, "kind": kind, **more}.items()]
    return "\n".join(["---", f"metadata: {{name: {name}}}", *lines]) + "\n"


def live(kind: str, name: str, api_version: str = "v1", **more: Any) -> dict[str, Any]:
    meta = {"name": name, "annotations": dict(OWN), "labels": dict(LABELS)}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **more}


CONFIG = manifest("ConfigMap", "config", data="{a: '1'}")
OTHER = manifest("ConfigMap", "config", data="{a: '2'}")


def release(old: str, new: str, *documents: dict[str, Any], status: str = "deployed", **more: Any) -> FakeCluster:
    records = (record(1, "superseded", old, "shop", **more), record(2, status, new, "shop"))
    return FakeCluster(*records, *documents)


def context(cluster: FakeCluster, kind: str = "HelmRelease", name: str = RELEASE) -> RunContext:
    reach = Reach(cluster, FakeClock(), Outside(OutsideSettings()))
    return RunContext(remediation="rem-1", planned_at=START, target=Target("test", kind, "shop", name), reach=reach)


async def plan(cluster: FakeCluster, **params: Any) -> Plan:
    return await HelmRollback().plan(context(cluster), RollbackParams(**params))


def objects(found: Plan) -> list[tuple[str, str]]:
    return [(c.operation.value, c.ref.name) for c in found.changes if not c.ref.name.startswith("sh.helm")]


async def test_what_differs_is_created_changed_and_removed_in_helms_order() -> None:
    gone, new = manifest("ServiceAccount", "gone"), manifest("Service", "new", spec="{ports: [{port: 80}]}")
    cluster = release(
        CONFIG + new, OTHER + gone, live("ConfigMap", "config", data={"a": "2"}), live("ServiceAccount", "gone")
    )
    found = await plan(cluster)
    assert objects(found) == [("patch", "config"), ("create", "new"), ("delete", "gone")]
    assert all(change.as_owner == "Helm" for change in found.changes)
    created = found.changes[2].manifest
    assert created is not None
    assert created["metadata"]["annotations"] == OWN


async def test_what_somebody_removed_by_hand_is_made_again() -> None:
    found = await plan(release(CONFIG, OTHER))
    assert objects(found) == [("create", "config")]


async def test_what_is_so_already_is_left_alone() -> None:
    found = await plan(release(CONFIG, OTHER, live("ConfigMap", "config", data={"a": "1"})))
    assert objects(found) == []
    assert "no object differs" in found.summary


@pytest.mark.parametrize("status", ["pending-install", "pending-upgrade", "pending-rollback"])
async def test_while_helm_is_at_work_nothing_is_rolled_back(status: str) -> None:
    with pytest.raises(PlanError, match=f"is {status}.*helm rollback netweave REVISION -n shop"):
        await plan(release(CONFIG, OTHER, status=status))


@pytest.mark.parametrize("status", ["uninstalling", "uninstalled", "unknown"])
async def test_what_is_uninstalled_is_brought_back_by_a_person(status: str) -> None:
    with pytest.raises(PlanError, match=f"is {status}"):
        await plan(release(CONFIG, OTHER, status=status))


async def test_hooks_are_not_left_out_unless_told() -> None:
    hooks = [{"name": "check", "kind": "Job", "events": ["post-rollback"]}, {"name": "x", "events": ["pre-install"]}]
    cluster = release(CONFIG, OTHER, live("ConfigMap", "config", data={"a": "2"}), hooks=hooks)
    with pytest.raises(PlanError, match=r"hooks \(Job/check\).*allow_hooks: true"):
        await plan(cluster)
    found = await plan(cluster, allow_hooks=True)
    assert "hooks are not run: Job/check" in found.notes


async def test_kinds_that_the_step_does_not_name_are_not_touched() -> None:
    job, changed = manifest("Job", "job", "batch/v1"), manifest("Job", "job", "batch/v1", spec="{parallelism: 2}")
    config = live("ConfigMap", "config", data={"a": "2"})
    with pytest.raises(PlanError, match="job/job differs between the revisions: add batch/Job to the step's `kinds`"):
        await plan(release(CONFIG + job, OTHER + changed, config))
    found = await plan(release(CONFIG + job, OTHER + job, config))
    assert any("job/job is not looked at" in note for note in found.notes)
    both = await plan(
        release(CONFIG + job, OTHER + changed, config, live("Job", "job", "batch/v1", spec={"parallelism": 2})),
        kinds=["ConfigMap", "Job"],
    )
    assert objects(both) == [("patch", "config"), ("patch", "job")]


async def test_a_claim_is_not_deleted_with_its_data_unless_told() -> None:
    claim = manifest("PersistentVolumeClaim", "data")
    cluster = release(CONFIG, CONFIG + claim, live("ConfigMap", "config", data={"a": "1"}))
    cluster.put(live("PersistentVolumeClaim", "data"))
    kinds = ["ConfigMap", "PersistentVolumeClaim"]
    with pytest.raises(PlanError, match="allow_data_loss: true"):
        await plan(cluster, kinds=kinds)
    assert objects(await plan(cluster, kinds=kinds, allow_data_loss=True)) == [("delete", "data")]
    kept = cluster.objects["PersistentVolumeClaim", "shop", "data"]
    kept["metadata"]["annotations"]["helm.sh/resource-policy"] = "keep"
    found = await plan(cluster, kinds=kinds)
    assert objects(found) == []
    assert any("stays: it has helm.sh/resource-policy: keep" in note for note in found.notes)


async def test_an_object_of_others_is_not_taken_over() -> None:
    theirs = live("ConfigMap", "config", data={"a": "theirs"})
    theirs["metadata"]["annotations"] = {}
    with pytest.raises(PlanError, match=r"config is there and not of release netweave.*meta.helm.sh/release-name"):
        await plan(release(CONFIG, manifest("ConfigMap", "else"), theirs, live("ConfigMap", "else")))


async def test_an_object_in_another_namespace_is_left_to_helm() -> None:
    far = CONFIG.replace("{name: config}", "{name: config, namespace: far}")
    with pytest.raises(PlanError, match=r"in namespace far: a rollback here stays in shop; use `helm rollback"):
        await plan(release(far, OTHER, live("ConfigMap", "config", data={"a": "2"})))


async def test_an_autoscalers_count_is_left_to_it() -> None:
    def web(image: str) -> str:
        spec = "{replicas: 2, selector: {matchLabels: {a: b}}, template: {spec: {containers: [{name: m, image: I}]}}}"
        return manifest("Deployment", "web", "apps/v1", spec=spec.replace("I}", f"'{image}'}}"))

    scaled = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}}
    hpa = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "auto"}, "spec": scaled}
    spec = {"replicas": 5, "template": {"spec": {"containers": [{"name": "m", "image": "2"}]}}}
    spec |= {"selector": {"matchLabels": {"a": "b"}}}
    found = await plan(release(web("1"), web("2"), live("Deployment", "web", "apps/v1", spec=spec), hpa))
    (change,) = [change for change in found.changes if change.ref.kind == "Deployment"]
    assert [field.pointer for field in change.fields if field.change] == ["/spec/template/spec/containers/0/image"]
    assert any("keeps 5 replicas" in note for note in found.notes)
    alone = await plan(release(web("1"), web("2"), live("Deployment", "web", "apps/v1", spec=spec)))
    (change,) = [change for change in alone.changes if change.ref.kind == "Deployment"]
    assert "/spec/replicas" in [field.pointer for field in change.fields]


async def test_what_somebody_is_deleting_is_left_alone() -> None:
    going = live("ConfigMap", "config", data={"a": "2"})
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    with pytest.raises(PlanError, match="is being deleted"):
        await plan(release(CONFIG, OTHER, going))


async def test_a_revision_that_is_not_there_is_an_error_that_says_which_are() -> None:
    with pytest.raises(PlanError, match=r"no revision 7; it has 1 \(proven\), 2 \(current\)"):
        await plan(release(CONFIG, OTHER), to_revision=7)


async def test_the_present_revision_is_nothing_to_do() -> None:
    found = await plan(release(CONFIG, OTHER), to_revision=2)
    assert found.empty
    assert found.summary == "release netweave is at revision 2 already"


async def test_a_release_without_a_good_revision_is_for_a_person() -> None:
    cluster = FakeCluster(record(1, "failed", CONFIG, "shop"), record(2, "failed", OTHER, "shop"))
    with pytest.raises(PlanError, match=r"no good revision to go back to; it has 1 \(failed\)"):
        await plan(cluster)


async def test_a_release_that_is_not_there_is_an_error_that_says_how_to_find_it() -> None:
    with pytest.raises(PlanError, match=r"no release other in namespace shop.*helm list -A"):
        await plan(release(CONFIG, OTHER), release="other")


async def test_a_record_that_cannot_be_read_is_an_error_without_its_content() -> None:
    cluster = release(CONFIG, OTHER)
    cluster.objects["Secret", "shop", "sh.helm.release.v1.netweave.v2"]["data"]["release"] = "c2VjcmV0LXdvcmQ="
    with pytest.raises(PlanError, match="the record cannot be read") as caught:
        await plan(cluster)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "notes", "error"),
    [
        ("Deployment", {}, "is of no Helm release: use `rollout_undo`"),
        ("Deployment", {**OWN, "meta.helm.sh/release-namespace": "far"}, "set `namespace: far`"),
        ("Node", {}, "set `release`"),
    ],
)
async def test_a_target_of_no_release_is_an_error_with_the_mend(kind: str, notes: dict[str, str], error: str) -> None:
    document = live("Deployment", "web", "apps/v1")
    document["metadata"]["annotations"] = notes
    with pytest.raises((PlanError, InvalidInput), match=error):
        await HelmRollback().plan(context(FakeCluster(document), kind, "web"), RollbackParams())


async def test_a_deployments_release_is_found_by_its_annotation() -> None:
    cluster = release(
        CONFIG, OTHER, live("ConfigMap", "config", data={"a": "2"}), live("Deployment", "web", "apps/v1")
    )
    found = await HelmRollback().plan(context(cluster, "Deployment", "web"), RollbackParams())
    assert objects(found) == [("patch", "config")]


async def test_no_times_but_the_remediations_are_in_a_plan() -> None:
    cluster = release(CONFIG, OTHER, live("ConfigMap", "config", data={"a": "2"}))
    first, again = await plan(cluster), await plan(cluster)
    assert first.hash == again.hash
    assert {c.call["at"] for c in first.changes if c.operation is Operation.CALL} == {START}
    assert first.locks == ("test|helm|shop|netweave",)


@pytest.mark.parametrize("kinds", [["Widget"], [], ["Deployment"] * 51])
def test_wrong_kinds_are_errors(kinds: list[str]) -> None:
    with pytest.raises(ValidationError):
        RollbackParams(kinds=kinds)


def test_permissions_are_those_of_the_named_kinds() -> None:
    asked = HelmRollback().permissions("Deployment", {"kinds": ["Deployment", "cert-manager.io/Certificate"]})
    assert {(each.group, each.resource) for each in asked if "delete" in each.verbs} == {
        ("", "secrets"),
        ("apps", "deployments"),
        ("cert-manager.io", "certificates"),
    }
    usual = HelmRollback().permissions("Deployment", {"kinds": "${params.kinds}"})
    assert ("", "configmaps") in {(each.group, each.resource) for each in usual}


@pytest.mark.parametrize("bad", ["../x", "A", "", "a/b"])
async def test_a_name_that_could_widen_a_request_is_refused(bad: str) -> None:
    with pytest.raises(AlertbridgeError):
        await plan(release(CONFIG, OTHER), release=bad)
