"""The controllers of the simulated cluster, with the clock in the test's hand."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.demo import SimulatedCluster
from bridge.demo.api import Api, ApiReply, ApiRequest
from bridge.demo.objects import condition
from bridge.demo.status_errors import ApiError


class Lab:
    """A cluster, and a few short ways to it."""

    def __init__(self) -> None:
        self.cluster = SimulatedCluster(clock=lambda: 1_800_000_000.0)
        self.api = Api(self.cluster)

    def workload(self, kind: str = "Deployment", image: str = "web:1", replicas: int = 3, **spec: Any) -> None:
        labels = {"app": "web"}
        container = {"name": "web", "image": image, **spec.pop("container", {})}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        body = {"selector": {"matchLabels": labels}, "template": template, **spec}
        if kind != "DaemonSet":
            body["replicas"] = replicas
        if kind == "StatefulSet":
            body["serviceName"] = "web"
        self.cluster.apply({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": body})

    def make(self, api_version: str, kind: str, name: str, **content: Any) -> None:
        self.cluster.apply({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **content})

    def get(self, key: str, name: str = "web") -> dict[str, Any]:
        found = self.cluster.get(key, "default", name)
        assert found is not None
        return found

    def pods(self) -> list[dict[str, Any]]:
        return self.cluster.list("pods", "default")

    def images(self) -> set[str]:
        return {pod["spec"]["containers"][0]["image"] for pod in self.pods()}

    def ready(self) -> int:
        return sum((condition(pod, "Ready") or {}).get("status") == "True" for pod in self.pods())

    def call(self, method: str, path: str, body: bytes = b"", **query: str) -> Any:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        reply = self.api.handle(ApiRequest(method, path, query, body, kind, "test"))
        assert isinstance(reply, ApiReply)
        return reply.body


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_a_rollout_never_goes_below_what_must_be_available(lab: Lab) -> None:
    lab.workload(replicas=4)
    lab.cluster.settle(10)
    lab.workload(image="web:2", replicas=4)
    least, most = 4, 4
    while (due := lab.cluster.next_due()) is not None:
        lab.cluster.step(due + 0.001)
        alive = [pod for pod in lab.pods() if "deletionTimestamp" not in pod["metadata"]]
        least, most = min(least, lab.ready()), max(most, len(alive))
    assert (least, most) == (3, 5)
    assert lab.images() == {"web:2"}


def test_recreate_takes_the_old_pods_away_first(lab: Lab) -> None:
    lab.workload(strategy={"type": "Recreate"})
    lab.cluster.settle(10)
    lab.workload(image="web:2", strategy={"type": "Recreate"})
    mixed = False
    while (due := lab.cluster.next_due()) is not None:
        lab.cluster.step(due + 0.001)
        mixed = mixed or len(lab.images()) > 1
    assert not mixed
    assert (lab.images(), lab.ready()) == ({"web:2"}, 3)


def test_a_rollout_that_hangs_says_so_at_its_deadline_and_not_before(lab: Lab) -> None:
    lab.workload(image="web:bad", progressDeadlineSeconds=60)
    lab.cluster.settle(50)
    assert (condition(lab.get("deployments.apps"), "Progressing") or {})["status"] == "True"
    lab.cluster.settle(20)
    found = condition(lab.get("deployments.apps"), "Progressing") or {}
    assert (found["status"], found["reason"]) == ("False", "ProgressDeadlineExceeded")


def test_history_is_kept_to_its_limit(lab: Lab) -> None:
    for number in range(6):
        lab.workload(image=f"web:{number}", revisionHistoryLimit=2)
        lab.cluster.settle(10)
    revisions = [
        found["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
        for found in lab.cluster.list("replicasets.apps")
    ]
    assert sorted(revisions) == ["4", "5", "6"]


def test_a_paused_deployment_scales_and_does_not_roll(lab: Lab) -> None:
    lab.workload()
    lab.cluster.settle(10)
    lab.workload(image="web:2", replicas=5, paused=True)
    lab.cluster.settle(10)
    assert (lab.images(), lab.ready()) == ({"web:1"}, 5)


def test_pods_count_as_available_after_their_least_time(lab: Lab) -> None:
    lab.workload(minReadySeconds=30)
    lab.cluster.settle(5)
    status = lab.get("deployments.apps")["status"]
    assert (status["readyReplicas"], status.get("availableReplicas", 0)) == (3, 0)
    lab.cluster.settle(40)
    assert lab.get("deployments.apps")["status"]["availableReplicas"] == 3


def test_a_pod_that_fits_nowhere_stays_pending_and_says_why(lab: Lab) -> None:
    lab.workload(replicas=1, container={"resources": {"requests": {"memory": "64Gi"}}})
    lab.cluster.settle(5)
    found = condition(lab.pods()[0], "PodScheduled") or {}
    assert found["reason"] == "Unschedulable"
    assert "Insufficient memory" in found["message"]


def test_a_crashing_pod_keeps_restarting(lab: Lab) -> None:
    lab.workload(image="web:bad", replicas=1)
    lab.cluster.settle(10)
    first = lab.pods()[0]["status"]["containerStatuses"][0]["restartCount"]
    lab.cluster.settle(3600)
    assert lab.pods()[0]["status"]["containerStatuses"][0]["restartCount"] > first >= 1


def test_more_memory_cures_an_image_that_needs_it(lab: Lab) -> None:
    lab.cluster.set_behavior(oom_cured_at="1Gi")
    lab.workload(image="web:oom", replicas=1, container={"resources": {"limits": {"memory": "512Mi"}}})
    lab.cluster.settle(10)
    assert lab.ready() == 0
    lab.workload(image="web:oom", replicas=1, container={"resources": {"limits": {"memory": "1Gi"}}})
    lab.cluster.settle(10)
    assert lab.ready() == 1


def test_a_statefulset_starts_in_order_and_rolls_from_the_end(lab: Lab) -> None:
    lab.workload("StatefulSet")
    lab.cluster.settle(10)
    assert [pod["metadata"]["name"] for pod in lab.pods()] == ["web-0", "web-1", "web-2"]
    lab.workload("StatefulSet", image="web:2")
    lab.cluster.step()
    assert [pod["metadata"]["name"] for pod in lab.pods() if "deletionTimestamp" in pod["metadata"]] == ["web-2"]
    lab.cluster.settle(10)
    status = lab.get("statefulsets.apps")["status"]
    assert status["currentRevision"] == status["updateRevision"]
    assert (lab.images(), status["readyReplicas"]) == ({"web:2"}, 3)


def test_a_pod_that_is_not_ready_holds_up_an_ordered_statefulset_until_it_is_deleted(lab: Lab) -> None:
    lab.workload("StatefulSet", image="web:bad")
    lab.cluster.settle(10)
    lab.workload("StatefulSet", image="web:2")
    lab.cluster.settle(10)
    assert (lab.images(), len(lab.pods())) == ({"web:bad"}, 1)
    lab.call("DELETE", "/api/v1/namespaces/default/pods/web-0")
    lab.cluster.settle(30)
    assert (lab.images(), lab.ready()) == ({"web:2"}, 3)


def test_a_parallel_statefulset_replaces_its_broken_pods_itself(lab: Lab) -> None:
    lab.workload("StatefulSet", image="web:bad", podManagementPolicy="Parallel")
    lab.cluster.settle(10)
    lab.workload("StatefulSet", image="web:2", podManagementPolicy="Parallel")
    lab.cluster.settle(30)
    assert (lab.images(), lab.ready()) == ({"web:2"}, 3)


def test_a_statefulset_with_claims_makes_them(lab: Lab) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    lab.workload("StatefulSet", replicas=2, volumeClaimTemplates=[claim])
    lab.cluster.settle(10)
    assert [found["metadata"]["name"] for found in lab.cluster.list("persistentvolumeclaims")] == [
        "data-web-0",
        "data-web-1",
    ]


def test_a_daemonset_runs_on_each_node_and_rolls(lab: Lab) -> None:
    lab.workload("DaemonSet")
    lab.cluster.settle(10)
    assert sorted(pod["spec"]["nodeName"] for pod in lab.pods()) == ["node-0", "node-1", "node-2"]
    lab.workload("DaemonSet", image="web:2")
    lab.cluster.settle(30)
    status = lab.get("daemonsets.apps")["status"]
    assert (lab.images(), status["updatedNumberScheduled"], status["numberReady"]) == ({"web:2"}, 3, 3)


@pytest.mark.parametrize(("image", "ends"), [("backup:1", "Complete"), ("backup:bad", "Failed")])
def test_a_job_ends_as_its_image_does(lab: Lab, image: str, ends: str) -> None:
    container = {"name": "restore", "image": image}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    lab.make("batch/v1", "Job", "restore", spec={"backoffLimit": 1, "template": template})
    lab.cluster.settle(20)
    job = lab.get("jobs.batch", "restore")
    assert (condition(job, ends) or {})["status"] == "True"
    if ends == "Failed":
        assert job["status"]["failed"] == 2


def test_an_eviction_takes_what_the_budget_leaves_and_no_more(lab: Lab) -> None:
    lab.workload()
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    lab.make("policy/v1", "PodDisruptionBudget", "web", spec=spec)
    lab.cluster.settle(10)
    first, second = (pod["metadata"]["name"] for pod in lab.pods()[:2])
    path = "/api/v1/namespaces/default/pods/{}/eviction"
    lab.call("POST", path.format(first), b'{"metadata": {}}')
    with pytest.raises(ApiError) as refused:
        lab.call("POST", path.format(second), b'{"metadata": {}}')
    assert refused.value.status == 429
    lab.cluster.settle(10)
    lab.call("POST", path.format(second), b'{"metadata": {}}')


def test_an_autoscaler_holds_the_count_within_its_bounds(lab: Lab) -> None:
    lab.workload(replicas=1)
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": 4}
    lab.make("autoscaling/v2", "HorizontalPodAutoscaler", "web", spec=spec)
    lab.cluster.settle(30)
    assert lab.ready() == 2
    lab.call("PATCH", "/apis/apps/v1/namespaces/default/deployments/web/scale", b'{"spec": {"replicas": 9}}')
    lab.cluster.settle(30)
    assert lab.ready() == 4


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_what_is_owned_goes_with_its_owner(lab: Lab, policy: str) -> None:
    lab.workload()
    lab.cluster.settle(10)
    lab.call("DELETE", "/apis/apps/v1/namespaces/default/deployments/web", propagationPolicy=policy)
    lab.cluster.settle(10)
    left = [lab.cluster.list(key) for key in ("deployments.apps", "replicasets.apps", "pods")]
    assert left == [[], [], []]


def test_orphans_stay(lab: Lab) -> None:
    lab.workload()
    lab.cluster.settle(10)
    lab.call("DELETE", "/apis/apps/v1/namespaces/default/deployments/web", propagationPolicy="Orphan")
    lab.cluster.settle(10)
    assert (len(lab.cluster.list("replicasets.apps")), lab.ready()) == (1, 3)


def test_a_namespace_takes_its_content_along(lab: Lab) -> None:
    lab.workload()
    lab.cluster.settle(10)
    lab.call("DELETE", "/api/v1/namespaces/default")
    lab.cluster.settle(10)
    assert lab.cluster.get("namespaces", "", "default") is None
    assert not lab.pods()


def test_pods_leave_no_cordoned_node_but_new_ones_avoid_it(lab: Lab) -> None:
    lab.workload()
    lab.cluster.settle(10)
    lab.call("PATCH", "/api/v1/nodes/node-0", b'{"spec": {"unschedulable": true}}')
    lab.cluster.settle(10)
    assert "node-0" in {pod["spec"]["nodeName"] for pod in lab.pods()}
    lab.workload(image="web:2")
    lab.cluster.settle(10)
    assert "node-0" not in {pod["spec"]["nodeName"] for pod in lab.pods()}


def test_pages_of_a_list_hold_everything_once_and_in_order(lab: Lab) -> None:
    for namespace in ("a", "a-b", "b"):
        for name in ("x", "y-z", "y"):
            metadata = {"name": name, "namespace": namespace}
            lab.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
    seen: list[tuple[str, str]] = []
    query = {"limit": "2"}
    while True:
        page = lab.call("GET", "/api/v1/secrets", **query)
        seen += [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in page["items"]]
        if "continue" not in page["metadata"]:
            break
        query["continue"] = page["metadata"]["continue"]
    assert len(seen) == len(set(seen)) == 9


def test_a_finalizer_holds_an_object_until_it_is_taken_off(lab: Lab) -> None:
    metadata = {"name": "held", "finalizers": ["example.com/hold"]}
    lab.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    path = "/api/v1/namespaces/default/configmaps/held"
    assert "deletionTimestamp" in lab.call("DELETE", path)["metadata"]
    lab.call("PATCH", path, b'{"metadata": {"finalizers": null}}')
    assert lab.cluster.get("configmaps", "default", "held") is None
