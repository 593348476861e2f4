"""The runbooks of OmenDB, SEV1 to SEV3 and what follows an incident: see tests/support/scenes."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from bridge.demo.cluster import SimulatedCluster
from bridge.demo.exec import ExecResult
from tests.support.scenes.facts import answer, fact, gone, present, when
from tests.support.scenes.scene import Scene, State, scenes
from tests.support.scenes.theatre import Theatre
from tests.support.scenes.world import (
    app,
    autoscaler,
    behavior,
    claim,
    config,
    cronjob,
    definition,
    logs,
    program,
    restarted_pods,
    usage,
)

NAMESPACE = "omendb-prod"
GOOD, BAD = "registry.example/omendb:2.3.0", "registry.example/omendb:2.4.0-bad"
GREEDY = "registry.example/omendb:2.4.0-oom"
DEPLOYMENT = "deployments.apps/prod-omendb"
TEMPLATE = f"{DEPLOYMENT} spec.template"
IMAGE = f"{TEMPLATE}.spec.containers[0].image"
REPLICAS = f"{DEPLOYMENT} spec.replicas"
RESTARTED = f"{TEMPLATE}.metadata.annotations.kubectl\\.kubernetes\\.io/restartedAt"
VOLUME = "persistentvolumeclaims/omendb-data spec.resources.requests.storage"
BATCH = "configmaps/omendb-config data.batch_size"
DOWN = (503, "down")
WELL: dict[str, Any] = {"/health": "ok", "/ready": "ok", "/query": "[]"}


def omendb(**more: Any) -> State:
    """Three replicas with the API at 3000 and metrics at 9090."""
    given = {"image": GOOD, "container": "omendb", "ports": {"api": 3000, "metrics": 9090}, **more}
    return app("prod-omendb", NAMESPACE, **given)


def answers(health: Any) -> dict[str, Any]:
    """What its pods answer, where all of it depends on the same."""
    return dict.fromkeys(WELL, health)


SEV1 = {
    "source": "SEV1",
    "runbook": "omendb/service-down",
    "beside": ["omendb/communication"],
    "params": {"url": "${http}"},
    "http": {"POST /insert": (201, "ok"), "/query": '[{"value": 42.0}]'},
}
VOLUMES = claim("omendb-data", NAMESPACE, "100Gi")
FIND = ("find", "/tmp", "/var/log/omendb")


def used(percent: Any) -> dict[str, Any]:
    """How full the volume is, as the kubelet says it to Prometheus."""

    def of_claim(value: Any) -> Any:
        return lambda cluster: [({"persistentvolumeclaim": "omendb-data"}, answer(value, cluster, NAMESPACE))]

    return {"stats_used_bytes": of_claim(percent), "stats_capacity_bytes": of_claim(100)}


def cleans_up(cluster: SimulatedCluster) -> None:
    """To delete old files makes room."""

    def run(_pod: Any, _container: str, given: list[str]) -> ExecResult | None:
        if tuple(given[: len(FIND)]) != FIND:
            return None
        config("cleaned", NAMESPACE, yes="1")(cluster)
        return ExecResult()

    cluster.programs.add(run, namespace=NAMESPACE)


def crashes_while_full(cluster: SimulatedCluster) -> None:
    """No pod starts until the volume is larger."""

    def judge(_pod: Any) -> Literal["crash"] | None:
        return "crash" if fact(cluster, VOLUME, NAMESPACE) == "100Gi" else None

    cluster.set_behavior(judge=judge)


SERVICE_DOWN = scenes(
    "omendb",
    Scene(
        "a restart is the first quick fix and may be enough",
        **SEV1,
        alert="OmenDBDown",
        cluster=[omendb(), VOLUMES],
        answers=answers(when(RESTARTED, present, "ok", DOWN)),
        scenarios=["quick fixes > restart"],
        actions=["rollout_restart", "http_probe", "http_check"],
        asked=["POST /insert", "GET /query"],
        after={REPLICAS: 3, IMAGE: GOOD},
    ),
    Scene(
        "a value that does not come back means that the restart did not help",
        **{**SEV1, "http": {"POST /insert": (201, "ok"), "/query": when(REPLICAS, 5, '[{"value": 42.0}]', "[]")}},
        alert="OmenDBDown",
        cluster=[omendb(), VOLUMES],
        answers=answers(when(RESTARTED, present, "ok", DOWN)),
        scenarios=["quick fixes > restart", "quick fixes > scale out"],
        after={REPLICAS: 5},
    ),
    Scene(
        "what a restart does not mend may be mended by more replicas",
        **SEV1,
        alert="OmenDBHealthCheckFailing",
        cluster=[omendb(), VOLUMES],
        answers=answers(when(REPLICAS, 5, "ok", DOWN)),
        scenarios=["quick fixes > restart", "quick fixes > scale out"],
        actions=["rollout_restart", "scale", "http_probe", "http_check"],
        after={REPLICAS: 5},
    ),
    Scene(
        "pods that crash since the last deployment are rolled back after restart and scaling",
        **{**SEV1, "source": "SEV1 pattern 1"},
        alert="KubePodCrashLooping",
        labels={"severity": "warning", "pod": "prod-omendb-1"},
        cluster=[omendb(then=BAD), VOLUMES],
        answers=answers(when(IMAGE, GOOD, "ok", DOWN)),
        scenarios=["quick fixes > restart", "quick fixes > scale out", "quick fixes > roll back"],
        after={IMAGE: GOOD, REPLICAS: 3, f"{DEPLOYMENT} status.readyReplicas": 3},
    ),
    Scene(
        "an OOM kill raises the memory limit to 16Gi",
        **{**SEV1, "source": "SEV1 pattern 2"},
        alert="OmenDBOutOfMemory",
        cluster=[omendb(then=GREEDY, ago=120), VOLUMES, behavior(oom_cured_at="16Gi")],
        scenarios=["out of memory"],
        actions=["set_resources", "http_probe", "http_check"],
        after={f"{TEMPLATE}.spec.containers[0].resources.limits.memory": "16Gi", REPLICAS: 3},
    ),
    Scene(
        "where 16Gi are not enough the quick fixes follow",
        **{**SEV1, "source": "SEV1 pattern 2"},
        alert="OmenDBOutOfMemory",
        cluster=[omendb(then=GREEDY, ago=120), VOLUMES],
        answers=answers(when(IMAGE, GOOD, "ok", DOWN)),
        scenarios=["out of memory", "quick fixes > restart", "quick fixes > scale out", "quick fixes > roll back"],
        after={IMAGE: GOOD},
    ),
    Scene(
        "a full disk is cleaned and, once people agree, enlarged",
        **{**SEV1, "source": "SEV1 pattern 3"},
        alert="OmenDBDiskFull",
        mode="approve",
        cluster=[omendb(), VOLUMES, program(*FIND, namespace=NAMESPACE)],
        prometheus=used(97),
        scenarios=["old files", "disk full"],
        actions=["exec", "pvc_expand", "http_probe", "http_check"],
        after={VOLUME: "200Gi"},
    ),
    Scene(
        "a clean-up that fails does not keep the volume small",
        **{**SEV1, "source": "SEV1 pattern 3"},
        alert="OmenDBDiskFull",
        mode="approve",
        cluster=[omendb(), VOLUMES, program(*FIND, exit_code=1, namespace=NAMESPACE)],
        prometheus=used(97),
        scenarios=["old files", "disk full"],
        after={VOLUME: "200Gi"},
    ),
    Scene(
        "a clean-up that is enough asks nobody",
        **{**SEV1, "source": "SEV1 pattern 3"},
        alert="OmenDBDiskFull",
        cluster=[omendb(), VOLUMES, cleans_up],
        prometheus=used(when("configmaps/cleaned", present, 60, 97)),
        scenarios=["old files"],
        actions=["exec", "http_probe", "http_check"],
        after={VOLUME: "100Gi"},
    ),
    Scene(
        "a full disk without a pod to clean it is enlarged once people agree",
        **{**SEV1, "source": "SEV1 pattern 3"},
        alert="OmenDBDiskFull",
        mode="approve",
        cluster=[omendb(), VOLUMES, crashes_while_full, restarted_pods("prod-omendb", NAMESPACE, 400)],
        prometheus=used(99),
        scenarios=["disk full"],
        after={VOLUME: "200Gi", f"{DEPLOYMENT} status.readyReplicas": 3},
    ),
    Scene(
        "a version that was well for longer than a day is not gone back from",
        **SEV1,
        alert="OmenDBDown",
        cluster=[omendb(then="registry.example/omendb:2.4.0", ago=3 * 86400), VOLUMES],
        answers=answers(DOWN),
        scenarios=["quick fixes > restart", "quick fixes > scale out", "restore from the newest backup"],
        mode="approve",
        ends="escalated",
        after={REPLICAS: 3, IMAGE: "registry.example/omendb:2.4.0"},
    ),
    Scene(
        "the last quick fix is a restore that people agree to",
        **{**SEV1, "source": "SEV1 recovery 4"},
        alert="OmenDBDown",
        mode="approve",
        cluster=[omendb(), VOLUMES, cronjob("omendb-restore", NAMESPACE)],
        answers=answers(when("configmaps/restored", present, "ok", DOWN)),
        when_done={"restore": lambda playing: config("restored", NAMESPACE, yes="1")(playing.stage.cluster)},
        scenarios=[
            "quick fixes > restart",
            "quick fixes > scale out",
            "restore from the newest backup",
        ],
        after={REPLICAS: 3},
    ),
    Scene(
        "a restore that fails leaves its replicas on and wakes a person",
        **{**SEV1, "source": "SEV1 recovery 4"},
        alert="OmenDBDown",
        mode="approve",
        cluster=[omendb(), VOLUMES, cronjob("omendb-restore", NAMESPACE, "registry.example/backup:1-bad")],
        answers=answers(DOWN),
        scenarios=[
            "quick fixes > restart",
            "quick fixes > scale out",
            "restore from the newest backup",
        ],
        ends="escalated",
        told=["account ACC-12345"],
        after={REPLICAS: 3},
    ),
)

COMMUNICATION = {
    "source": "SEV1 communications",
    "runbook": "omendb/communication",
    "alert": "OmenDBDown",
    "beside": ["omendb/service-down"],
    "scenarios": ["tell of it from beginning to end"],
    "resolves_after": 600.0,
}
TOLD = scenes(
    "omendb",
    Scene(
        "the status page says that it is looked into and at the end that it is restored",
        **COMMUNICATION,
        cluster=[omendb(), VOLUMES],
        params={"page": "${http}/incidents"},
        http={"POST /incidents": (201, {"id": "42"}), "PATCH /incidents/42": {"id": "42"}},
        asked=["POST /channels/omendb-incidents", "POST /incidents", "PATCH /incidents/42"],
        actions=["notify", "status_page", "status_page", "notify"],
    ),
    Scene(
        "a status page that is down keeps nobody from being told",
        **COMMUNICATION,
        cluster=[omendb(), VOLUMES],
        params={"page": "${http}/incidents"},
        http={"POST /incidents": (500, "down")},
        asked=["POST /channels/omendb-incidents", "POST /incidents"],
    ),
    Scene(
        "the functional test inserts a value and reads it back",
        source="SEV1 post-recovery",
        runbook="omendb/functional-test",
        alert="OmenDBFunctionalTest",
        labels={"severity": "none"},
        cluster=[omendb()],
        params={"url": "${http}"},
        http={"/health": "ok", "POST /insert": (201, "ok"), "/query": '[{"value": 42.0}]'},
        scenarios=["insert and query"],
        actions=["http_check", "http_call", "http_check"],
        asked=["POST /insert"],
        unchanged=True,
    ),
    Scene(
        "a value that does not come back wakes a person",
        source="SEV1 post-recovery",
        runbook="omendb/functional-test",
        alert="OmenDBFunctionalTest",
        labels={"severity": "none"},
        cluster=[omendb()],
        params={"url": "${http}"},
        http={"/health": "ok", "POST /insert": (201, "ok"), "/query": "[]"},
        scenarios=["insert and query"],
        ends="escalated",
        told=["OmenDB takes no value, or does not give it back"],
    ),
)

SLOW = {"source": "SEV2", "runbook": "omendb/degraded", "alert": "OmenDBHighLatency"}
METRICS = 'omendb_query_duration_seconds{quantile="0.95"} 3\nomendb_query_errors_total 0\nomendb_queries_total 100\n'
QUERIES = {"omendb_query_errors_total": 0.0}
BATCHES = config("omendb-config", NAMESPACE, batch_size="50000")


def slow_until(fact: str, wanted: Any) -> dict[str, Any]:
    return {"prometheus": {"omendb_query_duration": when(fact, wanted, 0.4, 3.0), **QUERIES}}


DEGRADED = scenes(
    "omendb",
    Scene(
        "slow queries are mended by five replicas",
        **SLOW,
        cluster=[omendb(), BATCHES, usage("50m", "64Mi")],
        answers={"/metrics": METRICS},
        **slow_until(REPLICAS, 5),
        scenarios=["degraded > scale out"],
        after={REPLICAS: 5, BATCH: "50000"},
    ),
    Scene(
        "where an autoscaler owns the count the index is rebuilt, and then batches are made smaller",
        **SLOW,
        cluster=[omendb(), BATCHES, usage("50m", "64Mi"), autoscaler("prod-omendb", NAMESPACE, now=3)],
        answers={"/metrics": METRICS},
        params={"url": "${http}"},
        http={"POST /admin/rebuild-index": (202, "begun")},
        **slow_until(BATCH, "25000"),
        scenarios=["degraded > rebuild the index", "degraded > smaller batches"],
        actions=["http_call", "configmap_patch", "rollout_restart"],
        asked=["POST /admin/rebuild-index"],
        after={BATCH: "25000", RESTARTED: present},
    ),
    Scene(
        "what nothing of it makes faster is told to a person, and what was added stays",
        **SLOW,
        cluster=[omendb(), BATCHES, usage("50m", "64Mi")],
        answers={"/metrics": METRICS},
        params={"url": "${http}"},
        http={"POST /admin/rebuild-index": (202, "begun")},
        prometheus={"omendb_query_duration": 3.0, **QUERIES},
        scenarios=["degraded > scale out", "degraded > rebuild the index", "degraded > smaller batches"],
        ends="escalated",
        told=["Still slow"],
        after={REPLICAS: 5, BATCH: "25000"},
    ),
)

MINOR = {"source": "SEV3", "runbook": "omendb/minor", "alert": "OmenDBAuthTimeouts"}
RULE = "prometheusrules.monitoring.coreos.com/omendb-watch"
OPERATOR = definition("monitoring.coreos.com", "prometheusrules", "PrometheusRule")
REST = scenes(
    "omendb",
    Scene(
        "a minor issue becomes a ticket and a stricter alert for four hours",
        **MINOR,
        cluster=[omendb(), OPERATOR],
        resolves_after=1800.0,
        scenarios=["minor issue"],
        asked=["POST /channels/omendb-tickets"],
        after={f"{RULE} metadata.labels.release": "kube-prometheus-stack"},
    ),
    Scene(
        "without the Prometheus operator there is a ticket all the same",
        **MINOR,
        cluster=[omendb()],
        resolves_after=1800.0,
        scenarios=["minor issue"],
        asked=["POST /channels/omendb-tickets"],
        after={RULE: gone},
    ),
    Scene(
        "a minor issue that has grown is a person's at once",
        **MINOR,
        cluster=[omendb()],
        answers=answers(DOWN),
        scenarios=["no minor issue any more"],
        ends="escalated",
        told=["this is SEV1, omendb/service-down"],
        unchanged=True,
    ),
    Scene(
        "a minor issue that does not end is told after four hours",
        **MINOR,
        cluster=[omendb(), OPERATOR],
        scenarios=["minor issue"],
        ends="escalated",
        told=["It did not end within 4 hours"],
        later={RULE: gone},
    ),
    Scene(
        "after an incident the newest backup and the data are verified",
        source="Post-incident",
        runbook="omendb/post-incident",
        alert="OmenDBPostIncident",
        labels={"severity": "none"},
        cluster=[omendb(), cronjob("omendb-backup-verify", NAMESPACE), logs("prod-omendb", namespace=NAMESPACE)],
        params={"url": "${http}"},
        http={"GET /admin/integrity-check": "consistent"},
        scenarios=["backup and data"],
        actions=["job_run", "http_call", "notify"],
        asked=["GET /admin/integrity-check", "POST /channels/omendb-incidents"],
    ),
    Scene(
        "a backup that cannot be verified wakes a person",
        source="Post-incident",
        runbook="omendb/post-incident",
        alert="OmenDBPostIncident",
        labels={"severity": "none"},
        cluster=[omendb(), cronjob("omendb-backup-verify", NAMESPACE, "registry.example/backup:1-bad")],
        scenarios=["backup and data"],
        ends="escalated",
        told=["nobody may rely on a restore"],
    ),
)
SCENES = (*SERVICE_DOWN, *TOLD, *DEGRADED, *REST)


@pytest.mark.parametrize("scene", SCENES, ids=str)
async def test_scene(scene: Scene, theatre: Theatre) -> None:
    await theatre.play(scene)
