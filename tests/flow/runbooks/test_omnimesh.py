"""The runbooks of OmniMesh, 1 to 7 and what is around them: see tests/support/scenes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Literal

import asyncpg
import pytest

from bridge.demo.cluster import SimulatedCluster
from bridge.demo.objects import Obj, clone
from bridge.model.goals import goals_met
from bridge.model.report import times_of
from tests.support.scenes.facts import contains, gone, present, when
from tests.support.scenes.scene import Scene, State, scenes
from tests.support.scenes.theatre import Theatre
from tests.support.scenes.world import (
    app,
    autoscaler,
    behavior,
    config,
    crashes_unless,
    cronjob,
    definition,
    dns,
    logs,
    not_ready,
    program,
    restarted_pods,
    since,
    stateful,
    thing,
    tls_secret,
    unbound,
    usage,
)

CORE, DATA, MESH = "omnimesh-core", "omnimesh-data", "istio-system"
GOOD, BAD = "registry.example/nexus-prime-core:3.1.0", "registry.example/nexus-prime-core:3.2.0-bad"
NEW, GREEDY = "registry.example/nexus-prime-core:3.2.0", "registry.example/nexus-prime-core:3.1.0-oom"
DEPLOYMENT = "deployments.apps/nexus-prime-core"
TEMPLATE = f"{DEPLOYMENT} spec.template"
IMAGE = f"{TEMPLATE}.spec.containers[0].image"
RESOURCES = f"{TEMPLATE}.spec.containers[0].resources"
REPLICAS = f"{DEPLOYMENT} spec.replicas"
READY = f"{DEPLOYMENT} status.readyReplicas"
_RESTARTED = "spec.template.metadata.annotations.kubectl\\.kubernetes\\.io/restartedAt"
RESTARTED = f"{DEPLOYMENT} {_RESTARTED}"
DOWN = (503, "down")
BESIDE = ["omnimesh/escalation"]
"""Whoever has to know of an alert is told beside its repair."""


def core(**more: Any) -> State:
    """The core service: three pods, healthy at 8080, where its metrics are as well."""
    services = ["nexus-prime-core-service", "nexus-prime-core-metrics"]
    given = {"image": GOOD, "ports": {"http": 8080}, "services": services, **more}
    return app("nexus-prime-core", CORE, **given)


def proxy(**more: Any) -> State:
    return app("go-node-proxy", CORE, ports={"http": 8080}, services=["go-node-proxy-service"], **more)


def postgres(tag: str = "16") -> State:
    return stateful(
        "postgresql", DATA, image=f"registry.example/postgresql:{tag}", claim="data", labels={"app": "postgresql"}
    )


def rolled_out(image: str) -> State:
    """The core that is there gets another image, and is as well with it."""

    def bring(cluster: SimulatedCluster) -> None:
        made = clone(cluster.get("deployments.apps", CORE, "nexus-prime-core") or {})
        made["spec"]["template"]["spec"]["containers"][0]["image"] = image
        with cluster.travel(cluster.now() - 600):
            cluster.apply(made)
            cluster.settle(600)

    return bring


def begun_anew(of: str = "nexus-prime-core") -> State:
    """Its pods were made anew some minutes ago."""
    return restarted_pods(of, CORE, 400)


def hangs(cluster: SimulatedCluster) -> None:
    """PostgreSQL hangs until its pod is made anew, and the core crashes for as long as that is so."""
    pod = cluster.get("pods", DATA, "postgresql-0")
    assert pod is not None
    not_ready("postgresql-0", DATA)(cluster)
    uid = pod["metadata"]["uid"]

    def judge(given: Obj) -> Literal["never", "crash"] | None:
        if given["metadata"]["name"].startswith("nexus-prime-core"):
            now = cluster.get("pods", DATA, "postgresql-0")
            return "crash" if now is None or now["metadata"]["uid"] == uid else None
        return "never" if given["metadata"]["uid"] == uid else None

    cluster.set_behavior(judge=judge)


SETTINGS = since(30, config("app-config", CORE, log_level="info", mode="cluster"))

CRASH: dict[str, Any] = {
    "source": "1",
    "runbook": "omnimesh/crash-loop",
    "alert": "OmniMeshCrashLoop",
    "labels": {"container": "nexus-prime-core"},
    "beside": BESIDE,
}
CRASHES = scenes(
    "omnimesh",
    Scene(
        "a new version that never got ready is gone back from",
        **CRASH,
        cluster=[core(then=BAD), postgres(), SETTINGS],
        scenarios=["a new version never got ready"],
        actions=["rollout_undo"],
        after={IMAGE: GOOD, READY: 3},
    ),
    Scene(
        "an out of memory crash gets 4Gi",
        **CRASH,
        cluster=[core(image=GREEDY, replicas=2), postgres(), SETTINGS, behavior(oom_cured_at="4Gi")],
        scenarios=["crashes > scale", "crashes > more resources"],
        actions=["scale", "set_resources"],
        after={f"{RESOURCES}.limits.memory": "4Gi", f"{RESOURCES}.requests.memory": "2Gi", REPLICAS: 2, READY: 2},
    ),
    Scene(
        "a version that was ready once and crashes is gone back from when resources do not help",
        **CRASH,
        cluster=[core(then=NEW), postgres(), SETTINGS, behavior(images={NEW: "crash"}), begun_anew()],
        scenarios=["crashes > more resources", "crashes > roll back"],
        after={IMAGE: GOOD, READY: 3},
    ),
    Scene(
        "what nothing helps is told to a person with why it ended",
        **{**CRASH, "alert": "KubePodCrashLooping", "labels": {**CRASH["labels"], "severity": "warning"}},
        cluster=[core(image=BAD), postgres(), SETTINGS],
        scenarios=["crashes > more resources"],
        ends="escalated",
        told=["nexus-prime-core still crashes", "CrashLoopBackOff"],
        after={f"{RESOURCES}.limits.memory": "4Gi"},
    ),
    Scene(
        "a changed configuration is put back",
        **CRASH,
        before=[core(), SETTINGS],
        cluster=[
            postgres(),
            crashes_unless("app-config", "mode", "cluster", "nexus-prime-core", CORE),
            config("app-config", CORE, log_level="info", mode="clutser"),
            begun_anew(),
        ],
        scenarios=["its configuration was changed"],
        actions=["configmap_restore", "rollout_restart"],
        after={"configmaps/app-config data.mode": "cluster", READY: 3},
    ),
    Scene(
        "where its database is down that is mended first",
        **{**CRASH, "source": "1 dependencies"},
        needs="postgres",
        cluster=[postgres(), SETTINGS, core(), hangs, begun_anew()],
        prometheus={"pg_up": when(f"pods/{DATA}/postgresql-0 status.containerStatuses[0].ready", True, 1, 0)},
        scenarios=["its database is down", "it does not run"],
        told=["omnimesh/database-failure: Outcome.SUCCEEDED"],
        after={READY: 3},
    ),
)


_SESSIONS = """
    CREATE VIEW public.pg_stat_activity AS
    SELECT pid, application_name, backend_type, state, query, state_change - interval '1 hour' AS state_change
    FROM pg_catalog.pg_stat_activity, generate_series(1, CASE WHEN application_name = 'leak' THEN 9 ELSE 1 END)
    WHERE datname = 'omnimesh_db'
"""
"""Each session has done nothing for an hour, one that leaks counts as nine: a view stands before the server's own."""


def sessions(leaks: int = 0, *, blocked: bool = False) -> Callable[[Any], Any]:
    """Sessions that leak (three take 27 of 30 connections), or one that holds another up."""

    async def run(playing: Any) -> None:
        there = playing.theatre.postgres

        async def session(name: str) -> asyncpg.Connection:
            return await asyncpg.connect(**there, database="omnimesh_db", server_settings={"application_name": name})

        admin = await session("admin")
        await admin.execute(
            f"ALTER ROLE {there['user']} IN DATABASE omnimesh_db SET search_path = public, pg_catalog;"
            " DROP VIEW IF EXISTS public.pg_stat_activity; CREATE TABLE IF NOT EXISTS orders (id int);" + _SESSIONS
        )
        await admin.close()
        playing.theatre.sessions = [await session("leak") for _ in range(leaks)]
        if blocked:
            holder, waiting = await session("holder"), await session("waiting")
            await holder.execute("BEGIN; LOCK TABLE orders")
            playing.theatre.sessions = [holder]
            playing.waits = asyncio.create_task(_wait(waiting))
            await asyncio.sleep(0.02)

    return run


async def _wait(waiting: asyncpg.Connection) -> None:
    await waiting.execute("BEGIN; LOCK TABLE orders; COMMIT")
    await waiting.close()


async def ended(playing: Any) -> None:
    """The sessions were ended, and whoever waited got on."""
    if hasattr(playing, "waits"):
        await asyncio.wait_for(playing.waits, 5)
    for session in playing.theatre.sessions:
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await session.fetch("SELECT 1")
            raise AssertionError("a session was not ended")


async def closed(playing: Any) -> None:
    for session in playing.theatre.sessions:
        session.terminate()


DATABASE: dict[str, Any] = {
    "source": "2",
    "runbook": "omnimesh/database-failure",
    "alert": "OmniMeshDatabaseDown",
    "namespace": DATA,
    "beside": BESIDE,
    "needs": "postgres",
}
CONF = "max_connections = 30  # of the test\n"
FILES = config("postgres-config", DATA, postgresql__conf=CONF)
READ_ONLY = "configmaps/postgres-config data.postgresql\\.conf"
PG = "statefulsets.apps/postgresql"
DATABASES = scenes(
    "omnimesh",
    Scene(
        "a pod of the database that hangs is made anew",
        **DATABASE,
        cluster=[postgres(), not_ready("postgresql-0", DATA)],
        scenarios=["it does not run"],
        actions=["pod_delete"],
        after={f"{PG} status.readyReplicas": 1},
    ),
    Scene(
        "a database that stopped for want of room is not taken for damaged",
        **DATABASE,
        cluster=[
            postgres(),
            not_ready("postgresql-0", DATA),
            logs("postgresql", "PANIC:  could not write to file: No space left on device", namespace=DATA),
        ],
        scenarios=["it does not run"],
        actions=["pod_delete"],
    ),
    Scene(
        "a pod that does not come up is told",
        **DATABASE,
        cluster=[postgres("16-bad")],
        scenarios=["it does not run"],
        ends="escalated",
        told=["PostgreSQL is not well: 0 of 1 pods are ready"],
    ),
    Scene(
        "a volume that is not there is a person's",
        **{**DATABASE, "alert": "OmniMeshDatabaseStorage", "labels": {"persistentvolumeclaim": "data-postgresql-0"}},
        cluster=[postgres(), unbound("data-postgresql-0", DATA)],
        scenarios=["a volume is not there"],
        ends="escalated",
        told=["A volume of PostgreSQL is not bound: data-postgresql-0 Lost"],
        unchanged=True,
    ),
    Scene(
        "a full volume becomes larger once people agree",
        **{**DATABASE, "alert": "OmniMeshDatabaseStorage", "labels": {"persistentvolumeclaim": "data-postgresql-0"}},
        mode="approve",
        cluster=[postgres()],
        prometheus={
            "kubelet_volume_stats": [({"persistentvolumeclaim": "data-postgresql-0", "namespace": DATA}, 96)]
        },
        scenarios=["its volume is full"],
        actions=["pvc_expand"],
        after={"persistentvolumeclaims/data-postgresql-0 spec.resources.requests.storage": "15Gi"},
    ),
    Scene(
        "sessions that do nothing and take every connection are ended",
        **{**DATABASE, "alert": "OmniMeshDatabaseConnections"},
        cluster=[postgres()],
        first=sessions(leaks=3),
        scenarios=["sessions hold it up"],
        actions=["sql"],
        check=ended,
        unchanged=True,
    ),
    Scene(
        "a session that holds others up is ended and no other",
        **{**DATABASE, "alert": "OmniMeshDatabaseLocks"},
        cluster=[postgres()],
        first=sessions(blocked=True),
        scenarios=["sessions hold it up"],
        actions=["sql"],
        check=ended,
        unchanged=True,
    ),
    Scene(
        "a database whose pod is ready and that does not answer is restarted",
        **DATABASE,
        cluster=[postgres()],
        prometheus={"pg_up": 0},
        scenarios=["it does not answer"],
        actions=["pod_delete"],
    ),
    Scene(
        "damaged data are restored from the newest backup in read-only mode once people agree",
        **{**DATABASE, "alert": "OmniMeshDatabaseCorruption", "labels": {"severity": "CRITICAL"}},
        mode="approve",
        cluster=[
            postgres(),
            FILES,
            cronjob("omnimesh-restore", DATA),
            logs("postgresql", "PANIC:  could not read block 3 in file base/16384/2619", namespace=DATA),
        ],
        when_done={"pg-restore": lambda playing: restored(playing)},
        scenarios=["data are damaged"],
        actions=["configmap_patch", "pod_delete", "job_run", "configmap_patch", "pod_delete"],
        after={READ_ONLY: contains("default_transaction_read_only=off"), f"{PG} status.readyReplicas": 1},
    ),
    Scene(
        "a restore that fails is told with what it left",
        **{**DATABASE, "alert": "OmniMeshDatabaseCorruption", "labels": {"severity": "CRITICAL"}},
        mode="approve",
        cluster=[
            postgres(),
            FILES,
            cronjob("omnimesh-restore", DATA, "registry.example/backup:1-bad"),
            logs("postgresql", "PANIC:  could not read block 3 in file base/16384/2619", namespace=DATA),
        ],
        scenarios=["data are damaged"],
        ends="escalated",
        told=["Nobody may rely on its data"],
    ),
)


def restored(playing: Any) -> None:
    """The restore had leave to write, and found the server read-only."""
    assert "default_transaction_read_only=on" in playing.fact(READ_ONLY)
    (job,) = playing.stage.cluster.list("jobs.batch", DATA)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert {"name": "PGOPTIONS", "value": "-c default_transaction_read_only=off"} in container["env"]
    logs("postgresql", "database system is ready", namespace=DATA)(playing.stage.cluster)


LOST = logs("nexus-prime-core", "ERROR dial tcp: lookup go-node-proxy-service: no such host", namespace=CORE)
NO_ROUTE = logs("nexus-prime-core", "upstream connect error or disconnect/reset before headers", namespace=CORE)
LOOKUP, TRY = program("nslookup", namespace=CORE), program("nc", namespace=CORE)
COREDNS = "deployments.apps/kube-system/coredns"


def quiet(cluster: SimulatedCluster) -> None:
    """Nothing fails any more."""
    logs("nexus-prime-core", "ok", namespace=CORE)(cluster)


def once(key: str, name: str, effect: State) -> State:
    """What happens when an object whose name begins so is changed."""

    def bring(cluster: SimulatedCluster) -> None:
        def seen(change: Any) -> None:
            if change.key == key and change.obj["metadata"]["name"].startswith(name):
                effect(cluster)

        cluster.store.listen(seen)

    return bring


def mesh(app_name: str = "istiod", **more: Any) -> State:
    return app(app_name, MESH, replicas=1, **more)


def rule(kind: str, name: str, host: str = "go-node-proxy-service") -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"host": host} if kind == "DestinationRule" else {"hosts": [host]},
    }


def istio(cluster: SimulatedCluster) -> None:
    definition("networking.istio.io", "destinationrules", "DestinationRule")(cluster)
    definition("networking.istio.io", "virtualservices", "VirtualService")(cluster)


def as_thing(given: dict[str, Any], host: str) -> State:
    made = rule(given["kind"], given["metadata"]["name"], host)
    return thing(made["apiVersion"], made["kind"], made["metadata"]["name"], CORE, spec=made["spec"])


PARTITION: dict[str, Any] = {
    "source": "3",
    "runbook": "omnimesh/network-partition",
    "alert": "OmniMeshNetworkPartition",
    "beside": BESIDE,
}
KNOWN = [rule("DestinationRule", "proxy"), rule("VirtualService", "proxy")]
RULE = "destinationrules.networking.istio.io"
PARTITIONS = scenes(
    "omnimesh",
    Scene(
        "DNS is restarted pod by pod where names cannot be resolved",
        **{**PARTITION, "alert": "OmniMeshDnsFailing"},
        cluster=[core(), proxy(), dns, mesh(), LOST, LOOKUP, TRY, once("deployments.apps", "coredns", quiet)],
        scenarios=["DNS > restart it"],
        actions=["rollout_restart", "exec", "exec"],
        after={f"{COREDNS} {_RESTARTED}": present},
    ),
    Scene(
        "pods of DNS that are not ready are made anew",
        **PARTITION,
        cluster=[core(), proxy(), dns, mesh(), LOOKUP, TRY, lambda cluster: first_pod(cluster, "coredns")],
        scenarios=["DNS > new pods for those that are not ready"],
        actions=["pod_delete", "exec", "exec"],
        after={f"{COREDNS} {_RESTARTED}": gone},
    ),
    Scene(
        "pods of the mesh that are not ready are made anew",
        **PARTITION,
        cluster=[core(), proxy(), dns, mesh(), LOOKUP, TRY, lambda cluster: first_pod(cluster, "istiod", MESH)],
        scenarios=["pods of the mesh are not ready"],
        actions=["pod_delete", "exec", "exec"],
    ),
    Scene(
        "proxies of the mesh that do not route are evicted and its rules are put back when people agree",
        **{**PARTITION, "alert": "OmniMeshMeshErrors"},
        mode="approve",
        cluster=[
            core(),
            proxy(),
            dns,
            mesh("istio-proxy"),
            istio,
            as_thing(KNOWN[0], "nowhere"),
            as_thing(KNOWN[1], "go-node-proxy-service"),
            NO_ROUTE,
            LOOKUP,
            TRY,
            once(RULE, "proxy", quiet),
        ],
        params={"rules": KNOWN},
        scenarios=["proxies of the mesh", "rules of the mesh"],
        after={f"{RULE}/proxy spec.host": "go-node-proxy-service"},
    ),
    Scene(
        "a rule that nobody knows of is lifted and comes back by itself",
        **{**PARTITION, "alert": "OmniMeshMeshErrors"},
        mode="approve",
        cluster=[
            core(),
            proxy(),
            dns,
            mesh(),
            istio,
            *(as_thing(each, "go-node-proxy-service") for each in KNOWN),
            as_thing(rule("DestinationRule", "strange"), "nowhere"),
            NO_ROUTE,
            LOOKUP,
            TRY,
            lambda cluster: cluster.store.listen(lambda _: quiet(cluster) if lifted(cluster) else None),
        ],
        params={"rules": KNOWN},
        scenarios=["rules of the mesh"],
        after={f"{RULE}/strange": gone, f"{RULE}/proxy": present},
        later={f"{RULE}/strange spec.host": "nowhere"},
    ),
    Scene(
        "a mesh that does not route and whose rules are not known is a person's",
        **{**PARTITION, "alert": "OmniMeshMeshErrors"},
        cluster=[core(), proxy(), dns, mesh(), istio, as_thing(KNOWN[0], "nowhere"), NO_ROUTE],
        scenarios=["the mesh does not route"],
        ends="escalated",
        told=["DestinationRules: proxy"],
        unchanged=True,
    ),
    Scene(
        "what does not work from within a pod is not mended",
        **{**PARTITION, "alert": "OmniMeshDnsFailing"},
        cluster=[
            core(),
            proxy(),
            dns,
            mesh(),
            LOST,
            program("nslookup", exit_code=1, namespace=CORE),
            once("deployments.apps", "coredns", quiet),
        ],
        scenarios=["DNS > restart it"],
        ends="escalated",
        told=["iptables -L -n"],
    ),
)


def lifted(cluster: SimulatedCluster) -> bool:
    return cluster.get(RULE, CORE, "strange") is None


def first_pod(cluster: SimulatedCluster, of: str, namespace: str = "kube-system") -> None:
    """One of its pods hangs until it is made anew."""
    name = next(
        p["metadata"]["name"] for p in cluster.list("pods", namespace) if p["metadata"]["name"].startswith(of)
    )
    not_ready(name, namespace)(cluster)


MEMORY: dict[str, Any] = {
    "source": "4",
    "runbook": "omnimesh/memory-leak",
    "alert": "OmniMeshMemoryLeak",
    "labels": {"container": "nexus-prime-core"},
    "beside": BESIDE,
}
KILL = program("kill", "-USR1", "1", namespace=CORE)
ROOM = f"{RESOURCES}.limits.memory"
LEAKS = scenes(
    "omnimesh",
    Scene(
        "a leak is dumped and gets 8Gi which restarts its pods",
        **MEMORY,
        cluster=[core(), usage("100m", "240Mi"), KILL],
        scenarios=["leaks"],
        actions=["exec", "set_resources"],
        after={ROOM: "8Gi", RESTARTED: gone, READY: 3},
    ),
    Scene(
        "a leak that has 8Gi already is dumped and restarted",
        **MEMORY,
        cluster=[core(limits={"memory": "8Gi"}), KILL, lambda cluster: leaking(cluster)],
        scenarios=["leaks"],
        actions=["exec", "rollout_restart"],
        after={ROOM: "8Gi", RESTARTED: present, READY: 3},
    ),
    Scene(
        "memory that will reach its limit within an hour is a leak also where a dump fails",
        **MEMORY,
        cluster=[core(), usage("100m", "100Mi"), program("kill", exit_code=1, namespace=CORE)],
        prometheus={"predict_linear": 1.3},
        scenarios=["leaks"],
        after={ROOM: "8Gi"},
    ),
    Scene(
        "a leak that fills 8Gi as well is told to a person",
        **{**MEMORY, "alert": "OmniMeshOutOfMemory"},
        cluster=[core(), usage("100m", "7900Mi"), KILL],
        scenarios=["leaks"],
        ends="escalated",
        told=["nexus-prime-core still uses 96 % of its memory after a limit of 8Gi"],
    ),
)


def leaking(cluster: SimulatedCluster) -> None:
    """The pods of now use almost all; those that are made anew do not."""
    old = {pod["metadata"]["name"] for pod in cluster.list("pods", CORE)}
    cluster.set_behavior(
        usage=lambda pod, _container: ("100m", "7800Mi") if pod["metadata"]["name"] in old else ("100m", "64Mi")
    )


CERTIFICATE: dict[str, Any] = {
    "source": "5",
    "runbook": "omnimesh/certificate-emergency",
    "alert": "OmniMeshCertificateExpiring",
    "labels": {"secret_namespace": CORE, "secret_name": "tls-secret"},
    "beside": BESIDE,
}
HOST = "nexus-prime-core"
OLD, NEXT = (
    tls_secret("tls-secret", CORE, days=2, host=HOST),
    tls_secret("tls-secret-next", CORE, days=300, host=HOST),
)
SHOWN: dict[str, Any] = {"params": {"url": "${tls}"}, "shows": "tls-secret"}
PROXY_RESTARTED = f"deployments.apps/go-node-proxy {_RESTARTED}"
CERTIFICATES = scenes(
    "omnimesh",
    Scene(
        "a pair that runs out is replaced by the one that was put ready once people agree",
        **CERTIFICATE,
        **SHOWN,
        mode="approve",
        cluster=[core(), proxy(), OLD, NEXT],
        scenarios=["runs out"],
        actions=["tls_rotate", "rollout_restart", "rollout_restart"],
        after={RESTARTED: present, PROXY_RESTARTED: present},
    ),
    Scene(
        "without a valid pair nothing is touched and a person is told where to put one",
        **{**CERTIFICATE, "alert": "OmniMeshCertificateExpired"},
        **SHOWN,
        cluster=[core(), proxy(), tls_secret("tls-secret", CORE, days=-1, host=HOST)],
        scenarios=["runs out"],
        ends="escalated",
        told=["put a valid pair for the same names into tls-secret-next"],
        unchanged=True,
    ),
    Scene(
        "a pair that was replaced already is taken up by a restart",
        **{**CERTIFICATE, "alert": "OmniMeshServedCertificateExpiring", "labels": {}},
        params={"url": "${tls}"},
        shows=when(RESTARTED, present, "tls-secret", "tls-old"),
        cluster=[
            core(),
            proxy(),
            tls_secret("tls-secret", CORE, days=200, host=HOST),
            tls_secret("tls-old", CORE, days=3, host=HOST),
        ],
        scenarios=["replaced, and its users have not taken it up"],
        actions=["rollout_restart", "rollout_restart"],
        after={RESTARTED: present, PROXY_RESTARTED: present},
    ),
    Scene(
        "the mesh's own certificate is a person's",
        **{**CERTIFICATE, "labels": {"secret_namespace": MESH, "secret_name": "cacerts"}},
        **SHOWN,
        cluster=[core(), proxy(), lambda cluster: authority(cluster)],
        scenarios=["the mesh's own runs out"],
        ends="escalated",
        told=["cacerts in istio-system"],
        unchanged=True,
    ),
)


def authority(cluster: SimulatedCluster) -> None:
    """The mesh's own certificate, with three days left."""
    tls_secret("made", MESH, days=3, host="istio")(cluster)
    found = cluster.get("secrets", MESH, "made")
    assert found is not None
    data = {"cert-chain.pem": found["data"]["tls.crt"]}
    thing("v1", "Secret", "cacerts", MESH, type="Opaque", data=data)(cluster)


def deployed(**more: Any) -> State:
    return core(then=NEW, **more)


ROLLBACK: dict[str, Any] = {
    "source": "6",
    "runbook": "omnimesh/rollback",
    "alert": "OmniMeshBadDeployment",
    "beside": BESIDE,
    "needs": "postgres",
}
BY_HAND = {"labels": {"database": "true"}}
RESTORE = cronjob("omnimesh-restore-pre-deployment", DATA)
ON_GOOD = {"/health": when(IMAGE, GOOD, "ok", DOWN)}
ROLLBACKS = scenes(
    "omnimesh",
    Scene(
        "a new version that serves and is bad is gone back from",
        **ROLLBACK,
        cluster=[deployed(), SETTINGS],
        answers=ON_GOOD,
        scenarios=["a new version"],
        actions=["rollout_undo"],
        after={IMAGE: GOOD, READY: 3},
    ),
    Scene(
        "where the older version is not well either its configuration is put back",
        **{
            **ROLLBACK,
            "alert": "KubeDeploymentRolloutStuck",
            "labels": {"severity": "warning", "deployment": "nexus-prime-core"},
        },
        before=[core(), SETTINGS],
        cluster=[rolled_out(NEW), config("app-config", CORE, log_level="info", mode="clutser")],
        answers={"/health": when("configmaps/app-config data.mode", "cluster", "ok", DOWN)},
        scenarios=["a new version", "a new configuration"],
        actions=["rollout_undo", "configmap_restore", "rollout_restart"],
        after={"configmaps/app-config data.mode": "cluster", IMAGE: GOOD},
    ),
    Scene(
        "with the database nothing runs while it is restored and all of it is agreed to",
        **{**ROLLBACK, **BY_HAND},
        mode="approve",
        cluster=[deployed(), SETTINGS, postgres(), RESTORE],
        answers=ON_GOOD,
        when_done={"pg-restore": lambda playing: alone(playing)},
        scenarios=["with the database"],
        actions=["rollout_undo", "scale", "job_run", "scale"],
        after={IMAGE: GOOD, REPLICAS: 3, READY: 3},
    ),
    Scene(
        "a restore that fails leaves it switched off and says so",
        **{**ROLLBACK, **BY_HAND},
        mode="approve",
        cluster=[
            deployed(),
            SETTINGS,
            postgres(),
            cronjob("omnimesh-restore-pre-deployment", DATA, "registry.example/backup:1-bad"),
        ],
        scenarios=["with the database"],
        ends="escalated",
        told=["is switched off (0 replicas)"],
        after={REPLICAS: 0},
    ),
    Scene(
        "what was gone back from already is a person's",
        **ROLLBACK,
        cluster=[core(days=20), SETTINGS],
        answers={"/health": DOWN},
        scenarios=[],
        ends="escalated",
        unchanged=True,
    ),
)


def alone(playing: Any) -> None:
    """Nothing of the service runs while its database is restored."""
    assert playing.fact(REPLICAS) == 0
    assert not [pod for pod in playing.stage.cluster.list("pods", CORE) if "nexus" in pod["metadata"]["name"]]


SLOW: dict[str, Any] = {
    "source": "7",
    "runbook": "omnimesh/performance",
    "alert": "OmniMeshHighLatency",
    "beside": BESIDE,
}
FEW = usage("100m", "64Mi")


def slow_until(fact: str, wanted: Any) -> dict[str, Any]:
    """95 % of the requests take 3 seconds until something is so."""
    return {"prometheus": {"response_time": when(fact, wanted, 0.4, 3.0), "offset": 0.9, 'status=~"5.."': 0.01}}


LIMITS = f"{RESOURCES}.limits"
MAX = "horizontalpodautoscalers.autoscaling/nexus-prime-core spec.maxReplicas"
PERFORMANCE = scenes(
    "omnimesh",
    Scene(
        "slow requests are mended by five pods",
        **SLOW,
        **slow_until(REPLICAS, 5),
        cluster=[core(), FEW],
        scenarios=["degraded > scale out"],
        actions=["scale"],
        after={REPLICAS: 5, READY: 5},
    ),
    Scene(
        "where an autoscaler owns the count it may go to ten",
        **{**SLOW, "alert": "OmniMeshLowThroughput"},
        prometheus={"response_time": 0.4, "offset": when(MAX, 10, 0.9, 0.3), 'status=~"5.."': 0.01},
        cluster=[core(), FEW, autoscaler("nexus-prime-core", CORE, high=6, now=3)],
        scenarios=["degraded > raise the autoscaler's limit"],
        actions=["hpa_patch"],
        after={MAX: 10},
    ),
    Scene(
        "where more pods do not help they become larger",
        **{**SLOW, "alert": "OmniMeshHighErrorRate"},
        prometheus={"response_time": 0.4, "offset": 0.9, 'status=~"5.."': when(f"{LIMITS}.cpu", "4", 0.01, 0.2)},
        cluster=[core(), FEW],
        scenarios=["degraded > scale out", "degraded > larger pods"],
        actions=["scale", "set_resources"],
        after={REPLICAS: 5, f"{LIMITS}.cpu": "4", f"{LIMITS}.memory": "8Gi", f"{RESOURCES}.requests.cpu": "2"},
    ),
    Scene(
        "what neither makes faster is told with where it waits",
        **{**SLOW, "alert": "OmniMeshHighUtilization", "labels": {"container": "nexus-prime-core"}},
        prometheus={"response_time": 0.4, "offset": 0.9, 'status=~"5.."': 0.01},
        cluster=[core(), usage("3900m", "7Gi"), logs("nexus-prime-core", "slow query: 9 s", namespace=CORE)],
        scenarios=["degraded > scale out", "degraded > larger pods"],
        ends="escalated",
        told=["More pods and larger ones did not help", "Lines about slowness in the log"],
    ),
)

TELLS: dict[str, Any] = {
    "source": "Escalation",
    "runbook": "omnimesh/escalation",
    "alert": "OmniMeshNetworkPartition",
    "beside": ["omnimesh/network-partition"],
}
SRE, TICKET = "POST /channels/omnimesh-sre", "POST /channels/omnimesh-tickets"
LEADERS, ROOM_OPEN = "POST /channels/omnimesh-leadership", "POST /channels/omnimesh-war-room"


def untold(*requests: str) -> Callable[[Any], None]:
    """Nobody heard of it on these channels."""

    def check(playing: Any) -> None:
        assert not set(requests) & set(playing.peers.asked), playing.peers.asked

    return check


def said(*parts: str) -> Callable[[Any], None]:
    """What was sent says so."""

    def check(playing: Any) -> None:
        for part in parts:
            assert any(part in body for body in playing.peers.bodies), (part, playing.peers.bodies)

    return check


TOLD = scenes(
    "omnimesh",
    Scene(
        "a critical alert pages and opens a ticket and after ten minutes the leadership and the war room",
        **TELLS,
        cluster=[core(), proxy(), dns, mesh()],
        params={"confluence": "${http}"},
        http={"POST /rest/api/content": {"id": "7"}},
        resolves_after=1500.0,
        scenarios=["critical"],
        asked=[SRE, TICKET, "POST /rest/api/content", LEADERS, ROOM_OPEN],
        check=said("[CRITICAL] OmniMesh Production Incident", "STATUS: ACTIVE", "STATUS: RESOLVED", "NEXT UPDATE"),
        unchanged=True,
    ),
    Scene(
        "one that is over within ten minutes wakes no leadership",
        **TELLS,
        cluster=[core(), proxy(), dns, mesh()],
        resolves_after=300.0,
        scenarios=["critical"],
        asked=[SRE, TICKET],
        check=untold(LEADERS, ROOM_OPEN),
    ),
    Scene(
        "a high one is the platform team's",
        **{**TELLS, "alert": "OmniMeshBackupOld", "namespace": DATA, "beside": ["omnimesh/diagnostics"]},
        cluster=[core()],
        resolves_after=300.0,
        scenarios=["high"],
        asked=["POST /channels/omnimesh-platform"],
        check=untold(SRE),
    ),
    Scene(
        "a medium one is the development team's",
        **{**TELLS, "alert": "OmniMeshHighUtilization", "beside": ["omnimesh/performance"]},
        cluster=[core()],
        scenarios=["medium"],
        asked=["POST /channels/omnimesh-dev"],
        check=untold(SRE),
    ),
    Scene(
        "a low one is a ticket",
        **{**TELLS, "alert": "KubeSomething", "labels": {"severity": "LOW"}, "beside": ["omnimesh/diagnostics"]},
        cluster=[core()],
        scenarios=["low"],
        asked=[TICKET],
        check=untold(SRE),
    ),
    Scene(
        "an incident is tracked in the cluster and logs more for a quarter of an hour",
        source="Incident commands",
        runbook="omnimesh/incident-commands",
        alert="OmniMeshIncident",
        beside=["omnimesh/escalation", "omnimesh/diagnostics"],
        cluster=[core(), proxy(), SETTINGS],
        scenarios=["incident"],
        actions=["incident_tracker", "log_level"],
        after={"configmaps/app-config data.log_level": "debug", READY: 3},
        later={"configmaps/app-config data.log_level": "info", RESTARTED: gone},
        check=lambda playing: tracked(playing, "active"),
    ),
    Scene(
        "diagnostics of a healthy system say so",
        source="Diagnostics",
        runbook="omnimesh/diagnostics",
        alert="OmniMeshDiagnostics",
        labels={"severity": "none"},
        needs="postgres",
        cluster=[core(), proxy(), dns, OLD, program("ping", namespace=CORE)],
        scenarios=["healthy"],
        actions=["exec", "notify"],
        asked=["POST /channels/omnimesh-incidents"],
        check=said("=== Pod Status === 6 of 6 ready", "Database Health === answers", "google.com: reached"),
    ),
    Scene(
        "diagnostics of one that is not say what is wrong",
        source="Diagnostics",
        runbook="omnimesh/diagnostics",
        alert="OmniMeshBackupOld",
        namespace=DATA,
        beside=BESIDE,
        cluster=[core(then=BAD), proxy()],
        answers={"/health": DOWN},
        scenarios=["not healthy"],
        asked=["POST /channels/omnimesh-incidents"],
        check=said("OmniMesh is not healthy", "CrashLoopBackOff", "HTTP 503"),
        unchanged=True,
    ),
    Scene(
        "after an incident everything is checked and its trackers are closed",
        source="Post-incident",
        runbook="omnimesh/post-incident",
        alert="OmniMeshPostIncident",
        labels={"severity": "none"},
        needs="postgres",
        cluster=[core(), proxy(), SETTINGS, config("incident-tracker-r1", CORE, status="active")],
        scenarios=["well again"],
        actions=["configmap_patch", "notify"],
        after={"configmaps/incident-tracker-r1 data.status": "resolved", "configmaps/app-config data.status": gone},
        check=said("Post-Mortem", "Schedule the post-mortem within 24 hours"),
    ),
    Scene(
        "an incident that is not over half an hour later is told",
        source="Post-incident",
        runbook="omnimesh/post-incident",
        alert="OmniMeshPostIncident",
        labels={"severity": "none"},
        needs="postgres",
        cluster=[core(), proxy(), SETTINGS, config("incident-tracker-r1", CORE, status="active")],
        answers={"/health": DOWN},
        scenarios=["well again"],
        ends="escalated",
        told=["It is not well yet"],
        after={"configmaps/incident-tracker-r1 data.status": "active"},
    ),
)


def tracked(playing: Any, status: str) -> None:
    names = [each["metadata"]["name"] for each in playing.stage.cluster.list("configmaps", CORE)]
    (name,) = [each for each in names if each.startswith("incident-tracker-")]
    assert playing.fact(f"configmaps/{name} data.status") == status
    assert playing.fact(f"configmaps/{name} data.severity") == "critical"


async def measured(playing: Any) -> dict[str, bool | None]:
    """Return what `alertbridge stats` says of the goals for repairs that ship."""
    settings = playing.stage._configuration.settings
    stores = playing.stage.stores
    views = await stores.work.list(limit=200)
    runs = [(view, times_of(view, await stores.journal.read(view.remediation.id))) for view in views]
    first, *objectives = goals_met(settings.goals, settings.notify.severity, runs)
    found = {figure.name: figure.met for figure in first.figures}
    return found | {each.about.rpartition(", ")[2]: each.figures[0].met for each in objectives}


async def goals_are_met(playing: Any) -> None:
    found = await measured(playing)
    names = ("detect", "respond", "resolve", "false_positives", "critical")
    assert {name: found[name] for name in names} == dict.fromkeys(names, True)
    assert found["low"] is None


async def goals_are_missed(playing: Any) -> None:
    found = await measured(playing)
    assert (found["detect"], found["resolve"], found["critical"]) == (True, None, None)
    assert found["false_positives"] is False


MEASURED = scenes(
    "omnimesh",
    Scene(
        "a repair that is quick meets the goals",
        **{**CRASH, "source": "Success metrics"},
        cluster=[core(then=BAD), postgres(), SETTINGS],
        scenarios=["a new version never got ready"],
        check=goals_are_met,
    ),
    Scene(
        "an alert about something that is well counts as false",
        **{**CRASH, "source": "Success metrics"},
        cluster=[
            core(requests={"memory": "2Gi", "cpu": "1"}, limits={"memory": "4Gi", "cpu": "2"}),
            postgres(),
            SETTINGS,
        ],
        prometheus={"restarts_total": 8},
        scenarios=["crashes > more resources"],
        actions=[],
        unchanged=True,
        check=goals_are_missed,
    ),
)
SCENES = (
    *CRASHES,
    *DATABASES,
    *PARTITIONS,
    *LEAKS,
    *CERTIFICATES,
    *ROLLBACKS,
    *PERFORMANCE,
    *TOLD,
    *MEASURED,
)


@pytest.mark.parametrize("scene", SCENES, ids=str)
async def test_scene(scene: Scene, theatre: Theatre) -> None:
    await theatre.play(scene)
