"""Creating, applying, deleting and evicting: once, under preconditions, and undone only as long as it is ours."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridge.engine.apply import ChangeApplier
from bridge.engine.writes import MARK
from bridge.errors import (
    DisruptionRefused,
    KubeBusy,
    KubeConflict,
    KubeForbidden,
    KubeReplyLost,
    KubeUnavailable,
    PlanStale,
    TargetReplaced,
)
from bridge.model.plan import Change, Field, Made, Operation
from bridge.model.target import ObjectRef
from tests.support.flaky_cluster import Fault, FlakyCluster

CONFIG = ObjectRef("v1", "ConfigMap", "shop", "config")
THERE = ObjectRef("v1", "ConfigMap", "shop", "there", uid="uid-there")
POD = ObjectRef("v1", "Pod", "shop", "web-0", uid="uid-pod")
MANIFEST = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"labels": {"a": "b"}}, "data": {"level": "debug"}}
CREATE = Change(ref=CONFIG, operation=Operation.CREATE, manifest=MANIFEST, summary="make it")
APPLY = Change(
    ref=THERE,
    operation=Operation.APPLY,
    manifest={"data": {"level": "debug"}},
    fields=(Field("/data/level", "info", "debug"), Field("/data/kept", "x", "x", change=False)),
    summary="apply it",
)
DELETE = Change(ref=THERE, operation=Operation.DELETE, manifest={"data": {"level": "info"}}, summary="delete it")
EVICT = Change(ref=POD, operation=Operation.EVICT, summary="evict it")
LOST = KubeReplyLost("cut")


@pytest.fixture
def cluster() -> FlakyCluster:
    cluster = FlakyCluster()
    cluster.add(THERE, data={"level": "info", "kept": "x"})
    cluster.add(POD, spec={})
    return cluster


async def make(cluster: FlakyCluster, change: Change | None, remediation: str = "r1") -> Made:
    assert change is not None
    return await ChangeApplier(cluster).apply(change, remediation=remediation)


def there(cluster: FlakyCluster, ref: ObjectRef) -> bool:
    return any(key[1:] == (ref.kind, ref.namespace, ref.name) for key in cluster.objects)


# -- create


async def test_what_is_created_carries_our_mark_and_can_be_taken_away_again(cluster: FlakyCluster) -> None:
    made = await make(cluster, CREATE)
    assert made.wrote
    document = cluster.document(CONFIG)
    assert document["metadata"]["annotations"][MARK] == "r1"
    assert made.change.ref.uid == document["metadata"]["uid"]
    assert (await make(cluster, made.change.inverse)).wrote
    assert not there(cluster, CONFIG)


async def test_created_twice_is_created_once_and_known_to_be_ours(cluster: FlakyCluster) -> None:
    """Fault 4."""
    first, second = await make(cluster, CREATE), await make(cluster, CREATE)
    assert first == second
    assert len(cluster.effective) == 1


@pytest.mark.parametrize("applied", [True, False])
async def test_a_lost_reply_to_a_creation_is_read_back(cluster: FlakyCluster, applied: bool) -> None:
    """Fault 28."""
    cluster.faults = [Fault("create", LOST, applied=applied)]
    assert (await make(cluster, CREATE)).wrote
    assert len(cluster.effective) == 1


async def test_a_creation_that_cannot_be_read_back_is_unknown(cluster: FlakyCluster) -> None:
    """Fault 28."""
    cluster.faults = [Fault("create", LOST, applied=True), Fault("get", KubeForbidden("cannot get", status=403))]
    with pytest.raises(KubeReplyLost):
        await make(cluster, CREATE)


async def test_what_may_be_made_but_not_read_is_made_without_reading(cluster: FlakyCluster) -> None:
    await make(cluster, CREATE)
    assert cluster.reads == 0


async def test_what_somebody_else_made_meanwhile_is_left(cluster: FlakyCluster) -> None:
    cluster.add(CONFIG, data={"level": "info"})
    with pytest.raises(PlanStale, match="made by somebody else"):
        await make(cluster, CREATE)
    assert cluster.document(CONFIG)["data"] == {"level": "info"}


async def test_another_remediations_object_is_not_ours(cluster: FlakyCluster) -> None:
    await make(cluster, CREATE, "r0")
    with pytest.raises(PlanStale):
        await make(cluster, CREATE)


async def test_an_undo_leaves_what_somebody_changed_in_what_we_made(cluster: FlakyCluster) -> None:
    made = await make(cluster, CREATE)
    cluster.edit(CONFIG, {"data": {"level": "trace"}})
    with pytest.raises(PlanStale, match=r"configmap/shop/config /data/level is 'trace'"):
        await make(cluster, made.change.inverse)
    assert there(cluster, CONFIG)


async def test_an_undo_leaves_what_somebody_made_again(cluster: FlakyCluster) -> None:
    """Fault 27."""
    made = await make(cluster, CREATE)
    cluster.add(CONFIG, **MANIFEST)
    with pytest.raises(TargetReplaced):
        await make(cluster, made.change.inverse)


async def test_an_undo_leaves_what_another_remediation_took_over(cluster: FlakyCluster) -> None:
    made = await make(cluster, CREATE)
    cluster.edit(CONFIG, {"metadata": {"annotations": {MARK: "r2"}}})
    with pytest.raises(PlanStale):
        await make(cluster, made.change.inverse)


async def test_what_others_add_to_what_we_made_is_no_reason_to_keep_it(cluster: FlakyCluster) -> None:
    """Controllers write their own annotations and the status."""
    made = await make(cluster, CREATE)
    cluster.edit(CONFIG, {"metadata": {"annotations": {"x": "y"}}, "status": {"phase": "Bound"}})
    assert (await make(cluster, made.change.inverse)).wrote


async def test_the_servers_own_fields_are_not_sent(cluster: FlakyCluster) -> None:
    meta = {"uid": "old", "resourceVersion": "7", "managedFields": [], "generation": 3, "name": "other"}
    manifest = {**MANIFEST, "metadata": meta, "status": {"x": 1}}
    await make(cluster, msgspec.structs.replace(CREATE, manifest=manifest))
    sent = cluster.patches[0].body
    assert sent["metadata"] == {"name": "config", "namespace": "shop", "annotations": {MARK: "r1"}}
    assert "status" not in sent


async def test_a_secrets_values_are_not_written_down_a_second_time(cluster: FlakyCluster) -> None:
    ref = ObjectRef("v1", "Secret", "shop", "tls")
    made = await make(cluster, Change(ref=ref, operation=Operation.CREATE, manifest=MANIFEST, summary="make it"))
    cluster.edit(ref, {"data": {"level": "geheim"}})
    with pytest.raises(PlanStale) as refused:
        await make(cluster, made.change.inverse)
    assert "geheim" not in str(refused.value)


# -- apply


async def test_what_is_applied_is_merged_marked_and_can_be_put_back(cluster: FlakyCluster) -> None:
    made = await make(cluster, APPLY)
    document = cluster.document(THERE)
    assert document["data"] == {"level": "debug", "kept": "x"}
    assert document["metadata"]["annotations"][MARK] == "r1"
    assert (await make(cluster, made.change.inverse)).wrote
    assert cluster.document(THERE)["data"] == {"level": "info", "kept": "x"}


async def test_applied_twice_is_applied_once(cluster: FlakyCluster) -> None:
    """Fault 4."""
    assert [(await make(cluster, APPLY)).wrote for _ in range(2)] == [True, False]
    assert len(cluster.patches) == 1


async def test_an_apply_races_with_nobody(cluster: FlakyCluster) -> None:
    """Fault 20. It is sent with the version that was read."""
    cluster.between = [lambda: cluster.edit(THERE, {"data": {"level": "trace"}})]
    with pytest.raises(PlanStale):
        await make(cluster, APPLY)
    assert cluster.document(THERE)["data"]["level"] == "trace"


async def test_a_field_that_another_manager_owns_is_a_refusal_and_no_race(cluster: FlakyCluster) -> None:
    owned = KubeConflict("Apply failed with 1 conflict: conflict with helm", status=409)
    cluster.faults = [Fault("apply", owned)] * 10
    with pytest.raises(KubeConflict, match="conflict with helm"):
        await make(cluster, APPLY)
    assert len(cluster.faults) == 9


async def test_what_was_relied_on_has_to_be_so_for_an_apply_too(cluster: FlakyCluster) -> None:
    cluster.edit(THERE, {"data": {"kept": "z"}})
    with pytest.raises(PlanStale, match="/data/kept"):
        await make(cluster, APPLY)


# -- delete


async def test_what_is_deleted_can_be_made_again_from_what_was_kept(cluster: FlakyCluster) -> None:
    made = await make(cluster, DELETE)
    assert made.wrote
    assert not there(cluster, THERE)
    again = await make(cluster, made.change.inverse)
    assert again.wrote
    assert cluster.document(THERE)["data"] == {"level": "info"}


async def test_deleted_twice_is_deleted_once(cluster: FlakyCluster) -> None:
    """Fault 4."""
    assert [(await make(cluster, DELETE)).wrote for _ in range(2)] == [True, False]
    assert len(cluster.effective) == 1


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize(("change", "verb"), [(DELETE, "delete"), (EVICT, "evict")])
async def test_a_lost_reply_to_a_deletion_is_read_back(
    cluster: FlakyCluster, change: Change, verb: Any, applied: bool
) -> None:
    """Fault 28."""
    cluster.faults = [Fault(verb, LOST, applied=applied)]
    assert (await make(cluster, change)).wrote
    assert len(cluster.effective) == 1


async def test_an_object_that_was_made_again_is_not_deleted(cluster: FlakyCluster) -> None:
    """Fault 27."""
    cluster.add(msgspec.structs.replace(THERE, uid="other"))
    with pytest.raises(TargetReplaced):
        await make(cluster, DELETE)
    assert there(cluster, THERE)


async def test_a_pods_successor_is_not_deleted_and_its_deletion_is_done(cluster: FlakyCluster) -> None:
    """Fault 27. A StatefulSet makes its pod again under the same name."""
    cluster.add(msgspec.structs.replace(POD, uid="other"))
    delete = msgspec.structs.replace(EVICT, operation=Operation.DELETE)
    assert not (await make(cluster, EVICT)).wrote
    assert not (await make(cluster, delete)).wrote
    assert there(cluster, POD)


async def test_what_is_on_its_way_out_is_not_deleted_again(cluster: FlakyCluster) -> None:
    """A finalizer holds it: the deletion was made."""
    cluster.edit(THERE, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})
    assert not (await make(cluster, DELETE)).wrote
    assert cluster.patches == []


async def test_what_was_relied_on_is_held_to_the_very_deletion(cluster: FlakyCluster) -> None:
    """Fault 20. With a version, so that nothing comes in between."""
    held = msgspec.structs.replace(DELETE, fields=(Field("/data/level", "info", "info", change=False),))
    cluster.between = [lambda: cluster.edit(THERE, {"data": {"level": "trace"}})]
    with pytest.raises(PlanStale):
        await make(cluster, held)
    assert there(cluster, THERE)


async def test_nothing_brings_back_what_was_not_kept() -> None:
    assert msgspec.structs.replace(DELETE, manifest=None).inverse is None
    assert EVICT.inverse is None


# -- evict


async def test_a_disruption_budget_is_waited_for_and_named(cluster: FlakyCluster) -> None:
    """Fault 21."""
    text = (
        "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget web needs 2 healthy"
    )
    cluster.faults = [Fault("evict", KubeBusy(text, status=429, retry_after=10.0))]
    with pytest.raises(DisruptionRefused, match=r"^disruption budget web allows no disruption") as refused:
        await make(cluster, EVICT)
    assert refused.value.delay == 10.0
    assert there(cluster, POD)


async def test_a_busy_server_is_no_disruption_budget(cluster: FlakyCluster) -> None:
    """Fault 21."""
    cluster.faults = [Fault("evict", KubeBusy("too many requests", status=429, retry_after=1.0))]
    with pytest.raises(KubeBusy):
        await make(cluster, EVICT)


async def test_a_server_that_failed_may_have_deleted_it(cluster: FlakyCluster) -> None:
    """Fault 22. A 500 doesn't say that nothing happened."""
    cluster.faults = [Fault("delete", KubeUnavailable("server error", status=500), applied=True)]
    applier = ChangeApplier(cluster)
    with pytest.raises(KubeUnavailable):
        await applier.apply(DELETE, remediation="r1")
    assert applier.in_doubt(DELETE)
    assert (await applier.apply(DELETE, remediation="r1")).wrote


def test_an_object_has_one_lock_whatever_version_of_it_a_runbook_names() -> None:
    one, other = (ObjectRef(f"networking.istio.io/{v}", "VirtualService", "shop", "web") for v in ("v1", "v1beta1"))
    assert one.lock_key == other.lock_key
    assert one.lock_key != ObjectRef("example.org/v1", "VirtualService", "shop", "web").lock_key
    assert one.lock_key != ObjectRef("networking.istio.io/v1", "VirtualService", "shop", "web", cluster="b").lock_key


async def test_what_a_stale_plan_says_quotes_no_credentials() -> None:
    """It goes into the log, the journal and a message to people."""
    cluster = FlakyCluster()
    ref = ObjectRef("apps/v1", "Deployment", "shop", "web", uid="uid-web")
    cluster.add(ref, spec={"env": [{"name": "DB_PASSWORD", "value": "hunter2"}], "apiToken": "s3cr3t"})
    wanted = [{"name": "DB_PASSWORD", "value": "hunter1"}]
    for field in (Field("/spec/env", wanted, []), Field("/spec/apiToken", "older", "newer")):
        with pytest.raises(PlanStale) as told:
            await make(cluster, Change(ref=ref, fields=(field,), summary="s"))
        assert field.pointer in str(told.value)
        assert not any(each in str(told.value) for each in ("hunter", "s3cr3t", "older"))
