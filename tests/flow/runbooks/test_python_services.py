"""The runbooks of the Python services, procedures 1 to 5 and what is around them: see tests/support/scenes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from bridge.demo.cluster import SimulatedCluster
from bridge.demo.objects import Obj, clone
from bridge.engine.schedules import Schedules
from tests.support.scenes.facts import ends_with, gone, present, when
from tests.support.scenes.scene import Scene, State, scenes
from tests.support.scenes.theatre import Theatre
from tests.support.scenes.world import (
    app,
    autoscaler,
    behavior,
    dns,
    logs,
    not_ready,
    policy,
    port,
    stateful,
    thing,
    usage,
)

NAMESPACE = "python-services"
GOOD, BAD = "soba-dex/python-services:2.0.0", "soba-dex/python-services:2.1.0-bad"
DEPLOYMENT = "deployments.apps/pricing"
TEMPLATE = f"{DEPLOYMENT} spec.template"
IMAGE = f"{TEMPLATE}.spec.containers[0].image"
RESOURCES = f"{TEMPLATE}.spec.containers[0].resources"
REPLICAS = f"{DEPLOYMENT} spec.replicas"
READY = f"{DEPLOYMENT} status.readyReplicas"
RESTARTED = f"{TEMPLATE}.metadata.annotations.kubectl\\.kubernetes\\.io/restartedAt"
DOWN = (503, "down")
PRICING = {"deployment": "pricing"}
ERRORS = "http_requests_total"
API = {"api": "${http}/api"}


def pricing(**more: Any) -> State:
    """A service of three pods, healthy at 8001."""
    given = {"image": GOOD, "ports": {"http": 8001}, "services": ["pricing-service"], **more}
    return app("pricing", NAMESPACE, **given)


RESTART: dict[str, Any] = {
    "source": "1",
    "runbook": "python-services/service-restart",
    "labels": PRICING,
    "params": API,
    "http": {"/api/health/service/pricing": {"status": "unhealthy"}},
}
TOLD_BESIDE: dict[str, Any] = {"beside": ["python-services/escalation"]}
RESTARTS = scenes(
    "python-services",
    Scene(
        "a service that is not healthy is restarted",
        **RESTART,
        alert="PythonServiceHealthCheckFailing",
        cluster=[pricing()],
        answers={"/health": when(RESTARTED, present, "ok", DOWN)},
        prometheus={ERRORS: 0.0},
        scenarios=["not healthy > restart"],
        actions=["rollout_restart"],
        asked=["GET /api/health/service/pricing"],
        after={IMAGE: GOOD, READY: 3},
    ),
    Scene(
        "a version of today is gone back from when a restart did not help",
        **{**RESTART, "labels": {"severity": "warning", "container": "pricing", "pod": "pricing-1"}},
        alert="KubePodCrashLooping",
        cluster=[pricing(then=BAD)],
        answers={"/health": when(IMAGE, GOOD, "ok", DOWN)},
        prometheus={ERRORS: 0.0},
        scenarios=["not healthy > restart", "not healthy > go back"],
        actions=["rollout_restart", "rollout_undo"],
        after={IMAGE: GOOD, READY: 3},
    ),
    Scene(
        "a version that was well for days is not gone back from",
        **RESTART,
        alert="PythonServiceHealthCheckFailing",
        cluster=[pricing(then="soba-dex/python-services:2.0.5", ago=3 * 86400.0)],
        answers={"/health": DOWN},
        prometheus={ERRORS: 0.0},
        scenarios=["not healthy > restart"],
        ends="escalated",
        told=["pricing is not well", '{"status": "unhealthy"}'],
        after={IMAGE: ends_with(":2.0.5")},
    ),
    Scene(
        "a service that fails too often is restarted though its health check is well",
        **RESTART,
        **TOLD_BESIDE,
        alert="PythonServiceUnavailable",
        cluster=[pricing()],
        prometheus={ERRORS: when(RESTARTED, present, 0.001, 0.08)},
        scenarios=["not healthy > restart"],
        after={RESTARTED: present, IMAGE: GOOD},
    ),
    Scene(
        "a restart is proved by the functional test",
        **{
            **RESTART,
            "params": {**API, "test_path": "/python/price", "test_data": {"id": 7}},
            "http": {**RESTART["http"], "POST /api/python/price": when(IMAGE, GOOD, {"price": 1}, (500, "broken"))},
        },
        alert="PythonServiceHealthCheckFailing",
        cluster=[pricing(then="soba-dex/python-services:2.1.0")],
        answers={"/health": when(IMAGE, GOOD, "ok", when(RESTARTED, present, "ok", DOWN))},
        prometheus={ERRORS: 0.0},
        scenarios=["not healthy > restart", "not healthy > go back"],
        asked=["POST /api/python/price"],
        after={IMAGE: GOOD},
    ),
)


def load(cores: float, of: str = "pricing") -> State:
    """Cores that the pods of a service share."""

    def bring(cluster: SimulatedCluster) -> None:
        def told(pod: Obj, _container: str) -> tuple[str, str] | None:
            if not pod["metadata"]["name"].startswith(of):
                return None
            pods = [each for each in cluster.list("pods", NAMESPACE) if each["metadata"]["name"].startswith(of)]
            return f"{round(cores / len(pods) * 1000)}m", "64Mi"

        cluster.set_behavior(usage=told)

    return bring


SCALE: dict[str, Any] = {"source": "2", "runbook": "python-services/scale-service", "labels": PRICING}
HPA = "horizontalpodautoscalers.autoscaling/pricing spec"
SCALES = scenes(
    "python-services",
    Scene(
        "a service without an autoscaler gets ten pods",
        **SCALE,
        alert="PythonServiceHighLoad",
        cluster=[pricing(), load(1.4)],
        scenarios=["nobody scales it"],
        actions=["scale"],
        after={REPLICAS: 10, READY: 10},
    ),
    Scene(
        "load that ten pods do not carry is told with the room that the nodes have",
        **SCALE,
        alert="PythonServiceHighLoad",
        cluster=[pricing(), load(4.9)],
        scenarios=["nobody scales it"],
        ends="escalated",
        told=["still short of capacity"],
        after={REPLICAS: 10},
    ),
    Scene(
        "an autoscaler aims lower and scales earlier",
        **SCALE,
        alert="PythonServiceHighLoad",
        cluster=[pricing(requests={"cpu": "400m"}), autoscaler("pricing", NAMESPACE, high=12, now=3), load(1.3)],
        scenarios=["an autoscaler owns the count > aim lower"],
        actions=["hpa_patch"],
        after={f"{HPA}.metrics[0].resource.target.averageUtilization": 60, f"{HPA}.maxReplicas": 12},
    ),
    Scene(
        "an autoscaler that is at its limit gets a higher one after it aimed lower in vain",
        **{
            **SCALE,
            "labels": {"severity": "warning", "horizontalpodautoscaler": "pricing"},
        },
        alert="KubeHpaMaxedOut",
        cluster=[pricing(requests={"cpu": "400m"}), autoscaler("pricing", NAMESPACE, high=3), load(1.4)],
        scenarios=["an autoscaler owns the count > aim lower", "an autoscaler owns the count > raise its limit"],
        actions=["hpa_patch", "hpa_patch"],
        after={f"{HPA}.maxReplicas": 10},
    ),
)


def database(*statements: str, stuck: bool = False, idle: int = 0, slow: bool = False) -> Callable[[Any], Any]:
    """A database in which a query may run for 40 minutes, statements may be slow, and connections may be taken.

    Views stand before the server's own, since nobody waits for 40 minutes: the runbook's statements are played as
    they ship, and end the real session.
    """

    async def run(playing: Any) -> None:
        there = playing.theatre.postgres
        asleep = await asyncpg.connect(**there, database=DATABASE_NAME, server_settings={"application_name": "stuck"})
        admin = await asyncpg.connect(**there, database=DATABASE_NAME)
        try:
            await admin.execute(
                f"ALTER ROLE {there['user']} IN DATABASE {DATABASE_NAME} SET search_path = public, pg_catalog"
            )
            await admin.execute("DROP VIEW IF EXISTS public.pg_stat_activity, public.pg_stat_statements")
            more = f"{_ACTIVITY} UNION ALL {_IDLE} FROM generate_series(1, {idle})"
            await admin.execute(f"CREATE VIEW public.pg_stat_activity AS {more}")
            if slow:
                await admin.execute(f"CREATE VIEW public.pg_stat_statements AS {_SLOW}")
            for statement in statements:
                await admin.execute(statement)
        finally:
            await admin.close()
        if stuck:
            playing.asleep = asyncio.create_task(_sleep(asleep))
            await asyncio.sleep(0.02)
        else:
            await asleep.close()

    return run


DATABASE_NAME = "soba_dex"
_ACTIVITY = """
    SELECT datname, pid, usename, application_name, backend_type, state, query,
    query_start - CASE WHEN application_name = 'stuck' THEN interval '40 minutes' ELSE interval '0' END AS query_start
    FROM pg_catalog.pg_stat_activity"""
_IDLE = "SELECT 'soba_dex', 0, 'web', '', 'client backend', 'idle', '', now()"
_SLOW = """
    SELECT 'SELECT * FROM prices' AS query, 10 AS calls, 25000.0::float8 AS total_exec_time,
    2500.0::float8 AS mean_exec_time"""


async def _sleep(connection: asyncpg.Connection[Any]) -> None:
    """Sleep in the database until somebody ends it."""
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError):
        await connection.execute("SELECT pg_sleep(30)")
        raise AssertionError("nobody ended the query")


async def woken(playing: Any) -> None:
    """The session was ended."""
    await asyncio.wait_for(playing.asleep, 5)


DATABASE: dict[str, Any] = {"source": "3", "runbook": "python-services/database", "needs": "postgres"}
POSTGRES = stateful("postgresql", NAMESPACE)
DATABASES = scenes(
    "python-services",
    Scene(
        "a query that runs for more than 30 minutes is ended",
        **DATABASE,
        alert="PythonDatabaseSlowQueries",
        cluster=[POSTGRES],
        first=database(stuck=True, slow=True),
        resolves_after=120.0,
        scenarios=["queries run for too long"],
        actions=["sql"],
        check=woken,
    ),
    Scene(
        "where queries stay slow indexes are rebuilt once people agree",
        **DATABASE,
        alert="PythonDatabaseSlowQueries",
        mode="approve",
        cluster=[POSTGRES],
        first=database(
            "DROP TABLE IF EXISTS prices", "CREATE TABLE prices (id int PRIMARY KEY)", stuck=True, slow=True
        ),
        resolves_after=1200.0,
        scenarios=["queries run for too long", "queries stay slow"],
        actions=["sql", "sql"],
        check=woken,
    ),
    Scene(
        "slow queries that fresh indexes do not mend are told to the database administrator",
        **DATABASE,
        alert="PythonDatabaseSlowQueries",
        mode="approve",
        cluster=[POSTGRES],
        first=database(slow=True),
        scenarios=["queries stay slow"],
        ends="escalated",
        told=["SELECT * FROM prices"],
    ),
    Scene(
        "a pool that is too small is a change of code and told with who holds the connections",
        **DATABASE,
        alert="PythonDatabaseConnectionErrors",
        cluster=[POSTGRES],
        first=database(idle=28),
        scenarios=["too many connections"],
        ends="escalated",
        told=["backend/config/database.js", "web"],
        unchanged=True,
    ),
    Scene(
        "a database without a pod is told at once",
        **DATABASE,
        alert="PythonDatabaseConnectionErrors",
        cluster=[stateful("postgresql", NAMESPACE, image="registry.example/postgresql:16-bad")],
        first=database(),
        scenarios=["PostgreSQL does not run"],
        ends="escalated",
        told=["No pod of postgresql is ready"],
        unchanged=True,
    ),
)

RESOURCES_OF: dict[str, Any] = {"source": "4", "runbook": "python-services/memory-cpu", "labels": PRICING}
AMPLE = pricing(limits={"cpu": "2", "memory": "4Gi"}, requests={"cpu": "500m", "memory": "2Gi"})


def leaks(memory: str = "3950Mi") -> State:
    """One of the pods that are there uses that much, until it is made anew."""

    def bring(cluster: SimulatedCluster) -> None:
        leaking = next(
            pod for pod in cluster.list("pods", NAMESPACE) if pod["metadata"]["name"].startswith("pricing")
        )
        usage(SOME, memory, of=leaking["metadata"]["name"])(cluster)

    return bring


SOME = "300m"
RESOURCE_SCENES = scenes(
    "python-services",
    Scene(
        "an OOM kill raises limits and requests",
        **RESOURCES_OF,
        alert="PythonServiceOutOfMemory",
        cluster=[pricing(then="soba-dex/python-services:2.1.0-oom"), behavior(oom_cured_at="4Gi")],
        scenarios=["too little memory or CPU > raise the limits"],
        actions=["set_resources"],
        after={
            f"{RESOURCES}.limits": {"cpu": "2", "memory": "4Gi"},
            f"{RESOURCES}.requests": {"cpu": "500m", "memory": "2Gi"},
        },
    ),
    Scene(
        "what throttles gets more CPU",
        **{**RESOURCES_OF, "labels": {"severity": "info", "container": "pricing", "pod": "pricing-1"}},
        alert="CPUThrottlingHigh",
        cluster=[pricing(), usage("490m", "64Mi", of="pricing")],
        scenarios=["too little memory or CPU > raise the limits"],
        after={f"{RESOURCES}.limits.cpu": "2"},
    ),
    Scene(
        "where the limits are raised already the pod that uses too much is ended and no other",
        **RESOURCES_OF,
        alert="PythonServiceHighMemory",
        cluster=[AMPLE, leaks()],
        scenarios=[
            "too little memory or CPU > raise the limits",
            "too little memory or CPU > end the pods that use too much",
        ],
        actions=["pod_evict"],
        after={READY: 3},
    ),
    Scene(
        "a leak that comes back is told",
        **RESOURCES_OF,
        alert="PythonServiceHighMemory",
        cluster=[
            AMPLE,
            usage(SOME, "3950Mi", of="pricing"),
            logs("pricing", "memory use grows: 3950Mi", namespace=NAMESPACE),
        ],
        scenarios=[
            "too little memory or CPU > raise the limits",
            "too little memory or CPU > end the pods that use too much",
        ],
        ends="escalated",
        told=["or it leaks", "memory use grows"],
    ),
    Scene(
        "where nodes are full load is reduced to two pods once people agree",
        **RESOURCES_OF,
        alert="PythonServiceHighMemory",
        mode="approve",
        cluster=[pricing(replicas=6, limits={"cpu": "2", "memory": "4200Mi"}), usage(SOME, "3750Mi", of="pricing")],
        scenarios=["the nodes are full and the service can do with less"],
        actions=["scale"],
        after={REPLICAS: 2},
    ),
    Scene(
        "nodes that stay full are the infrastructure team's and the pods come back",
        **RESOURCES_OF,
        alert="PythonServiceHighMemory",
        mode="approve",
        cluster=[pricing(limits={"cpu": "2", "memory": "8Gi"}), usage(SOME, "7800Mi", of="pricing")],
        scenarios=["the nodes are full and the service can do with less", "the nodes are full"],
        ends="escalated",
        told=["Contact the infrastructure team to add nodes"],
        after={REPLICAS: 3},
    ),
)

NETWORK: dict[str, Any] = {
    "source": "5",
    "runbook": "python-services/network",
    "alert": "PythonServiceUnreachable",
    "labels": PRICING,
}
COREDNS = "deployments.apps/kube-system/coredns"
COREDNS_RESTARTED = f"{COREDNS} spec.template.metadata.annotations.kubectl\\.kubernetes\\.io/restartedAt"
POLICY = "networkpolicies.networking.k8s.io/deny-all"
LOOKUPS = logs("pricing", "getaddrinfo failed: catalog-service", namespace=NAMESPACE)


def hangs(of: str, namespace: str = NAMESPACE) -> State:
    """One pod of an app is not ready, until it is made anew."""

    def bring(cluster: SimulatedCluster) -> None:
        names = [pod["metadata"]["name"] for pod in cluster.list("pods", namespace)]
        not_ready(next(name for name in names if name.startswith(of)), namespace)(cluster)

    return bring


def through(fact: str, wanted: Any) -> dict[str, Any]:
    """The probe within the cluster gets through when a fact is so."""
    return {"prometheus": {"probe_success": when(fact, wanted, 1.0, 0.0)}}


def elsewhere(name: str) -> State:
    """A Service that selects pods of another name."""
    spec = {"selector": {"app": "prices"}, "ports": [{"name": "http", "port": 8001, "targetPort": 8080}]}
    return thing("v1", "Service", name, NAMESPACE, spec=spec)


OTHER = policy("of-another", "catalog", NAMESPACE, ingress=[])
NETWORKS = scenes(
    "python-services",
    Scene(
        "a service without a ready pod behind it is restarted",
        **NETWORK,
        cluster=[pricing(replicas=1), hangs("pricing"), dns],
        **through(RESTARTED, present),
        scenarios=["no pod behind the Service is ready"],
        after={READY: 1},
    ),
    Scene(
        "a Service that selects nothing is told",
        **NETWORK,
        cluster=[pricing(services=[]), elsewhere("pricing-service"), dns],
        prometheus={"probe_success": 0.0},
        scenarios=["nothing stands behind the Service"],
        ends="escalated",
        told=["pricing-service selects"],
        unchanged=True,
    ),
    Scene(
        "DNS gets a new pod for the one that hangs and then a third one",
        **NETWORK,
        cluster=[pricing(), dns, hangs("coredns", "kube-system")],
        **through(f"{COREDNS} status.readyReplicas", 3),
        scenarios=["DNS > new pods for those that are not ready", "DNS > more of it"],
        actions=["pod_delete", "scale"],
        after={f"{COREDNS} spec.replicas": 3, COREDNS_RESTARTED: gone},
    ),
    Scene(
        "DNS is restarted when more of it does not help",
        **NETWORK,
        cluster=[pricing(), dns, LOOKUPS],
        **through(COREDNS_RESTARTED, present),
        scenarios=["DNS > more of it", "DNS > restart it"],
        actions=["scale", "rollout_restart"],
        after={COREDNS_RESTARTED: present},
    ),
    Scene(
        "when DNS was not it the policies of the service are lifted for ten minutes once people agree",
        **NETWORK,
        mode="approve",
        cluster=[pricing(), dns, LOOKUPS, policy("deny-all", "pricing", NAMESPACE, ingress=[]), OTHER],
        **through(POLICY, gone),
        scenarios=[
            "DNS > more of it",
            "DNS > restart it",
            "network policies keep others out",
        ],
        asked=["POST /channels/python-services-incidents"],
        after={POLICY: gone, "networkpolicies.networking.k8s.io/of-another": present},
        later={POLICY: present},
    ),
    Scene(
        "policies that are not the cause come back and a person is told",
        **NETWORK,
        mode="approve",
        cluster=[pricing(), dns, policy("deny-all", "pricing", NAMESPACE, ingress=[port(8001)])],
        prometheus={"probe_success": 0.0},
        scenarios=["network policies keep others out"],
        ends="escalated",
        told=["Network policies are not the cause"],
        later={POLICY: present},
    ),
)

DEPLOY: dict[str, Any] = {
    "source": "Deployment",
    "runbook": "python-services/deployment",
    "alert": "PythonServiceDeploy",
}


def paused(cluster: SimulatedCluster) -> None:
    found = clone(cluster.get("deployments.apps", NAMESPACE, "pricing") or {})
    found["spec"]["paused"] = True
    cluster.apply(found)


DEPLOYS = scenes(
    "python-services",
    Scene(
        "a version is deployed once people agree",
        **DEPLOY,
        labels={**PRICING, "severity": "none", "version": "2.0.1"},
        mode="approve",
        cluster=[pricing()],
        scenarios=["deploy"],
        actions=["set_image"],
        after={IMAGE: "soba-dex/python-services:2.0.1", READY: 3},
    ),
    Scene(
        "a version that does not start is taken back",
        **DEPLOY,
        labels={**PRICING, "severity": "none", "version": "2.1.0-bad"},
        mode="approve",
        cluster=[pricing()],
        scenarios=["deploy"],
        ends="escalated",
        outcome="undone",
        told=["pricing 2.1.0-bad is not healthy"],
        after={IMAGE: GOOD},
    ),
    Scene(
        "a version that starts and is not healthy is taken back too",
        **DEPLOY,
        labels={**PRICING, "severity": "none", "version": "2.1.0"},
        mode="approve",
        cluster=[pricing()],
        answers={"/health": when(IMAGE, GOOD, "ok", DOWN)},
        scenarios=["deploy"],
        ends="escalated",
        outcome="undone",
        after={IMAGE: GOOD},
    ),
    Scene(
        "nothing is deployed over a rollout that somebody paused",
        **DEPLOY,
        labels={**PRICING, "severity": "none", "version": "2.0.1"},
        cluster=[pricing(), paused],
        scenarios=["rollouts are paused"],
        ends="escalated",
        told=["Somebody paused the rollouts of pricing"],
        unchanged=True,
    ),
)

LEVEL: dict[str, Any] = {
    "source": "Escalation",
    "runbook": "python-services/escalation",
    "params": API,
    "http": {"/api/health/service/pricing": "degraded"},
}
BESIDE = ["python-services/service-restart"]


def rates(**failing: float) -> list[tuple[dict[str, str], float]]:
    return [({"service": f"{name}-service"}, share) for name, share in failing.items()]


def since_then(*given: tuple[float, Any]) -> Callable[[SimulatedCluster], Any]:
    """What is so from so many seconds on after it was asked for first."""
    began: list[float] = []

    def now(cluster: SimulatedCluster) -> Any:
        began.append(cluster.now())
        return [value for seconds, value in given if cluster.now() - began[0] >= seconds][-1]

    return now


WELL = rates(pricing=0.001, catalog=0.0)
LEVELS = scenes(
    "python-services",
    Scene(
        "level 1 tells the on-call engineer of a service that is degraded",
        **{**LEVEL, "source": "Escalation level 1"},
        alert="PythonServiceDegraded",
        labels=PRICING,
        beside=BESIDE,
        cluster=[pricing()],
        prometheus={ERRORS: when(RESTARTED, present, WELL, rates(pricing=0.03, catalog=0.0))},
        scenarios=["level 1"],
        asked=["POST /channels/python-services-on-call"],
    ),
    Scene(
        "level 2 tells the owner with the version that runs",
        **{**LEVEL, "source": "Escalation level 2"},
        alert="PythonServiceUnavailable",
        labels=PRICING,
        beside=BESIDE,
        cluster=[pricing()],
        prometheus={ERRORS: when(RESTARTED, present, WELL, rates(pricing=0.12, catalog=0.0))},
        scenarios=["level 2"],
        asked=["POST /channels/python-services-owner"],
    ),
    Scene(
        "what gets worse goes from level to level and to a person where it does not end",
        **{**LEVEL, "source": "Escalation levels 1 to 3"},
        alert="PythonServiceDegraded",
        labels=PRICING,
        beside=BESIDE,
        cluster=[pricing()],
        prometheus={
            ERRORS: since_then(
                (0.0, rates(pricing=0.03, catalog=0.0)),
                (300.0, rates(pricing=0.09, catalog=0.01)),
                (900.0, rates(pricing=0.09, catalog=0.2)),
            )
        },
        scenarios=["level 1", "level 2", "level 3"],
        ends="escalated",
        asked=[
            "POST /channels/python-services-on-call",
            "POST /channels/python-services-owner",
            "POST /channels/python-services-infrastructure",
        ],
        told=["It was told, and it is not over", "catalog-service 20"],
    ),
    Scene(
        "several services that are down are level 3 at once",
        **{**LEVEL, "source": "Escalation level 3"},
        alert="PythonServicesDown",
        cluster=[pricing()],
        prometheus={ERRORS: since_then((0.0, rates(pricing=0.5, catalog=0.4)), (900.0, WELL))},
        scenarios=["level 3"],
        actions=["notify"],
        asked=["POST /channels/python-services-infrastructure"],
        unchanged=True,
    ),
    Scene(
        "an alert without a runbook is looked at and told and watched",
        source="Escalation level 1, typical investigation",
        runbook="python-services/health-check",
        alert="KubeContainerWaiting",
        labels={"severity": "warning", "container": "pricing", "pod": "pricing-1"},
        params=API,
        http={"/api/health/service/pricing": "degraded", "/api/health/metrics": {"metrics": {"pricing": {"p95": 2}}}},
        cluster=[pricing(), logs("pricing", "ERROR no model", namespace=NAMESPACE)],
        resolves_after=1800.0,
        scenarios=["look and tell"],
        asked=["POST /channels/python-services-incidents"],
        unchanged=True,
    ),
    Scene(
        "an alert without a runbook and without a service that does not end is a person's after four hours",
        source="Escalation level 1, typical investigation",
        runbook="python-services/health-check",
        alert="KubeQuotaExceeded",
        labels={"severity": "warning"},
        cluster=[pricing()],
        scenarios=["look and tell"],
        ends="escalated",
        told=["No runbook mends KubeQuotaExceeded"],
        unchanged=True,
    ),
)

DAILY: dict[str, Any] = {
    "source": "Maintenance daily",
    "runbook": "python-services/maintenance",
    "alert": "PythonServicesMaintenance",
    "labels": {"severity": "none"},
    "params": API,
    "asked": ["POST /channels/python-services-reports"],
    "unchanged": True,
}
SWEEP: dict[str, Any] = {
    "/api/python/health": {"status": "healthy"},
    "/api/health/metrics": {"metrics": {"pricing": {}, "catalog": {}}},
    "/api/dashboard/alerts": [],
}


def reported(*parts: str) -> Callable[[Any], None]:
    """What the report says."""

    def look(playing: Any) -> None:
        (text,) = (body for body in playing.peers.bodies if "Daily maintenance" in body)
        for part in parts:
            assert part in text, text

    return look


SWEEPS = scenes(
    "python-services",
    Scene(
        "the daily sweep reports that all is well",
        **DAILY,
        cluster=[pricing()],
        http=SWEEP,
        scenarios=["all is well"],
        check=reported(
            "all 3 pods are ready", "=== Daily Maintenance ===", "healthy", "catalog", "Checking pod restarts"
        ),
    ),
    Scene(
        "the daily sweep reports restarts and errors",
        **DAILY,
        cluster=[pricing(then=BAD), logs("pricing", "ERROR cannot load the model", namespace=NAMESPACE)],
        http=SWEEP,
        scenarios=["something is to be looked at"],
        check=reported("0 of 3 pods are ready", "ERROR cannot load the model"),
    ),
    Scene(
        "a sweep whose API does not answer is reported all the same",
        **{**DAILY, "params": {}},
        cluster=[pricing()],
        scenarios=["something is to be looked at"],
        check=reported("3 of 3 pods are ready", "(not known)"),
    ),
)
SCENES = (*RESTARTS, *SCALES, *DATABASES, *RESOURCE_SCENES, *NETWORKS, *DEPLOYS, *LEVELS, *SWEEPS)


async def test_the_daily_sweep_is_made_once_a_day_whatever_the_number_of_processes(theatre: Theatre) -> None:
    """As config/ ships it: its schedule, its runbook, its report."""
    scene = Scene("by the clock", system="python-services", namespace=NAMESPACE, **{**DAILY, "cluster": [pricing()]})
    async with theatre._open(scene) as playing:
        stage = playing.stage
        stores = stage.stores
        several = [
            Schedules(
                lambda: stage._configuration.schedules,
                name=f"process-{number}",
                intake=stores.intake,
                guardbook=stores.guardbook,
                audit=stores.audit,
                clock=stage.clock,
                metrics=stage.metrics,
            )
            for number in range(3)
        ]
        for _ in range(2 * 24 + 1):
            for each in several:
                await each.look()
            await stage.settle()
            stage.clock.jump(3600)
        runs = await playing.runs()
        assert [(run.remediation.runbook, run.remediation.route) for run in runs] == [
            ("python-services/maintenance", "schedule:python-services-daily")
        ] * 2
        assert [run.outcome.value for run in runs if run.outcome] == ["succeeded"] * 2
        assert all(run.remediation.started_at % 86400 // 3600 in (5, 6) for run in runs), "at 7 in Berlin"


@pytest.mark.parametrize("scene", SCENES, ids=str)
async def test_scene(scene: Scene, theatre: Theatre) -> None:
    await theatre.play(scene)
