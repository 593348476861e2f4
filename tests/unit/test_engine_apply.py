"""A planned change is made under its preconditions, once, and can be put back exactly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.apply import ChangeApplier
from bridge.engine.writes import MARK, merge_patch
from bridge.errors import KubeForbidden, KubeReplyLost, KubeUnavailable, PlanStale, TargetReplaced
from bridge.model.plan import Change, Field, read_pointer
from bridge.model.target import ObjectRef
from tests.support.flaky_cluster import Fault, FlakyCluster, apply_merge_patch

REF = ObjectRef("apps/v1", "Deployment", "shop", "web", uid="uid-1")
SCALE = Change(ref=REF, fields=(Field("/spec/replicas", 2, 5),), summary="scale web from 2 to 5")
LOST = KubeReplyLost("no answer", what="patch deployment/shop/web")


@pytest.fixture
def cluster() -> FlakyCluster:
    made = FlakyCluster()
    made.add(REF, spec={"replicas": 2, "paused": False, "template": {"image": "web:1"}}, status={"ready": 2})
    return made


async def apply(cluster: FlakyCluster, change: Change = SCALE) -> bool:
    return (await ChangeApplier(cluster).apply(change, remediation="r1")).wrote


def replicas(cluster: FlakyCluster) -> int:
    return int(cluster.document(REF)["spec"]["replicas"])


async def test_a_change_writes_its_field_with_the_version_just_read_and_leaves_its_mark(
    cluster: FlakyCluster,
) -> None:
    version = cluster.document(REF)["metadata"]["resourceVersion"]
    assert await apply(cluster) is True
    assert [sent.body for sent in cluster.patches] == [
        {"metadata": {"annotations": {MARK: "r1"}, "resourceVersion": version}, "spec": {"replicas": 5}}
    ]


async def test_what_is_there_already_is_not_written_again(cluster: FlakyCluster) -> None:
    assert await apply(cluster) is True
    assert await apply(cluster) is False
    assert len(cluster.patches) == 1


async def test_a_change_of_a_status_goes_to_the_subresource_without_a_mark(cluster: FlakyCluster) -> None:
    change = Change(ref=REF, fields=(Field("/status/ready", 2, 3),), subresource="status", summary="status")
    assert await apply(cluster, change) is True
    (sent,) = cluster.patches
    assert sent.subresource == "status"
    assert "annotations" not in sent.body["metadata"]


async def test_a_conflict_is_read_again_and_written_when_it_does_not_matter(cluster: FlakyCluster) -> None:
    """Fault 20."""
    cluster.between = [lambda: cluster.edit(REF, {"status": {"ready": 1}})] * 2
    assert await apply(cluster) is True
    assert (len(cluster.patches), len(cluster.effective), replicas(cluster)) == (3, 1, 5)


async def test_a_conflict_that_changed_the_field_makes_the_plan_stale(cluster: FlakyCluster) -> None:
    """Fault 20."""
    cluster.between = [lambda: cluster.edit(REF, {"spec": {"replicas": 3}})]
    with pytest.raises(PlanStale, match="/spec/replicas is 3, it was 2"):
        await apply(cluster)
    assert replicas(cluster) == 3


async def test_conflicts_are_followed_a_bounded_number_of_times(cluster: FlakyCluster) -> None:
    """Fault 20."""
    count = iter(range(1000))
    cluster.between = [lambda: cluster.edit(REF, {"status": {"ready": next(count) + 10}})] * 50
    with pytest.raises(PlanStale, match="5 times"):
        await apply(cluster)
    assert (len(cluster.patches), len(cluster.effective)) == (5, 0)


async def test_an_object_made_again_is_not_touched(cluster: FlakyCluster) -> None:
    """Fault 27."""
    cluster.add(ObjectRef("apps/v1", "Deployment", "shop", "web", uid="uid-2"), spec={"replicas": 2})
    with pytest.raises(TargetReplaced, match="uid-2"):
        await apply(cluster)
    assert not cluster.patches


async def test_an_object_that_is_gone_counts_as_replaced(cluster: FlakyCluster) -> None:
    cluster.remove(REF)
    with pytest.raises(TargetReplaced, match="does not exist"):
        await apply(cluster)


async def test_another_before_value_refuses_the_write(cluster: FlakyCluster) -> None:
    cluster.edit(REF, {"spec": {"replicas": 4}})
    with pytest.raises(PlanStale):
        await apply(cluster)
    assert not cluster.patches


async def test_a_field_that_the_plan_relied_on_and_that_moved_refuses_the_write(cluster: FlakyCluster) -> None:
    relied = Field("/spec/paused", False, False, change=False)
    change = Change(ref=REF, fields=(*SCALE.fields, relied), summary="scale unless paused")
    cluster.edit(REF, {"spec": {"paused": True}})
    with pytest.raises(PlanStale, match="/spec/paused is True"):
        await apply(cluster, change)
    assert not cluster.patches


async def test_a_field_that_was_only_relied_on_is_never_written(cluster: FlakyCluster) -> None:
    relied = Field("/spec/paused", False, False, change=False)
    assert await apply(cluster, Change(ref=REF, fields=(*SCALE.fields, relied), summary="scale"))
    assert cluster.patches[0].body["spec"] == {"replicas": 5}


async def test_a_lost_reply_of_a_write_that_arrived_is_settled_by_reading_back(cluster: FlakyCluster) -> None:
    """Fault 28."""
    cluster.faults = [Fault("patch", LOST, applied=True)]
    assert await apply(cluster) is True
    assert (len(cluster.effective), replicas(cluster)) == (1, 5)


async def test_a_lost_reply_of_a_write_that_never_arrived_is_sent_again(cluster: FlakyCluster) -> None:
    """Fault 28."""
    cluster.faults = [Fault("patch", LOST)]
    assert await apply(cluster) is True
    assert (len(cluster.effective), replicas(cluster)) == (1, 5)


async def test_a_lost_reply_that_cannot_be_read_back_stays_unknown(cluster: FlakyCluster) -> None:
    """Fault 23."""
    cluster.faults = [Fault("patch", LOST, applied=True)]
    cluster.between = [lambda: cluster.faults.append(Fault("get", KubeUnavailable("away")))]
    with pytest.raises(KubeReplyLost):
        await apply(cluster)


async def test_replies_that_stay_lost_end_as_unknown_after_a_bounded_number_of_tries(cluster: FlakyCluster) -> None:
    cluster.faults = [Fault("patch", LOST) for _ in range(50)]
    with pytest.raises(KubeReplyLost):
        await apply(cluster)
    assert len(cluster.faults) == 45


async def test_a_lost_reply_and_then_a_third_value_asks_for_another_plan(cluster: FlakyCluster) -> None:
    """Whatever became of the lost write: what is there now is somebody else's, and is not overwritten."""
    cluster.faults = [Fault("patch", LOST, applied=True)]
    read = cluster.get

    async def get(ref: ObjectRef) -> dict[str, Any]:
        if cluster.effective:
            cluster.edit(REF, {"spec": {"replicas": 9}})
        return await read(ref)

    cluster.get = get  # type: ignore[method-assign]
    with pytest.raises(PlanStale):
        await apply(cluster)
    assert replicas(cluster) == 9


async def test_a_write_that_the_server_failed_and_made_all_the_same_is_told_as_written(cluster: FlakyCluster) -> None:
    """Fault 22. A 500 doesn't say that nothing happened."""
    cluster.faults = [Fault("patch", KubeUnavailable("server error", status=500), applied=True)]
    applier = ChangeApplier(cluster)
    with pytest.raises(KubeUnavailable):
        await applier.apply(SCALE, remediation="r1")
    assert (await applier.apply(SCALE, remediation="r1")).wrote
    assert len(cluster.effective) == 1


async def test_a_refusal_is_passed_on_and_not_tried_again(cluster: FlakyCluster) -> None:
    """Fault 26."""
    cluster.faults = [Fault("patch", KubeForbidden("cannot patch deployments", status=403))]
    with pytest.raises(KubeForbidden):
        await apply(cluster)
    assert cluster.reads == 1


SCALARS = st.booleans() | st.integers(-5, 5) | st.text(max_size=3)
KEYS = st.sampled_from(["a", "b", "c", "d", "a/b", "m~n", ""])
VALUES = st.recursive(
    SCALARS, lambda inner: st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=3), max_leaves=8
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=4)


@given(DOCUMENTS, DOCUMENTS)
def test_merging_the_patch_gives_exactly_what_was_planned(before: dict[str, Any], after: dict[str, Any]) -> None:
    """RFC 7386, for documents without nulls, which Kubernetes does not keep."""
    assert apply_merge_patch(before, merge_patch(before, after)) == after


@given(DOCUMENTS)
def test_nothing_to_change_makes_an_empty_patch(document: dict[str, Any]) -> None:
    assert merge_patch(document, document) == {}


POINTERS = ("/spec/a", "/spec/b", "/spec/c/x", "/spec/c/y", "/metadata/annotations/example.com~1n", "/data/k~0")
FIELDS = st.dictionaries(st.sampled_from(POINTERS), st.none() | VALUES, min_size=1)


@given(spec=st.dictionaries(st.sampled_from("abc"), SCALARS), wanted=FIELDS)
async def test_the_exact_inverse_restores_every_field(spec: dict[str, Any], wanted: dict[str, Any]) -> None:
    cluster = FlakyCluster()
    before = cluster.add(REF, spec={**spec, "c": {"x": 1, "z": [1, 2]}}, data={"k~": "v"})
    fields = tuple(Field(pointer, read_pointer(before, pointer), after) for pointer, after in wanted.items())
    change = Change(ref=REF, fields=fields, summary="whatever")
    await apply(cluster, change)
    changed = cluster.document(REF)
    assert all(read_pointer(changed, field.pointer) == field.after for field in fields)
    await apply(cluster, change.inverse)
    restored = cluster.document(REF)
    assert all(read_pointer(restored, field.pointer) == field.before for field in fields)
    assert restored["spec"] == before["spec"]
