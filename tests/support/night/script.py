"""What goes wrong this night: sixty alerts of five systems, when they come and how they are to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.support.night.people import L1, L2, L3, OMENDB_L1
from tests.support.night.world import KYC, NETWEAVE, OMENDB, OMNIMESH, PYTHON, World

MINUTE = 60.0
End = Literal["healed", "itself", "person", "nobody"]
"""healed: alertbridge mends it; itself: it is over before anything is done; person: somebody is called and mends it;
nobody: there is nothing to be done about it."""


@dataclass
class Trouble:
    """One alert with what is behind it."""

    at: float
    """Minutes after the beginning of the night."""
    alert: str
    labels: dict[str, str]
    says: str
    end: End
    strike: Callable[[World], None]
    fires: Callable[[World, float], bool]
    mend: Callable[[World], None] = lambda world: None
    """What a person does."""
    answers: str = L1
    """On which channel the person is called who answers."""
    mended_after: float = 20
    """Minutes after the call."""
    approved_after: float | None = None
    """Minutes after the question; None: nobody answers it."""
    begun: bool = False
    over: bool = False

    @property
    def name(self) -> str:
        return f"{self.alert} of {self.workload or self.labels['name']}"

    @property
    def workload(self) -> str:
        return self.labels.get("deployment") or self.labels.get("service", "")


def _hangs(at: float, alert: str, namespace: str, name: str, severity: str, key: str = "deployment") -> Trouble:
    return Trouble(
        at,
        alert,
        {"namespace": namespace, key: name, "severity": severity},
        f"{name} answers no more, though its pods are ready",
        "healed",
        lambda world: world.hang(namespace, name),
        lambda world, _: world.hangs(namespace, name),
        lambda world: world.mend(namespace, name),
    )


def _crashes(at: float, alert: str, namespace: str, name: str, severity: str, tag: str = "1.1.0-bad") -> Trouble:
    since: list[float] = []

    def fires(world: World, now: float) -> bool:
        # The rule says `for: 2m`.
        since[:] = (since or [now]) if world.incomplete(namespace, name) else []
        return bool(since) and now - since[0] >= 2 * MINUTE

    return Trouble(
        at,
        alert,
        {"namespace": namespace, "deployment": name, "severity": severity},
        f"{name} was released as {tag} and does not start",
        "healed",
        lambda world: world.release(namespace, name, tag),
        fires,
    )


def _fails(at: float, alert: str, namespace: str, name: str, severity: str, key: str = "deployment") -> Trouble:
    return Trouble(
        at,
        alert,
        {"namespace": namespace, key: name, "severity": severity},
        f"{name} has too few replicas for its load",
        "healed",
        lambda world: world.load(namespace, name, 4),
        lambda world, _: world.errors(namespace, name) > 0.01,
    )


def _expires(at: float, alert: str, namespace: str, name: str, severity: str) -> Trouble:
    return Trouble(
        at,
        alert,
        {"namespace": namespace, "name": name, "severity": severity},
        "a certificate runs out in a week",
        "healed",
        lambda world: world.near_its_end(namespace, name),
        lambda world, _: world.days_left(namespace, name) < 30,
    )


def _passes(
    at: float, minutes: float, alert: str, labels: dict[str, str], end: End, *, unless: Callable[[World], bool]
) -> Trouble:
    """Return what is over by itself after some minutes, or at once when `unless` is so."""
    since: list[float] = []

    def fires(world: World, now: float) -> bool:
        since[:] = since or [now]
        return now - since[0] < minutes * MINUTE and not unless(world)

    return Trouble(at, alert, labels, "something that passes", end, lambda world: None, fires)


def _stays(at: float, alert: str, labels: dict[str, str], says: str, answers: str = L1) -> Trouble:
    """Return what fires until a person has mended it."""
    made = Trouble(at, alert, labels, says, "person", lambda world: None, lambda world, _: not made.over)
    made.answers = answers
    return made


def _not_ours(at: float, alert: str, namespace: str, name: str, severity: str, answers: str) -> Trouble:
    """Return what could be mended, but is not for alertbridge to touch."""
    made = _hangs(at, alert, namespace, name, severity)
    made.end, made.answers = "person", answers
    return made


def _flaps(at: float, alert: str, namespace: str, name: str, severity: str) -> Trouble:
    labels = {"namespace": namespace, "deployment": name, "severity": severity}
    made = _stays(at, alert, labels, "it comes and goes every few minutes", OMENDB_L1)
    made.mended_after = 150
    made.fires = lambda world, now: not made.over and int(now // MINUTE) % 6 < 3
    return made


def _never(_: World) -> bool:
    return False


def the_night() -> list[Trouble]:
    """Return the sixty, in the order of their time."""
    return sorted(_all(), key=lambda trouble: trouble.at)


EVENING = {
    "GatewayDown of netweave-gateway": 5,
    "HighErrorRate of onboarding-portal": 8,
    "SlowQueries of reports": 10,
    "LowCacheHitRatio of netweave-api": 12,
    "OmenDBDown of prod-omendb": 14,
    "KubePodCrashLooping of edge-a": 16,
    "ServiceHealthCheckFailing of pricing": 20,
    "ServiceHealthCheckFailing of ledger": 20,
    "ServiceHealthCheckFailing of auth": 20,
    "ServiceHealthCheckFailing of carts": 20,
    "OmenDBDegraded of omendb-1": 20,
    "MemoryLeak of cache-a": 24,
    "RedisPrimaryDown of redis-node": 26,
    "HighCPU of face-match": 28,
    "HighLatency of netweave-api": 30,
    "CertificateExpired of omnimesh-tls": 33,
}


def an_evening(times: Sequence[float] = ()) -> list[Trouble]:
    """Return some of the sixty within half an hour, at their times or, in their order, at `times` (minutes)."""
    chosen = [trouble for trouble in _all() if trouble.name in EVENING]
    chosen.sort(key=lambda trouble: list(EVENING).index(trouble.name))
    for trouble, at in zip(chosen, times or EVENING.values(), strict=True):
        trouble.at, trouble.answers = at, L1
    return chosen


def _all() -> Iterator[Trouble]:
    yield from _netweave()
    yield from _omendb()
    yield from _kyc()
    yield from _python()
    yield from _omnimesh()


def _netweave() -> Iterator[Trouble]:
    here = {"namespace": NETWEAVE}
    yield _crashes(125, "GatewayDown", NETWEAVE, "netweave-gateway", "P1")
    yield _fails(60, "HighErrorRate", NETWEAVE, "netweave-api", "P2")
    yield _expires(30, "CertExpiringSoon", NETWEAVE, "netweave-tls", "P3")
    for name in ("netweave-worker-a", "netweave-worker-b"):
        yield _crashes(200, "KubePodCrashLooping", NETWEAVE, name, "P2")
    for name in ("notifier-1", "notifier-2", "notifier-3"):
        yield _hangs(260, "WebhookFailures", NETWEAVE, name, "P3")
    yield _stays(300, "RedisPrimaryDown", {**here, "deployment": "redis-node", "severity": "P1"}, "no primary", L3)

    def cached(world: World) -> bool:
        config = world.cluster.get("configmaps", NETWEAVE, "netweave-config")
        return config is not None and config["data"]["cache.ttl"] == "300s"

    cache = {**here, "deployment": "netweave-api", "severity": "P4"}
    yield _passes(90, 25, "LowCacheHitRatio", cache, "healed", unless=cached)
    slow = {**here, "deployment": "netweave-api", "severity": "P3"}
    yield _passes(150, 3, "HighLatency", slow, "itself", unless=_never)
    yield _not_ours(170, "TargetDown", "kube-system", "coredns", "critical", L1)


def _omendb() -> Iterator[Trouble]:
    yield _crashes(210, "OmenDBDown", OMENDB, "prod-omendb", "SEV1", "2.0.0-oom")
    for at, name in ((240, "omendb-1"), (240, "omendb-2"), (242, "omendb-3"), (305, "omendb-4")):
        yield _hangs(at, "OmenDBDegraded", OMENDB, name, "SEV2")
    yield _flaps(20, "OmenDBSlowQueries", OMENDB, "omendb-analytics", "SEV2")
    for at, name in ((380, "omendb-1"), (390, "omendb-2")):
        labels = {"namespace": OMENDB, "deployment": name, "severity": "SEV3"}
        yield _passes(at, 5, "OmenDBMinor", labels, "healed", unless=_never)
    # Helm owns it, and the service behind the pager of its on-call is silent.
    yield _not_ours(335, "OmenDBReplicaDown", OMENDB, "omendb-replica", "SEV1", L2)
    backup = {"namespace": OMENDB, "deployment": "omendb-backup", "severity": "SEV3"}
    yield _passes(400, 60, "OmenDBBackupMissing", backup, "nobody", unless=_never)


def _kyc() -> Iterator[Trouble]:
    for at, name in ((70, "kyc-worker"), (75, "kyc-scoring")):
        yield _crashes(at, "KubePodOOMKilled", KYC, name, "P1", "1.1.0-oom")
    peak = _fails(350, "HighErrorRate", KYC, "onboarding-api", "P1")
    peak.says, peak.strike = "the ingress turns requests away", lambda world: world.peak(KYC, "onboarding-api")
    yield peak
    for at, name in ((15, "onboarding-portal"), (18, "kyc-gateway")):
        yield _fails(at, "HighErrorRate", KYC, name, "P2")
    for name in ("face-match", "doc-scan", "risk-engine"):
        yield _hangs(280, "HighCPU", KYC, name, "P2")
    database = {"namespace": KYC, "deployment": "postgresql", "severity": "P1"}
    yield _stays(180, "PostgresqlTooManyConnections", database, "no connection is left")
    yield _expires(100, "CertManagerCertExpirySoon", KYC, "onboarding-tls", "P2")
    no_data = {"namespace": KYC, "deployment": "grafana", "severity": "P3"}
    yield _passes(110, 10, "DatasourceNoData", no_data, "nobody", unless=_never)


def _python() -> Iterator[Trouble]:
    for name in ["pricing", "ledger", "auth", "carts", "orders", "stock", "rates", "tax", "mail", "sms"]:
        yield _hangs(240, "ServiceHealthCheckFailing", PYTHON, name, "critical", "service")
    for at, name in ((40, "reports"), (140, "search"), (220, "billing")):
        labels = {"namespace": PYTHON, "service": name, "severity": "warning"}
        yield _stays(at, "SlowQueries", labels, "an index is missing")
    yield _fails(320, "HighLoad", PYTHON, "quotes", "warning", "service")
    exports = {"namespace": PYTHON, "service": "exports", "severity": "warning"}
    yield _passes(410, 5, "HighErrorRate", exports, "healed", unless=_never)


def _omnimesh() -> Iterator[Trouble]:
    for name in ("edge-a", "edge-b", "edge-c"):
        yield _crashes(160, "KubePodCrashLooping", OMNIMESH, name, "HIGH")
    for name in ("cache-a", "cache-b"):
        yield _hangs(360, "MemoryLeak", OMNIMESH, name, "MEDIUM")
    release = _fails(250, "BadDeployment", OMNIMESH, "nexus-prime-core", "CRITICAL")
    release.says, release.approved_after = "the new release fails its users", 10
    release.strike = lambda world: world.release(OMNIMESH, "nexus-prime-core", "2.0.0-slow")
    yield release

    def lifted(world: World) -> bool:
        return world.cluster.get("networkpolicies.networking.k8s.io", OMNIMESH, "strict") is None

    proxy = {"namespace": OMNIMESH, "deployment": "go-node-proxy", "severity": "HIGH"}
    yield _passes(420, 8, "NetworkPartition", proxy, "healed", unless=lifted)
    for name in ("stream", "router"):
        yield _fails(440, "PerformanceDegraded", OMNIMESH, name, "MEDIUM")
    yield _expires(450, "CertificateExpired", OMNIMESH, "omnimesh-tls", "CRITICAL")
    router = {"namespace": OMNIMESH, "deployment": "router", "severity": "HIGH"}
    yield _passes(455, 2, "ServiceUnreachable", router, "itself", unless=_never)
    watchdog = {"namespace": OMNIMESH, "deployment": "prometheus", "severity": "none"}
    yield _passes(2, 500, "Watchdog", watchdog, "nobody", unless=_never)


def routes(begins: str, ends: str) -> dict[str, object]:
    """Return what `bridge.yml` says about these alerts; a maintenance window of OmenDB is from `begins` to `ends`."""
    held = {"mode": "auto", "hold_off": "5m"}
    return {
        "maintenance": [
            {"name": "storage", "begins": begins, "ends": ends, "matchers": [f'namespace="{OMENDB}"']},
        ],
        "route": {
            "cooldown": "10m",
            "max_attempts": 3,
            "mode": "auto",
            "routes": [
                _system(
                    NETWEAVE,
                    "netweave",
                    {
                        "GatewayDown": "all-pods-down",
                        "KubePodCrashLooping": "all-pods-down",
                        "WebhookFailures": "webhook-failures",
                        "HighErrorRate": "high-error-rate",
                        "CertExpiringSoon": "certificate-expiring",
                        "LowCacheHitRatio": "cache-hit-ratio",
                        "RedisPrimaryDown": "redis-primary-down",
                    },
                    {"matchers": ['alertname="HighLatency"'], "runbook": "netweave/webhook-failures", **held},
                ),
                {"matchers": ['alertname="TargetDown"'], "runbook": "netweave/all-pods-down"},
                _system(
                    OMENDB,
                    "omendb",
                    {
                        "OmenDBDown": "service-down",
                        "OmenDBReplicaDown": "service-down",
                        "OmenDBDegraded": "degraded",
                        "OmenDBSlowQueries": "degraded",
                        "OmenDBMinor": "minor",
                    },
                ),
                _system(
                    KYC,
                    "onboarding-kyc",
                    {
                        "KubePodOOMKilled": "out-of-memory",
                        "HighErrorRate": "api-errors",
                        "HighCPU": "high-cpu",
                        "PostgresqlTooManyConnections": "database-connections",
                        "CertManagerCertExpirySoon": "certificate-expiry",
                        "DatasourceNoData": "high-cpu",
                    },
                ),
                _system(
                    PYTHON,
                    "python-services",
                    {
                        "ServiceHealthCheckFailing": "service-restart",
                        "SlowQueries": "slow-queries",
                        "HighLoad": "scale-service",
                        "HighErrorRate": "escalation",
                    },
                ),
                _system(
                    OMNIMESH,
                    "omnimesh",
                    {
                        "KubePodCrashLooping": "crash-loop",
                        "MemoryLeak": "memory-leak",
                        "BadDeployment": "rollback",
                        "NetworkPartition": "network-partition",
                        "PerformanceDegraded": "performance",
                        "CertificateExpired": "certificate-emergency",
                    },
                    {"matchers": ['alertname="ServiceUnreachable"'], "runbook": "omnimesh/memory-leak", **held},
                ),
            ],
        },
    }


def _system(namespace: str, system: str, runbooks: dict[str, str], *more: dict[str, object]) -> dict[str, object]:
    children: list[dict[str, object]] = [
        {"matchers": [f'alertname="{alert}"'], "runbook": f"{system}/{name}"} for alert, name in runbooks.items()
    ]
    return {"matchers": [f'namespace="{namespace}"'], "routes": [*children, *more]}
