"""The runbooks of the Python services for their database, deployments, escalation and maintenance: see
tests/support/scenes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bridge.demo.cluster import SimulatedCluster
from bridge.demo.objects import clone
from bridge.engine.schedules import Schedules
from tests.support.scenes.facts import present, when
from tests.support.scenes.python_services import (
    API,
    BAD,
    DOWN,
    ERRORS,
    GOOD,
    IMAGE,
    NAMESPACE,
    PRICING,
    READY,
    RESTARTED,
    database,
    pricing,
)
from tests.support.scenes.scene import Scene, scenes
from tests.support.scenes.theatre import Theatre
from tests.support.scenes.world import (
    cronjob,
    definition,
    logs,
    stateful,
    thing,
)


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
        "a database that does not answer is told with why",
        **{**DATABASE, "needs": ""},
        alert="PythonDatabaseConnectionErrors",
        cluster=[POSTGRES],
        ends="escalated",
        told=["The database administrator has to look", "database python-services-db"],
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
        (text,) = (body for body in playing.peers.bodies if " maintenance: " in body)
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
JOBS = (
    cronjob("python-services-tests", NAMESPACE),
    cronjob("python-services-scan", NAMESPACE),
    definition("velero.io", "backups", "Backup"),
    thing("velero.io/v1", "Backup", "python-services-backup", "velero", status={"phase": "Completed"}),
)
WEEKLY: dict[str, Any] = {
    "source": "Maintenance weekly",
    "runbook": "python-services/weekly-maintenance",
    "alert": "PythonServicesWeeklyMaintenance",
    "labels": {"severity": "none"},
    "prometheus": {ERRORS: rates(pricing=0.004), "http_request_duration": rates(pricing=0.31)},
    "asked": ["POST /channels/python-services-reports"],
    "scenarios": ["tests, scan and report"],
}
MONTHLY: dict[str, Any] = {
    "source": "Maintenance monthly",
    "runbook": "python-services/monthly-maintenance",
    "alert": "PythonServicesMonthlyMaintenance",
    "labels": {"severity": "none"},
    "mode": "approve",
    "needs": "postgres",
    "asked": ["POST /channels/python-services-reports"],
    "scenarios": ["database, drill and report"],
}
CHORES = scenes(
    "python-services",
    Scene(
        "each week tests and scan are run and backup and disks are reported",
        **WEEKLY,
        cluster=[pricing(), *JOBS],
        actions=["job_run", "job_run", "notify"],
        check=reported("tests passed, security scan passed, backup Completed", "pricing-service 0.4 %"),
    ),
    Scene(
        "a scan that finds something wakes nobody but the one whose turn it is",
        **WEEKLY,
        cluster=[pricing(), *JOBS, cronjob("python-services-scan", NAMESPACE, "registry.example/trivy:1-bad")],
        ends="escalated",
        told=["Something of the weekly maintenance is to be looked at"],
        check=reported("security scan failed"),
    ),
    Scene(
        "each month the database is vacuumed and a restore is tried once people agree",
        **MONTHLY,
        cluster=[pricing(), cronjob("python-services-restore-drill", NAMESPACE)],
        first=database(),
        actions=["sql", "sql", "job_run", "notify"],
        check=reported("the restore drill succeeded", "Database: "),
    ),
    Scene(
        "a restore that cannot be made is known before it is needed",
        **MONTHLY,
        cluster=[pricing(), cronjob("python-services-restore-drill", NAMESPACE, "registry.example/restore:1-bad")],
        first=database(),
        ends="escalated",
        told=["nobody may rely on a restore"],
        check=reported("the restore drill failed"),
    ),
)

SCENES = (*DATABASES, *DEPLOYS, *LEVELS, *SWEEPS, *CHORES)


@pytest.mark.parametrize("scene", SCENES, ids=str)
async def test_scene(scene: Scene, theatre: Theatre) -> None:
    await theatre.play(scene)


async def test_the_daily_sweep_is_made_once_a_day_whatever_the_number_of_processes(theatre: Theatre) -> None:
    """As config/ ships it: its schedule, its runbook, its report."""
    scene = Scene("by the clock", system="python-services", namespace=NAMESPACE, **{**DAILY, "cluster": [pricing()]})
    async with theatre.opened(scene) as playing:
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
        runs = [run for run in await playing.runs() if run.remediation.route == "schedule:python-services-daily"]
        assert [run.remediation.runbook for run in runs] == ["python-services/maintenance"] * 2
        assert [run.outcome.value for run in runs if run.outcome] == ["succeeded"] * 2
        assert all(run.remediation.started_at % 86400 // 3600 in (5, 6) for run in runs), "at 7 in Berlin"
