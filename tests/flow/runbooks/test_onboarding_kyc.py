"""The runbooks of the onboarding/KYC platform, P0 to P3: see tests/support/scenes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
import pytest

from tests.support.scenes.facts import gone, present, when
from tests.support.scenes.scene import Scene, State, scenes
from tests.support.scenes.shipped import shipped
from tests.support.scenes.theatre import Theatre
from tests.support.scenes.world import (
    app,
    autoscaler,
    behavior,
    certificate,
    claim,
    config,
    cronjob,
    logs,
    stateful,
    thing,
    usage,
)

NAMESPACE, PLATFORM, INGRESS = "business-onboarding", "platform-observability", "platform-ingress"
GOOD, BAD = "registry.example/onboarding-api:3.1.0", "registry.example/onboarding-api:3.2.0-bad"
GREEDY = "registry.example/onboarding-api:3.2.0-oom"
DEPLOYMENT = "deployments.apps/onboarding-api"
TEMPLATE = f"{DEPLOYMENT} spec.template"
CONTAINER = f"{TEMPLATE}.spec.containers[0]"
IMAGE = f"{CONTAINER}.image"
REPLICAS = f"{DEPLOYMENT} spec.replicas"
RESTARTED = f"{TEMPLATE}.metadata.annotations.kubectl\\.kubernetes\\.io/restartedAt"
BREAKER = f"{CONTAINER}.env[0].value"
LIMIT = f"configmaps/{INGRESS}/ingress-nginx-controller data.limit-rps"
ANNOTATION = (
    "ingresses.networking.k8s.io/onboarding-api metadata.annotations.nginx\\.ingress\\.kubernetes\\.io/limit-rps"
)


def api(**more: Any) -> State:
    return app("onboarding-api", NAMESPACE, **{"image": GOOD, **more})


BESIDE = ["onboarding-kyc/communication", "onboarding-kyc/assessment"]

# -- API errors
ERRORS: dict[str, Any] = {
    "source": "API errors",
    "runbook": "onboarding-kyc/api-errors",
    "alert": "OnboardingApiErrors",
    "beside": BESIDE,
}

QUIET = {**ERRORS, "alert": "OnboardingRequestsTurnedAway", "beside": []}
"""The same without what runs beside what is P0 or P1."""

CRASHING = {"severity": "warning", "pod": "onboarding-api-1", "container": "onboarding-api"}


def failing(until: Any, *, limited: Any = 0.0) -> dict[str, Any]:
    """So many requests fail, and the ingress turns so many away."""
    return {"prometheus": {"nginx_ingress": limited, "http_requests_total": until}}


def ingress(limit: str) -> list[State]:
    """The controller with its ConfigMap, and the API's Ingress."""
    rule = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": _BACKEND}]}}
    return [
        app("ingress-nginx-controller", INGRESS),
        config("ingress-nginx-controller", INGRESS, **{"limit-rps": limit}),
        thing("networking.k8s.io/v1", "Ingress", "onboarding-api", NAMESPACE, spec={"rules": [rule]}),
    ]


_BACKEND = {"service": {"name": "onboarding-api", "port": {"name": "http"}}}
EXTERNAL = logs("onboarding-api", *["ERROR provider idcheck: timed out"] * 5, namespace=NAMESPACE)
API_ERRORS = scenes(
    "onboarding-kyc",
    Scene(
        "a version that came just before the errors is rolled back",
        **ERRORS,
        cluster=[api(then="registry.example/onboarding-api:3.2.0", ago=600)],
        **failing(when(IMAGE, GOOD, 0.0, 0.2)),
        scenarios=["a recent deployment"],
        actions=["rollout_undo"],
        after={IMAGE: GOOD, REPLICAS: 3},
    ),
    Scene(
        "where the version before fails as well a restart follows",
        **ERRORS,
        cluster=[api(then="registry.example/onboarding-api:3.2.0", ago=600)],
        **failing(when(RESTARTED, present, 0.0, 0.2)),
        scenarios=["a recent deployment", "quick fixes > restart"],
        actions=["rollout_undo", "rollout_restart"],
        after={IMAGE: GOOD},
    ),
    Scene(
        "pods that crash for want of memory get more of it before anything else",
        **{**ERRORS, "alert": "KubePodCrashLooping", "labels": CRASHING},
        cluster=[api(then=GREEDY, ago=7200), behavior(oom_cured_at="1Gi")],
        **failing(0.0),
        scenarios=["too little memory"],
        actions=["set_resources"],
        after={f"{CONTAINER}.resources.limits.memory": "1Gi"},
    ),
    Scene(
        "a dependency outside that fails opens the circuit breaker",
        **ERRORS,
        cluster=[api(), EXTERNAL],
        **failing(when(BREAKER, "true", 0.0, 0.2)),
        scenarios=["an external dependency fails"],
        actions=["set_env"],
        after={
            f"{CONTAINER}.env": [
                {"name": "CIRCUIT_BREAKER_ENABLED", "value": "true"},
                {"name": "CIRCUIT_BREAKER_THRESHOLD", "value": "5"},
            ],
            RESTARTED: gone,
        },
    ),
    Scene(
        "a breaker that does not help is taken out before the quick fixes",
        **ERRORS,
        cluster=[api(), EXTERNAL],
        **failing(when(REPLICAS, 5, 0.0, 0.2)),
        scenarios=["an external dependency fails", "quick fixes > restart", "quick fixes > scale out"],
        actions=["set_env", "rollout_restart", "scale"],
        after={f"{CONTAINER}.env": gone, REPLICAS: 5},
    ),
    Scene(
        "requests that the ingress turns away raise its limit for two hours",
        **QUIET,
        cluster=[api(), *ingress("100")],
        **failing(when(LIMIT, "200", 0.0, 0.2), limited=when(LIMIT, "200", 0.0, 40.0)),
        scenarios=["the ingress turns requests away > a higher limit for all"],
        actions=["configmap_patch", "rollout_restart"],
        after={LIMIT: "200", ANNOTATION: gone, RESTARTED: gone},
        later={LIMIT: "100"},
    ),
    Scene(
        "a controller that does not know the limit is told it on the Ingress",
        **QUIET,
        cluster=[api(), *ingress("100")],
        **failing(when(ANNOTATION, "200", 0.0, 0.2), limited=when(ANNOTATION, "200", 0.0, 40.0)),
        scenarios=[
            "the ingress turns requests away > a higher limit for all",
            "the ingress turns requests away > a higher limit for the API",
        ],
        actions=["configmap_patch", "rollout_restart", "object_apply"],
        after={LIMIT: "100", ANNOTATION: "200"},
        later={ANNOTATION: gone},
    ),
    Scene(
        "a restart is the first quick fix and the smoke tests prove it",
        **ERRORS,
        cluster=[api(), cronjob("onboarding-smoke-tests", NAMESPACE)],
        **failing(when(RESTARTED, present, 0.0, 0.2)),
        scenarios=["quick fixes > restart"],
        actions=["rollout_restart", "job_run"],
        after={REPLICAS: 3, IMAGE: GOOD},
    ),
    Scene(
        "pods that crash are restarted then scaled then rolled back",
        **{**ERRORS, "alert": "KubePodCrashLooping", "labels": CRASHING},
        cluster=[api(then=BAD, ago=7200)],
        answers={"/health": when(IMAGE, GOOD, "ok", (503, "down"))},
        scenarios=["quick fixes > restart", "quick fixes > scale out", "quick fixes > roll back"],
        **failing(when(IMAGE, GOOD, 0.0, 0.5)),
        after={IMAGE: GOOD, REPLICAS: 5},
    ),
    Scene(
        "where an autoscaler owns the count there is no scaling and what stays goes to people",
        **{**ERRORS, "alert": "OnboardingApiDown", "labels": {"deployment": "onboarding-api"}},
        cluster=[api(), autoscaler("onboarding-api", NAMESPACE, low=3, now=3)],
        **failing(0.2),
        scenarios=["quick fixes > restart"],
        ends="escalated",
        told=["Platform lead after 15 minutes, CTO after 30"],
        after={REPLICAS: 3, IMAGE: GOOD},
    ),
    Scene(
        "smoke tests that fail mean that it is not mended",
        **ERRORS,
        cluster=[api(), cronjob("onboarding-smoke-tests", NAMESPACE, "registry.example/smoke:1-bad")],
        **failing(when(RESTARTED, present, 0.0, 0.2)),
        scenarios=["quick fixes > restart", "quick fixes > scale out"],
        ends="escalated",
        after={IMAGE: GOOD},
    ),
)

# -- high CPU
HOT: dict[str, Any] = {
    "source": "High CPU",
    "runbook": "onboarding-kyc/high-cpu",
    "alert": "OnboardingHighCPU",
    "labels": {"deployment": "onboarding-api", "workload": "onboarding-api"},
}


def uses(until: Mapping[int, str], otherwise: str) -> State:
    """What each container uses, by how many replicas there are."""

    def bring(cluster: Any) -> None:
        def told(_pod: Any, _container: str) -> tuple[str, str]:
            count = (cluster.get("deployments.apps", NAMESPACE, "onboarding-api") or {})["spec"]["replicas"]
            return until.get(count, otherwise), "64Mi"

        cluster.set_behavior(usage=told)

    return bring


THROTTLED = {"throttled": when(REPLICAS, 5, 0.0, 0.4)}
HIGH_CPU = scenes(
    "onboarding-kyc",
    Scene(
        "hot pods get two more beside them",
        **HOT,
        cluster=[api(), uses({5: "200m"}, "480m")],
        prometheus={"throttled": 0.0},
        scenarios=["short of CPU > scale out"],
        actions=["scale"],
        after={REPLICAS: 5},
    ),
    Scene(
        "throttled pods are short of CPU as well",
        **{
            **HOT,
            "alert": "CPUThrottlingHigh",
            "labels": {"severity": "info", "container": "onboarding-api", "pod": "onboarding-api-1"},
        },
        cluster=[api(), usage("200m", "64Mi")],
        prometheus={
            "throttled": when(REPLICAS, 5, [({"pod": "onboarding-api-1"}, 0.0)], [({"pod": "onboarding-api-1"}, 0.4)])
        },
        scenarios=["short of CPU > scale out"],
        after={REPLICAS: 5},
    ),
    Scene(
        "an autoscaler at its limit is let go further",
        **HOT,
        cluster=[api(), autoscaler("onboarding-api", NAMESPACE, high=3), usage("200m", "64Mi")],
        prometheus={
            "throttled": when("horizontalpodautoscalers.autoscaling/onboarding-api spec.maxReplicas", 5, 0.0, 0.4)
        },
        scenarios=["short of CPU > let the autoscaler go further"],
        actions=["hpa_patch"],
        after={"horizontalpodautoscalers.autoscaling/onboarding-api spec.maxReplicas": 5},
    ),
    Scene(
        "where more pods do not help they stay and a person is told what is hot",
        **HOT,
        cluster=[api(limits={"cpu": "1"}), usage("950m", "64Mi")],
        prometheus={"throttled": 0.0},
        scenarios=["short of CPU > scale out"],
        ends="escalated",
        told=["optimise the code", "business-onboarding/onboarding-api-"],
        after={REPLICAS: 5},
    ),
    Scene(
        "what has cooled down is not changed",
        **HOT,
        cluster=[api(), usage("50m", "64Mi")],
        prometheus={"throttled": 0.0},
        scenarios=["it has ended"],
        ends="escalated",
        told=["nothing was changed"],
        unchanged=True,
    ),
)

# -- out of memory
MEMORY: dict[str, Any] = {
    "source": "Out of memory",
    "runbook": "onboarding-kyc/out-of-memory",
    "alert": "OnboardingOutOfMemory",
    "labels": {"deployment": "onboarding-api", "container": "onboarding-api"},
    "beside": BESIDE[1:],
}
MEMORY_LIMIT = f"{CONTAINER}.resources.limits.memory"
OUT_OF_MEMORY = scenes(
    "onboarding-kyc",
    Scene(
        "an OOM kill raises the memory limit to 1Gi",
        **MEMORY,
        cluster=[api(then=GREEDY, ago=120), behavior(oom_cured_at="1Gi")],
        scenarios=["too little memory"],
        actions=["set_resources"],
        after={MEMORY_LIMIT: "1Gi", REPLICAS: 3},
    ),
    Scene(
        "memory that is almost used up is enlarged before anything is killed",
        **{**MEMORY, "alert": "OnboardingHighMemory"},
        cluster=[api(), usage("50m", "250Mi")],
        scenarios=["too little memory"],
        after={MEMORY_LIMIT: "1Gi"},
    ),
    Scene(
        "where 1Gi is not enough a person is told",
        **MEMORY,
        cluster=[api(then=GREEDY, ago=120)],
        scenarios=["too little memory"],
        ends="escalated",
        told=["needs more than 1Gi, or it leaks"],
        after={MEMORY_LIMIT: "1Gi"},
    ),
    Scene(
        "where something else was killed its name is told",
        **MEMORY,
        cluster=[api(), app("screening", NAMESPACE, then="registry.example/screening:2-oom", ago=120)],
        scenarios=["another workload was killed"],
        ends="escalated",
        told=["business-onboarding/screening-"],
        unchanged=True,
    ),
)

# -- database connections
DATABASE_NAME = "onboarding"


def sessions(count: int, *, idle: bool, idlers: int = 0) -> Callable[[Any], Any]:
    """Bring the runbook's database into a state: so many sessions of a service, idle for an hour or in a transaction.
    Of the latter a few (`idlers`) are idle.

    Views stand before the server's own, since nobody waits for an hour, nor restarts the server that scenes share:
    the runbook's statements are played as they ship, end real sessions and really change its configuration, which
    counts at once. 25 of the connections in it are one.
    """

    async def run(playing: Any) -> None:
        there = {**playing.theatre.postgres, "database": DATABASE_NAME}
        admin = await asyncpg.connect(**there)
        try:
            await admin.execute("ALTER SYSTEM RESET max_connections")
            await admin.execute(_LEFT)
            user = there["user"]
            await admin.execute(f"ALTER ROLE {user} IN DATABASE {DATABASE_NAME} SET search_path = public, pg_catalog")
            await admin.execute(_VIEWS)
        finally:
            await admin.close()
        playing.sessions = [
            await asyncpg.connect(**there, server_settings={"application_name": "service"}) for _ in range(count)
        ]
        for number, each in enumerate(playing.sessions):
            await each.execute("SELECT 1" if idle or number < idlers else "BEGIN")

    return run


_LEFT = "SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE application_name = 'service'"
_VIEWS = """
    CREATE OR REPLACE VIEW public.pg_stat_activity AS
    SELECT datname, pid, usename, application_name, backend_type, state, query, query_start,
    state_change - interval '1 hour' AS state_change
    FROM pg_catalog.pg_stat_activity WHERE application_name = 'service';
    CREATE OR REPLACE FUNCTION public.current_setting(text) RETURNS text LANGUAGE sql AS $$
    SELECT (setting::int / 25)::text FROM pg_catalog.pg_file_settings WHERE name = $1 ORDER BY seqno DESC LIMIT 1 $$;
"""


async def ended(playing: Any) -> None:
    """The service's sessions were ended."""
    for each in playing.sessions:
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
            await each.fetchval("SELECT 1")


async def left_alone(playing: Any) -> None:
    """The sessions in a transaction were not ended: they are now."""
    for each in playing.sessions:
        if each.is_in_transaction():
            assert await each.fetchval("SELECT 1") == 1
        await each.close(timeout=1.5)


def allowed(wanted: str, later: str = "") -> Callable[[Any], Any]:
    """So many connections may be there as PostgreSQL is set, `later` after two hours; none in use was ended."""

    async def check(playing: Any) -> None:
        await configured(playing, wanted)
        await left_alone(playing)
        if later:
            for _ in range(8):
                await playing.stage.advance(1000.0)
            await configured(playing, later)
            # Restarted to read it: that is a change of its pods as well.
            assert playing.fact(POSTGRES_CHANGES) == 3

    return check


async def configured(playing: Any, wanted: str) -> None:
    admin = await asyncpg.connect(**playing.theatre.postgres, database=DATABASE_NAME)
    try:
        assert await admin.fetchval("SELECT current_setting('max_connections')") == wanted
    finally:
        await admin.close()


CONNECTIONS: dict[str, Any] = {
    "source": "Database connections",
    "runbook": "onboarding-kyc/database-connections",
    "alert": "OnboardingDatabaseConnections",
    "namespace": PLATFORM,
    "beside": BESIDE,
    "needs": "postgres",
}
KAFKA = stateful("kafka", PLATFORM, replicas=3, service_port=9092)
POSTGRES = stateful("postgresql", PLATFORM)
POSTGRES_RESTARTED = RESTARTED.replace("deployments.apps/onboarding-api", "statefulsets.apps/postgresql")
POSTGRES_CHANGES = "statefulsets.apps/postgresql metadata.generation"
CONNECTION_SCENES = scenes(
    "onboarding-kyc",
    Scene(
        "connections that were idle for an hour are ended",
        **CONNECTIONS,
        cluster=[POSTGRES],
        first=sessions(4, idle=True),
        scenarios=["idle connections use them up"],
        actions=["sql"],
        after={POSTGRES_RESTARTED: gone},
        check=ended,
    ),
    Scene(
        "where none is idle more are allowed for two hours once people agree and PostgreSQL is restarted both times",
        **{**CONNECTIONS, "alert": "PostgresqlTooManyConnections", "labels": {"severity": "warning"}, "beside": []},
        mode="approve",
        cluster=[POSTGRES],
        first=sessions(4, idle=False),
        scenarios=["connections are used up"],
        actions=["sql"],
        after={POSTGRES_RESTARTED: present, POSTGRES_CHANGES: 2},
        check=allowed("8", later="4"),
    ),
    Scene(
        "where ending what is idle does not help more are allowed",
        **CONNECTIONS,
        mode="approve",
        cluster=[POSTGRES],
        first=sessions(5, idle=False, idlers=1),
        scenarios=["idle connections use them up", "connections are used up"],
        actions=["sql", "sql"],
        check=allowed("8"),
    ),
    Scene(
        "where twice as many are used up as well it is put back and a person is told who holds them",
        **CONNECTIONS,
        mode="approve",
        cluster=[POSTGRES],
        first=sessions(8, idle=False),
        scenarios=["connections are used up"],
        ends="escalated",
        told=["idle in transaction"],
        check=allowed("4"),
    ),
    Scene(
        "connections that are free are not touched",
        **CONNECTIONS,
        cluster=[POSTGRES],
        first=sessions(2, idle=True),
        scenarios=["connections are free"],
        ends="escalated",
        told=["2 of 4 connections are taken"],
        unchanged=True,
        check=allowed("4"),
    ),
    Scene(
        "a database without a pod is told at once",
        **CONNECTIONS,
        cluster=[stateful("postgresql", PLATFORM, image="registry.example/postgresql:16-bad")],
        first=sessions(0, idle=True),
        scenarios=["PostgreSQL does not run"],
        ends="escalated",
        told=["No pod of postgresql is ready"],
        unchanged=True,
    ),
)

# -- disk space
VOLUME: dict[str, Any] = {
    "source": "Disk space",
    "runbook": "onboarding-kyc/disk-space",
    "alert": "KubePersistentVolumeFillingUp",
    "namespace": PLATFORM,
    "labels": {"severity": "critical", "persistentvolumeclaim": "data-kafka-0"},
    "beside": BESIDE[1:],
}
SIZE = "persistentvolumeclaims/data-kafka-0 spec.resources.requests.storage"


def full(percent: float, until: str = "", then: float = 0.0) -> dict[str, Any]:
    """How full the volume is; `then`, once it has that size."""

    def samples(value: float) -> list[Any]:
        return [({"persistentvolumeclaim": "data-kafka-0", "namespace": PLATFORM}, value)]

    return {
        "prometheus": {
            "kubelet_volume_stats_used": when(SIZE, until, samples(then), samples(percent)),
            "kubelet_volume_stats_capacity": samples(100.0),
        }
    }


DISK: dict[str, Any] = {
    "source": "Disk space",
    "runbook": "onboarding-kyc/node-disk",
    "alert": "NodeFilesystemAlmostOutOfSpace",
    "namespace": PLATFORM,
    "labels": {"severity": "warning", "instance": "node-1", "mountpoint": "/", "fstype": "ext4"},
}
DISK_SPACE = scenes(
    "onboarding-kyc",
    Scene(
        "a volume that fills up grows by 20Gi once people agree",
        **VOLUME,
        mode="approve",
        cluster=[claim("data-kafka-0", PLATFORM, "50Gi")],
        **full(97.0, "70Gi", 75.0),
        scenarios=["it fills up"],
        actions=["pvc_expand"],
        after={SIZE: "70Gi"},
    ),
    Scene(
        "a volume that is still full goes to a person",
        **VOLUME,
        mode="approve",
        cluster=[claim("data-kafka-0", PLATFORM, "50Gi")],
        **full(97.0),
        scenarios=["it fills up"],
        ends="escalated",
        told=["data-kafka-0 is full to 97 %"],
        after={SIZE: "70Gi"},
    ),
    Scene(
        "a volume at its maximum is not made larger",
        **VOLUME,
        cluster=[claim("data-kafka-0", PLATFORM, "200Gi")],
        **full(97.0),
        scenarios=["it fills up"],
        ends="escalated",
        told=["may not become larger than 200Gi"],
        unchanged=True,
    ),
    Scene(
        "a volume that cannot grow is told with its storage class",
        **VOLUME,
        cluster=[
            claim("data-kafka-0", PLATFORM, "50Gi"),
            thing("storage.k8s.io/v1", "StorageClass", "standard", "", provisioner="x/y", allowVolumeExpansion=False),
        ],
        **full(97.0),
        scenarios=["it fills up, and cannot grow"],
        ends="escalated",
        told=["standard"],
        unchanged=True,
    ),
    Scene(
        "a volume with room is left as it is",
        **VOLUME,
        cluster=[claim("data-kafka-0", PLATFORM, "50Gi")],
        **full(60.0),
        scenarios=["there is room"],
        ends="escalated",
        told=["full to 60 % by now"],
        unchanged=True,
    ),
    Scene(
        "old packed logs on a full node are deleted",
        **{**DISK, "source": "Disk space: nodes"},
        cluster=[KAFKA],
        prometheus={"node_filesystem": when("configmaps/cleaned", present, 70.0, 90.0)},
        when_done={"old-logs": lambda playing: config("cleaned", PLATFORM, yes="1")(playing.stage.cluster)},
        scenarios=["its disk fills up"],
        actions=["job_run", "job_run"],
    ),
    Scene(
        "what is large is told where old logs are not what fills the disk",
        **{**DISK, "source": "Disk space: nodes"},
        cluster=[KAFKA],
        prometheus={"node_filesystem": 90.0},
        scenarios=["its disk fills up"],
        actions=["job_run", "job_run"],
        ends="escalated",
        told=["/ of node-1 is full to 90 %", "log of the Job large-files"],
    ),
    Scene(
        "a disk with room is left as it is",
        **{**DISK, "source": "Disk space: nodes"},
        cluster=[KAFKA],
        prometheus={"node_filesystem": 50.0},
        scenarios=["there is room"],
        ends="escalated",
        told=["nothing was changed"],
        unchanged=True,
    ),
)

# -- certificates
EXPIRING: dict[str, Any] = {
    "source": "Certificate expiry",
    "runbook": "onboarding-kyc/certificate-expiry",
    "alert": "OnboardingCertificateExpiring",
    "labels": {"name": "onboarding-tls"},
}
CERT_MANAGER = app("cert-manager", "platform-security", replicas=1)
CERTIFICATES = scenes(
    "onboarding-kyc",
    Scene(
        "a certificate that runs out is renewed by cert-manager",
        **EXPIRING,
        cluster=[certificate("onboarding-tls", NAMESPACE), CERT_MANAGER],
        scenarios=["it runs out"],
        actions=["certificate_renew"],
        after={"certificates.cert-manager.io/onboarding-tls": present},
    ),
    Scene(
        "a certificate that another namespace exports is found by cert-manager's own rules",
        **{
            **EXPIRING,
            "alert": "CertManagerCertExpirySoon",
            "namespace": "platform-security",
            "labels": {"severity": "warning", "name": "onboarding-tls", "exported_namespace": NAMESPACE},
        },
        cluster=[certificate("onboarding-tls", NAMESPACE), CERT_MANAGER],
        scenarios=["it runs out"],
        actions=["certificate_renew"],
    ),
    Scene(
        "a renewal that does not come about is told with the log of cert-manager",
        **EXPIRING,
        cluster=[
            certificate("onboarding-tls", NAMESPACE),
            CERT_MANAGER,
            logs(
                "cert-manager",
                'E1121 controller.go "error issuing" err="acme: rate limited"',
                namespace="platform-security",
            ),
            behavior(fail_certificates=True),
        ],
        scenarios=["it runs out"],
        ends="escalated",
        told=["rate limited"],
    ),
    Scene(
        "a certificate that is valid for long enough is left alone",
        **EXPIRING,
        cluster=[certificate("onboarding-tls", NAMESPACE, days=60), CERT_MANAGER],
        scenarios=["it is valid for long enough"],
        ends="escalated",
        told=["is valid for 60 days"],
        unchanged=True,
    ),
)

# -- assessment
LOOKED_AT: dict[str, Any] = {
    "source": "Assessment",
    "runbook": "onboarding-kyc/assessment",
    "alert": "OnboardingKafkaLag",
    "namespace": PLATFORM,
    "labels": {"consumergroup": "screening"},
    "needs": "sentinels and postgres",
    "params": {"gateway": "${http}/health", "search": "${http}"},
    "prometheus": {
        "kafka_consumergroup_lag": [({"consumergroup": "screening"}, 20000.0)],
        "http_requests_total": 0.0,
    },
    "http": {"/health": "ok", "/fluentbit-*/_search": {"hits": {"total": {"value": 7}, "hits": []}}},
    "unchanged": True,
}


def said(*parts: str) -> Callable[[Any], None]:
    """What was sent to the channels of people, or to the status page."""

    def check(playing: Any) -> None:
        found = "\n".join(playing.peers.bodies)
        for part in parts:
            assert part in found, found

    return check


LOOKS = scenes(
    "onboarding-kyc",
    Scene(
        "an alert without a runbook is assessed and told with all that the platform rests on",
        **LOOKED_AT,
        cluster=[api(), KAFKA],
        first=sessions(2, idle=False),
        resolves_after=120.0,
        scenarios=["all of it answers"],
        actions=["notify"],
        asked=["GET /fluentbit-*/_search", "POST /channels/onboarding-kyc-incidents"],
        check=said("lag screening: 20000", "in Elasticsearch in the last hour: 7", "3 of 3 brokers"),
    ),
    Scene(
        "an alert that nothing is known of and that stays wakes a person after 15 minutes",
        **LOOKED_AT,
        cluster=[api(), KAFKA],
        scenarios=["all of it answers"],
        ends="escalated",
        told=["No runbook is routed for OnboardingKafkaLag"],
    ),
    Scene(
        "a gateway that answers with an error is told and no person is woken for it twice",
        **{
            **LOOKED_AT,
            "http": {"/health": (503, "down")},
            "alert": "OnboardingApiErrors",
            "labels": {},
            "namespace": NAMESPACE,
        },
        beside=["onboarding-kyc/communication", "onboarding-kyc/api-errors"],
        cluster=[api(), KAFKA],
        scenarios=["not all of it answers as it should"],
        check=said("not all that the platform rests on answers"),
    ),
    Scene(
        "a broker that is down is told to a person at once",
        **{**LOOKED_AT, "alert": "OnboardingPlatformDown", "labels": {"statefulset": "kafka"}},
        beside=["onboarding-kyc/communication"],
        cluster=[api(), stateful("kafka", PLATFORM, image="registry.example/kafka:3-bad", service_port=9092)],
        scenarios=["something that the platform rests on is down"],
        ends="escalated",
        told=["Kafka: 0 of 1 brokers ready", "Redis: answers"],
    ),
    Scene(
        "a PostgreSQL without a pod is told to a person at once",
        **{**LOOKED_AT, "alert": "OnboardingPlatformDown", "labels": {"statefulset": "postgresql"}},
        beside=["onboarding-kyc/communication"],
        cluster=[api(), KAFKA, stateful("postgresql", PLATFORM, image="registry.example/postgresql:16-bad")],
        scenarios=["something that the platform rests on is down"],
        ends="escalated",
        told=["PostgreSQL: 0 of 1 pods ready"],
    ),
    Scene(
        "a Redis that refuses connections is told to a person at once",
        **{**LOOKED_AT, "needs": "postgres"},
        cluster=[api(), KAFKA],
        scenarios=["something that the platform rests on is down"],
        ends="escalated",
        told=["127.0.0.1:9"],
    ),
)

# -- communication
TELLING: dict[str, Any] = {
    "source": "Communication",
    "runbook": "onboarding-kyc/communication",
    "alert": "OnboardingApiErrors",
    "beside": ["onboarding-kyc/assessment", "onboarding-kyc/api-errors"],
    "cluster": [api()],
    "params": {"page": "${http}/api/incidents"},
    "resolves_after": 2700.0,
    "scenarios": ["tell of it from beginning to end"],
}
PAGE = {"POST /api/incidents": (201, {"id": "42"}), "PATCH /api/incidents/42": {"id": "42"}}


async def post_mortem(playing: Any) -> None:
    """Its template is kept with the run, and what was said is the source's template."""
    (run,) = await playing.runs()
    said("Status: Investigating", "Severity: P1", "Owner: @oncall-engineer", "Status: Resolved", "API Issues")(
        playing
    )
    report = await playing.stage.stores.journal.read(run.remediation.id)
    text = "\n".join(str(entry.data) + entry.text for entry in report)
    assert "# Incident Post-Mortem: OnboardingApiErrors" in text
    assert "**Severity:** P1" in text


COMMUNICATION = scenes(
    "onboarding-kyc",
    Scene(
        "channel and status page tell of an incident until it is over",
        **TELLING,
        http=PAGE,
        actions=["notify", "status_page", "status_page", "notify"],
        asked=["POST /channels/onboarding-kyc-incidents", "POST /api/incidents", "PATCH /api/incidents/42"],
        check=post_mortem,
    ),
    Scene(
        "a status page that is down keeps the channel from nothing",
        **TELLING,
        http={"POST /api/incidents": (500, "down")},
        asked=["POST /channels/onboarding-kyc-incidents", "POST /api/incidents"],
        check=said("Status: Resolved"),
    ),
)
SCENES = (
    *API_ERRORS,
    *HIGH_CPU,
    *OUT_OF_MEMORY,
    *CONNECTION_SCENES,
    *DISK_SPACE,
    *CERTIFICATES,
    *LOOKS,
    *COMMUNICATION,
)


ON_CALL, LEAD = "onboarding-kyc-on-call", "onboarding-kyc-platform-lead"
SECURITY, CTO = "onboarding-kyc-security-lead", "onboarding-kyc-cto"


@pytest.mark.parametrize(
    ("labels", "called"),
    [
        ({"severity": "P1"}, [(ON_CALL, 0.0), (LEAD, 15.0), (CTO, 30.0)]),
        ({"severity": "P0"}, [(ON_CALL, 0.0), (LEAD, 15.0), (CTO, 30.0)]),
        ({"severity": "P1", "category": "security"}, [(ON_CALL, 0.0), (SECURITY, 0.0), (CTO, 0.0)]),
        ({"severity": "P2"}, [(ON_CALL, 0.0)]),
        ({"severity": "P3"}, [("onboarding-kyc-incidents", 0.0)]),
    ],
)
def test_who_is_called_after_how_many_minutes(labels: dict[str, str], called: list[tuple[str, float]]) -> None:
    """The Escalation Path: on-call, platform lead after 15 minutes, CTO after 30; for security incidents at once."""
    notify = shipped().settings.notify
    bad = notify.severity.of("onboarding-kyc/api-errors", labels)
    ladder = next(each for each in notify.escalation if each.meets("onboarding-kyc/api-errors", labels, bad))
    found, passed = [], 0.0
    for level in ladder.levels:
        found += [(channel, passed / 60) for channel in level.channels]
        passed += level.within
    assert found == called


@pytest.mark.parametrize("scene", SCENES, ids=str)
async def test_scene(scene: Scene, theatre: Theatre) -> None:
    await theatre.play(scene)
