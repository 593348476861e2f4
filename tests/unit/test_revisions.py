"""Which revision was the last healthy one, judged by what ReplicaSets still show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.model.revisions import last_healthy, never_ready, revisions_of, version_began, went_back
from bridge.model.workload import format_time, parse_time, rollout_of

RECORDED = Path(__file__).parents[1] / "contract" / "recordings" / "deployment-restart-and-rollback.json"
START = 1_700_000_000.0
HOUR = 3600.0


def template(image: str, restarted: str | None = None, **labels: str) -> dict[str, Any]:
    meta: dict[str, Any] = {"labels": {"app": "web", **labels}}
    if restarted:
        meta["annotations"] = {"kubectl.kubernetes.io/restartedAt": restarted}
    return {"metadata": meta, "spec": {"containers": [{"name": "web", "image": image}]}}


def replica_set(
    number: int, image: str, at: float, *, ready: int = 0, history: str = "", restarted: str | None = None
) -> dict[str, Any]:
    notes = {"deployment.kubernetes.io/revision": str(number)}
    if history:
        notes["deployment.kubernetes.io/revision-history"] = history
    name = f"web-{image}-{number}"
    return {
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "creationTimestamp": format_time(START + at),
            "annotations": notes,
            "ownerReferences": [{"uid": "d1", "controller": True, "kind": "Deployment", "name": "web"}],
        },
        "spec": {"template": template(image, restarted, **{"pod-template-hash": name})},
        "status": {"replicas": ready, "readyReplicas": ready, "availableReplicas": ready},
    }


def deployment(revision: int, image: str, restarted: str | None = None, reason: str = "ReplicaSetUpdated") -> Any:
    progressing = {"type": "Progressing", "status": "True", "reason": reason, "message": ""}
    return {
        "metadata": {
            "name": "web",
            "uid": "d1",
            "generation": revision,
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
        },
        "spec": {"replicas": 3, "template": template(image, restarted), "progressDeadlineSeconds": 600},
        "status": {"observedGeneration": revision, "conditions": [progressing]},
    }


def chosen(deploy: Any, *sets: dict[str, Any]) -> tuple[int, str] | None:
    found = last_healthy(revisions_of(deploy, sets))
    return (found.number, found.judgement) if found else None


def test_time_in_which_it_was_known_to_be_wrong_proves_nothing() -> None:
    """A version that is out of memory from its first minute is not proven by the half hour that people look at it."""
    sets = [replica_set(1, "a", 0), replica_set(2, "greedy", HOUR), replica_set(3, "greedier", 2 * HOUR)]
    deploy = deployment(4, "restarted")
    sets.append(replica_set(4, "restarted", 3 * HOUR))
    found = last_healthy(revisions_of(deploy, sets))
    assert found is not None
    assert found.number == 3
    began = found.created_at - HOUR + 60
    judged = {each.number: each.judgement for each in revisions_of(deploy, sets, wrong_since=began)}
    assert judged == {4: "current", 3: "unproven", 2: "unproven", 1: "proven"}


def test_the_revision_that_still_has_ready_pods_is_the_one() -> None:
    sets = [replica_set(1, "a", 0), replica_set(2, "b", HOUR, ready=2), replica_set(3, "bad", 2 * HOUR)]
    assert chosen(deployment(3, "bad"), *sets) == (2, "ready")


def test_a_revision_that_served_for_long_comes_before_a_newer_one_that_did_not() -> None:
    sets = [replica_set(1, "a", 0), replica_set(2, "hasty", HOUR), replica_set(3, "bad", HOUR + 120)]
    assert chosen(deployment(3, "bad"), *sets) == (1, "proven")


def test_with_nothing_better_the_newest_that_is_not_known_to_be_bad_is_taken() -> None:
    sets = [replica_set(1, "a", 0), replica_set(2, "b", 100), replica_set(3, "bad", 200)]
    assert chosen(deployment(3, "bad"), *sets) == (2, "unproven")


def test_a_restart_of_the_bad_revision_is_the_same_bad_revision() -> None:
    sets = [
        replica_set(1, "a", 0),
        replica_set(2, "bad", HOUR),
        replica_set(3, "bad", 9 * HOUR, restarted="2026-01-01T00:00:00Z"),
    ]
    assert chosen(deployment(3, "bad", "2026-01-01T00:00:00Z"), *sets) == (1, "proven")


def test_a_revision_that_somebody_rolled_back_from_is_not_gone_back_to() -> None:
    """1 good, 2 bad for hours, back to 1 (which is 3 now), then 4 is bad as well."""
    sets = [
        replica_set(2, "bad", HOUR),
        replica_set(3, "a", 0, history="1"),
        replica_set(4, "worse", 9 * HOUR),
    ]
    assert chosen(deployment(4, "worse"), *sets) == (3, "proven")
    judged = {r.number: r.judgement for r in revisions_of(deployment(4, "worse"), sets)}
    assert judged == {4: "current", 3: "proven", 2: "abandoned"}


def test_after_a_rollback_there_is_nothing_to_go_back_to() -> None:
    """A second undo must not bring the bad revision back."""
    sets = [replica_set(2, "bad", HOUR), replica_set(3, "a", 0, history="1")]
    assert chosen(deployment(3, "a"), *sets) is None


def test_a_restart_of_what_somebody_rolled_back_from_is_not_gone_back_to_either() -> None:
    """1 good, 2 bad for hours, restarted as 3, back to 1 (which is 4 now), then 5 is bad as well."""
    sets = [
        replica_set(2, "bad", HOUR),
        replica_set(3, "bad", 3 * HOUR, restarted="2026-01-01T00:00:00Z"),
        replica_set(4, "a", 0, history="1"),
        replica_set(5, "worse", 3 * HOUR + 200),
    ]
    judged = {r.number: r.judgement for r in revisions_of(deployment(5, "worse"), sets)}
    assert judged == {5: "current", 4: "proven", 3: "abandoned", 2: "abandoned"}


A, B, C = (("a", 0), ("b", HOUR), ("c", 2 * HOUR))


@pytest.mark.parametrize(
    ("told", "sets", "expected"),
    [
        ("never gone back", [(1, *A, ""), (2, *B, "")], False),
        ("back to a", [(2, *B, ""), (3, *A, "1")], True),
        ("and then a new version", [(2, *B, ""), (3, *A, "1"), (4, *C, "")], False),
        ("back to a, and b rolled out once more", [(3, *A, "1"), (4, *B, "2")], False),
        ("back two versions", [(2, *B, ""), (3, *C, ""), (4, *A, "1")], True),
        ("the only one that is left", [(3, *A, "1")], False),
    ],
)
def test_a_version_that_was_gone_back_to_is_known_from_one_that_was_rolled_out_again(
    told: str, sets: Any, expected: bool
) -> None:
    newest = sets[-1]
    found = revisions_of(deployment(newest[0], newest[1]), [replica_set(n, i, at, history=h) for n, i, at, h in sets])
    assert went_back(found) is expected, told


def test_a_restart_of_a_version_that_was_gone_back_to_is_still_that() -> None:
    restarted = "2026-01-01T00:00:00Z"
    sets = [
        replica_set(2, "bad", HOUR),
        replica_set(3, "a", 0, history="1"),
        replica_set(4, "a", 2 * HOUR, restarted=restarted),
    ]
    assert went_back(revisions_of(deployment(4, "a", restarted), sets))


def test_a_first_revision_has_none_before_it() -> None:
    assert chosen(deployment(1, "a"), replica_set(1, "a", 0)) is None


def test_replica_sets_of_others_are_left_out() -> None:
    foreign = replica_set(1, "other", 0, ready=3)
    foreign["metadata"]["ownerReferences"][0]["uid"] = "d2"
    assert chosen(deployment(2, "bad"), foreign, replica_set(2, "bad", HOUR)) is None


def test_the_template_that_is_put_back_lacks_the_replica_sets_own_label() -> None:
    found = revisions_of(deployment(2, "b"), [replica_set(1, "a", 0), replica_set(2, "b", HOUR)])
    assert found[1].template == template("a")


def test_a_restart_is_no_new_version() -> None:
    sets = [
        replica_set(1, "a", 0),
        replica_set(2, "b", 100),
        replica_set(3, "b", 900, restarted="2026-01-01T00:00:00Z"),
    ]
    found = revisions_of(deployment(3, "b", "2026-01-01T00:00:00Z"), sets)
    assert found[0].began_at == START + 900
    assert version_began(found) == START + 100
    assert version_began([]) == 0.0


@pytest.mark.parametrize(
    ("reason", "message", "ready", "expected"),
    [
        ("ReplicaSetUpdated", "", 0, True),
        ("ProgressDeadlineExceeded", "", 0, True),
        ("ReplicaSetUpdated", "", 1, False),
        ("NewReplicaSetAvailable", 'ReplicaSet "web-b-2" has successfully progressed.', 0, False),
        ("NewReplicaSetAvailable", 'Deployment "web" has successfully progressed.', 0, False),
        ("NewReplicaSetAvailable", 'ReplicaSet "web-a-1" has successfully progressed.', 0, True),
        ("DeploymentResumed", "", 0, None),
        (None, "", 0, None),
    ],
)
def test_a_revision_was_never_ready_unless_its_rollout_was_once_complete(
    reason: str | None, message: str, ready: int, expected: bool | None
) -> None:
    deploy = deployment(2, "b", reason=reason or "")
    deploy["status"]["conditions"] = (
        [{"type": "Progressing", "reason": reason, "message": message}] if reason is not None else []
    )
    current = revisions_of(deploy, [replica_set(1, "a", 0), replica_set(2, "b", HOUR, ready=ready)])[0]
    assert never_ready(deploy, current) is expected


def test_before_the_controller_has_looked_nothing_is_known() -> None:
    deploy = deployment(2, "b")
    deploy["metadata"]["generation"] = 9
    assert never_ready(deploy, revisions_of(deploy, [replica_set(2, "b", 0)])[0]) is None
    assert not rollout_of("Deployment", deploy).complete


def test_a_real_servers_history_after_a_rollback_is_read_rightly() -> None:
    """Recorded from Kubernetes 1.36: restarted (2), bad image (3), undone (4)."""
    steps = json.loads(RECORDED.read_text())["steps"]
    sets = [s for s in steps if "replicasets" in s["request"]["path"]][-1]["response"]["body"]["items"]
    deploy = steps[-1]["response"]["body"]
    judged = [(r.number, r.images[0], r.judgement) for r in revisions_of(deploy, sets)]
    assert judged == [(4, "web:1.0", "current"), (3, "web:bad", "abandoned"), (1, "web:1.0", "same_template")]
    assert never_ready(deploy, revisions_of(deploy, sets)[0]) is False
    assert rollout_of("Deployment", deploy).complete
    timed_out = next(s["response"]["body"] for s in steps if "timed out" in json.dumps(s["response"]["body"]))
    assert rollout_of("Deployment", timed_out).failed


def test_times_survive_the_way_through_text() -> None:
    assert parse_time(format_time(START)) == START
    assert parse_time("2026-11-20T20:05:53.123456Z") == pytest.approx(1795205153.123456)
    for nothing in (None, "", "soon", 5):
        assert parse_time(nothing) == 0.0
