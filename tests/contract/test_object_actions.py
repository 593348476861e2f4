"""What the actions on nodes, ConfigMaps, volumes, Jobs and objects of any kind refuse, and how they name the mend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.actions.registry import actions
from bridge.errors import InvalidInput, KubeNotFound, PlanError
from bridge.model.plan import Operation, Plan, Undo
from bridge.model.remediation import Outcome
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer
from tests.contract.action_cases.objects import CORE, MESH, TASK, YAML, config, rule, rule_manifest
from tests.support.cluster import BAD, HEALTHY, Site, only_simulated, open_site
from tests.support.rig import Rig

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("quiet_log")]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with open_site() as found:
        yield found


def rig(site: Site, action: str, about: ObjectRef | None = None, **params: Any) -> Rig:
    return Rig(site, actions()[action], params, about or site.ref("Deployment", "web"))


async def plan(site: Site, action: str, about: ObjectRef | None = None, **params: Any) -> Plan:
    made = rig(site, action, about, **params)
    return await made.action.plan(made.context, made.params)


async def refused(site: Site, told: str, action: str, about: ObjectRef | None = None, **params: Any) -> None:
    """It is refused with these words, and nothing was sent that changes something."""
    with pytest.raises((PlanError, InvalidInput), match=told):
        await plan(site, action, about, **params)
    assert site.proxy.mutating(dry_runs=True) == []


def node(name: str) -> ObjectRef:
    return ObjectRef("v1", "Node", "", name, cluster="test")


# -- nodes


async def drained_pod(site: Site, **spec: Any) -> str:
    """Make a bare pod, and return its node."""
    ref = await site.pod(**spec)
    return str((await site.direct.get(ref))["spec"]["nodeName"])


async def test_a_pod_that_nobody_makes_again_keeps_its_node(site: Site) -> None:
    only_simulated(site)
    name = await drained_pod(site)
    await refused(site, r"would not come back.*delete_bare_pods: true", "drain", node(name))
    found = await plan(site, "drain", node(name), delete_bare_pods=True)
    assert [change.operation for change in found.changes] == [Operation.PATCH, Operation.EVICT]
    assert "nothing makes them again" in found.notes[0]


async def test_data_on_a_node_is_lost_only_when_that_was_said(site: Site) -> None:
    only_simulated(site)
    name = await drained_pod(site, volumes=[{"name": "scratch", "emptyDir": {}}])
    await refused(site, "delete_emptydir_data: true", "drain", node(name), delete_bare_pods=True)
    found = await plan(site, "drain", node(name), delete_bare_pods=True, delete_emptydir_data=True)
    assert any("emptyDir data is lost" in note for note in found.notes)


async def test_pods_that_belong_to_a_node_stay_and_those_that_ended_are_left(site: Site) -> None:
    simulated = only_simulated(site)
    body = {"template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [_container()]}}}
    spec = {**body, "selector": {"matchLabels": {"app": "agent"}}}
    await site.send("POST", site.path("daemonsets"), {"metadata": {"name": "agent"}, "spec": spec})
    run = rig(site, "job_run", name="done", template=TASK)
    assert (await run.run()).outcome is Outcome.SUCCEEDED, run.told()
    site.proxy.clear()
    for name in (each["metadata"]["name"] for each in simulated.list("nodes")):
        found = await plan(site, "drain", node(name))
        assert [change.operation for change in found.changes] == [Operation.PATCH]
        assert found.notes == ("1 pods belong to the node and stay",)


async def test_a_drain_counts_what_it_disturbs(site: Site) -> None:
    simulated = only_simulated(site)
    await site.deploy(replicas=6)
    found = await plan(site, "drain", node("node-1"))
    here = [pod for pod in simulated.list("pods", site.namespace) if pod["spec"]["nodeName"] == "node-1"]
    assert (found.disruption.ready_pods, found.disruption.nodes) == (len(here), 1)
    assert found.disruption.percent == round(100 * len(here) / 6, 1)
    assert found.locks == ("test|one node at a time",)


async def test_a_node_is_not_cordoned_when_too_few_others_are_left(site: Site) -> None:
    only_simulated(site)
    await refused(site, "only 2 other nodes take pods .3 are asked for.", "cordon", node("node-1"), others=3)
    for name in ("node-0", "node-2"):
        await site.send("PATCH", f"{CORE}/nodes/{name}", {"spec": {"unschedulable": True}})
    site.proxy.clear()
    await refused(site, "no other node takes pods", "drain", node("node-1"))


async def test_what_a_person_cordoned_is_left_to_that_person(site: Site) -> None:
    only_simulated(site)
    by_hand = f"{CORE}/nodes/node-1?fieldManager=kubectl"
    await site.send("PATCH", by_hand, {"spec": {"unschedulable": True}})
    await refused(site, "by kubectl, not by alertbridge.*anybodys: true", "uncordon", node("node-1"))
    assert (await plan(site, "uncordon", node("node-1"), anybodys=True)).changes
    run = rig(site, "cordon", node("node-2"))
    await run.make_all(await run.plan())
    assert (await plan(site, "uncordon", node("node-2"))).changes


async def test_a_node_has_to_be_named(site: Site) -> None:
    await refused(site, "say which node", "drain")
    await refused(site, "say which ConfigMap", "configmap_patch", set={"a": "b"})


# -- ConfigMaps


async def test_an_immutable_configmap_is_refused(site: Site) -> None:
    body = {"metadata": {"name": "fixed"}, "data": {"a": "1"}, "immutable": True}
    await site.send("POST", site.path("configmaps", api=CORE), body)
    await refused(site, "immutable.*object_apply", "configmap_patch", name="fixed", set={"a": "2"})


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        ({"key": "nope.yaml", "path": "a", "to": 1}, "no key nope.yaml"),
        ({"key": "config.yaml", "path": "rateLimit.rsp", "to": 1}, "which has rps.*create: true"),
        ({"key": "config.yaml", "path": "rateLimit.rps", "to": 1, "only_from": 80}, "is 50, not 80"),
        ({"key": "notes", "path": "a", "to": 1}, "say by `format`"),
        ({"key": "notes", "path": "a", "to": 1, "format": "json"}, "no JSON"),
    ],
)
async def test_an_edit_that_does_not_fit_says_what_is_there(site: Site, edit: dict[str, Any], told: str) -> None:
    ref = await config(site, **{"config.yaml": YAML, "notes": "hello"})
    await refused(site, told, "configmap_patch", ref, edit=[edit])


async def test_edits_of_one_file_build_on_each_other_and_a_done_one_is_no_change(site: Site) -> None:
    ref = await config(site, **{"config.yaml": YAML})
    edits = [
        {"key": "config.yaml", "path": "rateLimit.rps", "to": 100, "only_from": 50},
        {"key": "config.yaml", "path": "rateLimit.burst", "to": 200, "create": True},
    ]
    run = rig(site, "configmap_patch", ref, edit=edits)
    view = await run.run()
    assert view.outcome is Outcome.SUCCEEDED, run.told()
    text = (await site.direct.get(ref))["data"]["config.yaml"]
    assert text == "# limits\nrateLimit:\n  rps: 100  # a second\n  burst: 200\n"
    assert (await plan(site, "configmap_patch", ref, edit=edits)).empty


async def test_an_edit_of_a_credential_is_told_without_it(site: Site) -> None:
    """What a plan says in words is logged and sent to people."""
    ref = await config(site, **{"app.yaml": "db:\n  password: hunter2\n"})
    edit = {"key": "app.yaml", "path": "db.password", "to": "hunter3"}
    found = await plan(site, "configmap_patch", ref, edit=[edit])
    assert "db.password" in found.changes[0].summary
    assert "hunter" not in f"{found.summary} {found.changes[0].summary} {found.notes}"
    await refused(
        site, "is another value, not another value", "configmap_patch", ref, edit=[{**edit, "only_from": 1}]
    )


def test_a_key_is_set_removed_or_edited() -> None:
    model = actions()["configmap_patch"].params
    for wrong in (
        {},
        {"set": {"a": "1"}, "remove": ["a"]},
        {"set": {"../a": "1"}},
        {"set": {"a": "1"}, "edit": [{"key": "a", "path": "b", "to": 1}]},
    ):
        with pytest.raises(ValidationError):
            model.model_validate(wrong)
    assert model.model_validate({"set": {"a": 1, "b": True}}).set == {"a": "1", "b": "true"}  # type: ignore[attr-defined]


# -- volumes


async def claim(site: Site, storage_class: str | None, size: str = "10Gi") -> ObjectRef:
    simulated = only_simulated(site)
    meta = {"name": "data", "namespace": site.namespace}
    spec = {
        "storageClassName": storage_class,
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    }
    status = {"phase": "Bound", "capacity": {"storage": size}}
    kind = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    simulated.apply({**kind, "metadata": meta, "spec": spec, "status": status})
    return site.ref("PersistentVolumeClaim", "data", "v1")


def classes(site: Site) -> None:
    for name, grows in (("growing", True), ("fixed", False)):
        body = {"metadata": {"name": name}, "provisioner": "example.test/disk", "allowVolumeExpansion": grows}
        only_simulated(site).apply({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", **body})


@pytest.mark.parametrize(
    ("storage_class", "params", "told"),
    [
        ("fixed", {"size": "20Gi"}, "does not grow volumes: set `allowVolumeExpansion: true`"),
        ("gone", {"size": "20Gi"}, "storage class gone .* does not exist"),
        ("", {"size": "20Gi"}, "has no storage class"),
        ("growing", {"size": "5Gi"}, "never becomes smaller"),
        ("growing", {"by": "5Gi", "max_size": "10Gi"}, "`max_size` is 10Gi"),
    ],
)
async def test_a_volume_that_cannot_grow_says_why(
    site: Site, storage_class: str, params: dict[str, Any], told: str
) -> None:
    classes(site)
    ref = await claim(site, storage_class)
    await refused(site, told, "pvc_expand", ref, **{"max_size": "100Gi", **params})


async def test_a_volume_grows_to_its_maximum_and_no_further(site: Site) -> None:
    classes(site)
    ref = await claim(site, "growing")
    assert (await plan(site, "pvc_expand", ref, size="10240Mi", max_size="100Gi")).empty
    found = await plan(site, "pvc_expand", ref, factor=2, max_size="15Gi")
    (change,) = found.changes
    assert (change.fields[0].before, change.fields[0].after) == ("10Gi", "15Gi")
    assert "clamped from 20Gi to 15Gi (`max_size`)" in found.notes
    assert found.undo is Undo.NONE
    decimal = await plan(site, "pvc_expand", ref, size="200G", max_size="1Ti")
    assert decimal.changes[0].fields[0].after == "200G"


async def test_a_file_system_that_waits_for_a_pod_is_told_and_not_taken_for_done(site: Site) -> None:
    classes(site)
    ref = await claim(site, "growing")
    run = rig(site, "pvc_expand", ref, size="20Gi", max_size="20Gi")
    found = await run.plan()
    simulated = only_simulated(site)
    stored = simulated.get("persistentvolumeclaims", site.namespace, "data")
    assert stored is not None
    waiting = {"type": "FileSystemResizePending", "status": "True"}
    asked = {**stored["spec"], "resources": {"requests": {"storage": "20Gi"}}}
    # An unbound one is what the simulated storage does not grow.
    status = {"phase": "Lost", "capacity": {"storage": "10Gi"}, "conditions": [waiting]}
    simulated.apply({**stored, "spec": asked, "status": status})
    answer = await run.action.verify(run.context, found, run.params)
    assert (answer.answer, answer.final) == (Answer.NOT_FIXED, False)
    assert "a person has to restart the pod" in answer.detail


# -- any kind


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ("Namespace", "v1"),
        ("Secret", "v1"),
        ("PersistentVolume", "v1"),
        ("PersistentVolumeClaim", "v1"),
        ("CustomResourceDefinition", "apiextensions.k8s.io/v1"),
        ("Pod", "v1"),
        ("Node", "v1"),
    ],
)
async def test_some_kinds_are_never_deleted(site: Site, kind: str, version: str) -> None:
    await refused(site, "is not deleted here", "object_delete", api_version=version, kind=kind, name="x")
    assert site.proxy.requests == []


async def test_what_owns_others_or_waits_for_a_finalizer_goes_only_when_told(site: Site) -> None:
    await site.needs("controllers")
    ref = await site.deploy()
    await refused(site, "owns 1 of kind ReplicaSet.*dependents", "object_delete", ref, api_version="apps/v1")
    found = await plan(site, "object_delete", ref, api_version="apps/v1", dependents="delete")
    assert (found.disruption.ready_pods, found.disruption.percent) == (2, 100.0)
    found = await plan(site, "object_delete", ref, api_version="apps/v1", dependents="orphan")
    assert (found.changes[0].propagation, found.disruption.ready_pods) == ("Orphan", 0)
    guarded = await config(site, "guarded", a="1")
    body = {"metadata": {"finalizers": ["example.test/cleanup"]}}
    await site.send("PATCH", site.path("configmaps", "guarded", CORE), body)
    site.proxy.clear()
    await refused(site, "example.test/cleanup.*with_finalizers: true", "object_delete", guarded, api_version="v1")
    await site.send("PATCH", site.path("configmaps", "guarded", CORE), {"metadata": {"finalizers": None}})


async def test_a_deployment_without_its_pods_has_them_again_after_the_undo(site: Site) -> None:
    await site.needs("controllers")
    ref = await site.deploy()
    run = rig(site, "object_delete", ref, api_version="apps/v1", dependents="delete")
    found = await run.plan()
    made = await run.make_all(found)
    assert (await run.verified(found, made)).answer is Answer.FIXED
    for change in found.inverses:
        assert (await run.make(found, change)).wrote
    await site.until(lambda: site.complete(ref))


async def test_what_is_not_there_needs_no_deletion(site: Site) -> None:
    found = await plan(site, "object_delete", api_version="v1", kind="ConfigMap", name="none")
    assert (found.empty, found.summary) == (True, f"configmap/{site.namespace}/none does not exist")


async def test_what_its_owner_makes_again_is_told(site: Site) -> None:
    ref = await config(site, a="1")
    run = rig(site, "object_delete", ref, api_version="v1")
    found = await run.plan()
    made = await run.make_all(found)
    await config(site, a="1")
    answer = await run.verified(found, made)
    assert (answer.answer, answer.final) == (Answer.NOT_FIXED, True)
    assert "somebody made it again" in answer.detail


async def test_a_job_that_is_deleted_is_not_made_again(site: Site) -> None:
    """An undo that ran a restore a second time would be worse than none."""
    run = rig(site, "job_run", name="once", template=TASK)
    (change,) = (await run.plan()).changes
    await run.make_all(await run.plan())
    about = site.ref("Job", change.ref.name, "batch/v1")
    found = await plan(site, "object_delete", about, api_version="batch/v1", dependents="delete")
    assert (found.undo, found.inverses) == (Undo.NONE, ())


async def test_a_field_of_another_manager_is_named_with_the_mend(site: Site) -> None:
    ref = await rule(site)
    by_hand = site.path("destinationrules", "web", MESH) + "?fieldManager=kubectl"
    await site.send("PATCH", by_hand, {"spec": {"host": "theirs"}})
    told = r"spec\.host of kubectl.*force: true"
    await refused(site, told, "object_apply", ref, manifest=rule_manifest("other"))
    found = await plan(site, "object_apply", ref, manifest=rule_manifest("other"), force=True)
    assert found.changes[0].force
    assert any("takes over spec.host" in note for note in found.notes)


async def test_applying_what_is_there_changes_nothing(site: Site) -> None:
    ref = await rule(site)
    found = await plan(site, "object_apply", ref, manifest=rule_manifest("web"))
    assert found.empty


async def test_our_own_earlier_patch_is_no_conflict(site: Site) -> None:
    """To the server a patch and an apply of ours are two managers."""
    ref = await config(site, level="info")
    run = rig(site, "configmap_patch", ref, set={"level": "debug"})
    await run.make_all(await run.plan())
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ref.name}, "data": {"level": "trace"}}
    again = rig(site, "object_apply", ref, manifest=manifest)
    view = await again.run()
    assert view.outcome is Outcome.SUCCEEDED, again.told()
    assert (await site.direct.get(ref))["data"] == {"level": "trace"}


async def test_a_rule_is_deleted_and_applied_again(site: Site) -> None:
    ref = await rule(site)
    for action, params in (
        ("object_delete", {"api_version": ref.api_version}),
        ("object_apply", {"manifest": rule_manifest("web", trafficPolicy={"tls": {"mode": "ISTIO_MUTUAL"}})}),
    ):
        run = rig(site, action, ref, **params)
        view = await run.run()
        assert view.outcome is Outcome.SUCCEEDED, run.told()
    assert (await site.direct.get(ref))["spec"]["trafficPolicy"] == {"tls": {"mode": "ISTIO_MUTUAL"}}


async def test_a_secret_is_never_applied_from_a_runbook(site: Site) -> None:
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "stringData": {"a": "b"}}
    await refused(site, "tls_rotate", "object_apply", manifest=manifest)


def test_a_manifest_names_itself() -> None:
    model = actions()["object_apply"].params
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    assert model.model_validate({"manifest": whole})
    for missing in whole:
        with pytest.raises(ValidationError):
            model.model_validate({"manifest": {key: value for key, value in whole.items() if key != missing}})
    with pytest.raises(ValidationError, match="status"):
        model.model_validate({"manifest": {**whole, "status": {}}})


# -- Jobs


async def test_a_job_that_fails_is_a_final_answer_with_the_end_of_its_log(site: Site) -> None:
    simulated = only_simulated(site)
    template = {"template": {"spec": {"containers": [{"name": "main", "image": BAD}]}}}
    run = rig(site, "job_run", name="restore", template=template)
    (change,) = (await run.plan()).changes
    simulated.logs.set(site.namespace, f"{change.ref.name}-*", "main", ["restoring", "password=hunter2", "disk full"])
    view = await run.run()
    assert view.outcome is Outcome.FAILED, run.told()
    assert "BackoffLimitExceeded" in view.detail
    assert view.detail.rstrip().endswith("disk full")
    assert "hunter2" not in view.detail
    # What it has done is done: it stays to be looked at.
    assert (await site.direct.get(change.ref))["spec"]["ttlSecondsAfterFinished"] == 86400


async def test_a_job_that_is_gone_did_not_fail(site: Site) -> None:
    """It may have done its work before the cluster removed it: a restore must not be followed by another one."""
    run = rig(site, "job_run", name="gone", template=TASK)
    planned = await run.plan()
    made = await run.make_all(planned)
    running = await run.action.verify(run.after(made), planned, run.params)
    assert running.answer is not Answer.NOT_FIXED, "nor may it be followed by one while it runs"
    await site.direct.delete(made[0].change.ref)

    async def is_gone() -> bool:
        try:
            await site.direct.get(made[0].change.ref)
        except KubeNotFound:
            return True
        return False

    await site.until(is_gone)
    found = await run.action.verify(run.after(made), planned, run.params)
    assert (found.answer, found.final) == (Answer.UNKNOWN, False)


async def test_two_runs_of_one_remediation_need_two_names(site: Site) -> None:
    names = []
    for name in ("first", "first", "second"):
        (change,) = (await plan(site, "job_run", name=name, template=TASK)).changes
        names.append(change.ref.name)
    assert names[0] == names[1] != names[2]
    assert all(len(name) <= 63 for name in names)


async def test_arguments_of_a_job_are_a_list_and_stay_as_they_are(site: Site) -> None:
    """Fault 43."""
    wrong = ["--id", "x; rm -rf /", "$(reboot)"]
    found = await plan(site, "job_run", name="restore", template=TASK, args=wrong)
    pod = found.changes[0].manifest["spec"]["template"]["spec"]  # type: ignore[index]
    assert pod["containers"][0]["args"] == wrong
    assert pod["containers"][0]["command"] == TASK["template"]["spec"]["containers"][0]["command"]
    two = {"template": {"spec": {"containers": [_container(), {**_container(), "name": "side"}]}}}
    await refused(site, "one of main, side", "job_run", name="restore", template=two, args=["x"])


async def test_a_cronjob_that_is_at_work_is_not_run_beside_itself(site: Site) -> None:
    simulated = only_simulated(site)
    meta = {"name": "backup", "namespace": site.namespace}
    spec = {"schedule": "@daily", "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": TASK}}
    status = {"active": [{"name": "backup-1"}]}
    simulated.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": spec, "status": status})
    await refused(site, "at work now .backup-1.", "job_run", name="backup", from_cronjob="backup")


# -- trackers and levels


async def test_a_tracker_is_opened_once_and_then_brought_up_to_date(site: Site) -> None:
    name = "incident-tracker-rem-1"
    for status in ("active", "mitigated"):
        run = rig(site, "incident_tracker", severity="critical", status=status, facts={"found": "a disk"})
        made = await run.make_all(await run.plan())
        assert (await run.verified(await _again(run, made), made)).answer is Answer.FIXED
    data = (await site.direct.get(site.ref("ConfigMap", name, "v1")))["data"]
    assert data.pop("opened_at")
    assert data == {
        "incident_id": "rem-1",
        "target": f"test:deployment/{site.namespace}/web",
        "severity": "critical",
        "status": "mitigated",
        "found": "a disk",
    }
    assert (await plan(site, "incident_tracker", severity="critical", status="mitigated")).empty


async def _again(run: Rig, made: Any) -> Plan:
    return Plan(action=run.action.name, summary="noted", changes=tuple(each.change for each in made))


async def test_somebody_elses_configmap_is_no_tracker(site: Site) -> None:
    await config(site, "incident-tracker-rem-1", mine="yes")
    await refused(site, "no tracker of this incident", "incident_tracker")


def test_a_level_comes_from_one_place() -> None:
    model = actions()["log_level"].params
    for wrong in (
        {"level": "debug"},
        {"level": "debug", "config_map": "a", "env": "B"},
        {"level": "a b", "env": "B"},
    ):
        with pytest.raises(ValidationError):
            model.model_validate(wrong)


async def test_a_level_that_is_set_already_restarts_nothing(site: Site) -> None:
    await config(site, log_level="debug")
    found = await plan(site, "log_level", level="debug", config_map="web-config")
    assert (found.empty, found.action) == (True, "log_level")


def _container() -> dict[str, Any]:
    return {"name": "main", "image": HEALTHY, "command": TASK["template"]["spec"]["containers"][0]["command"]}
