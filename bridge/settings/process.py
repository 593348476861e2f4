"""All settings of a process together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from bridge.model.budget import BudgetSettings
from bridge.model.changes import ChangeSettings
from bridge.model.fields import Name, Positive, Texts
from bridge.model.goals import Goal
from bridge.model.maintenance import Maintenance
from bridge.model.mode import Mode
from bridge.model.peers import (
    CommandSpec,
    ExecSpec,
    Http,
    PeerSentinels,
    RedisPeerSpec,
    SqlPeerSpec,
    TlsPairSpec,
)
from bridge.model.run_limits import RunLimitSettings
from bridge.model.runbook import Duration, Strict
from bridge.model.telling import AlertmanagerSpec, Notify
from bridge.model.trust import TrustSettings
from bridge.settings.clusters import Clusters
from bridge.settings.fields import HttpUrl
from bridge.settings.listening import CredentialSpec, Limits, Listen
from bridge.settings.redis import RedisSettings


class Prometheus(Strict):
    url: HttpUrl
    """Its address, such as `http://prometheus:9090`."""
    token_file: str = ""
    """File with a bearer token, sent with each question; empty: none."""
    timeout: Annotated[Duration, Field(gt=0, le=60)] = 10.0
    """How long one question may take."""


class Alertmanager(AlertmanagerSpec):
    """The Alertmanager whose alerts we get: for pages that are held while a repair runs."""

    url: HttpUrl


class Own(Strict):
    """What alertbridge itself consists of in a cluster; never a target."""

    cluster: str = ""
    """The connection that leads to its own cluster; empty: any."""
    namespace: str = ""
    """In a pod: POD_NAMESPACE."""
    pod: str = ""
    """In a pod: POD_NAME."""
    workloads: Texts = ("alertbridge",)
    """Names in that namespace."""
    redis: Texts = ()
    """Workloads of its Redis, as `namespace/name`."""
    uids: Texts = ()
    """Uids of objects that are its own whatever they are called. In a pod its own is added: POD_UID."""


DnsName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
"""A name as Kubernetes has them."""


class GoodWhile(Strict):
    """The workload that depends on a ConfigMap."""

    kind: Literal["Deployment", "StatefulSet", "DaemonSet"] = "Deployment"
    """What kind of workload it is."""
    name: DnsName
    """Its name, in the ConfigMap's namespace."""


class KeepCopy(Strict):
    """A ConfigMap of which the last good content is kept, for `configmap_restore`."""

    cluster: str = ""
    """The connection; empty: the default one."""
    namespace: DnsName
    """Where the ConfigMap is."""
    name: DnsName
    """What it is called."""
    good_while: GoodWhile
    """The workload that tells a good content from a bad one."""
    after: Annotated[Duration, Field(gt=0, le=86400)] = 600.0
    """The workload has to be fully ready for so long, with pods that started with this content."""
    reloads: bool = False
    """Whether the pods take a new content up while they run."""


class Log(Strict):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    format: Literal["json", "console"] = "json"
    """One JSON object per line, or text for a terminal."""


class Retention(Strict):
    remediations: Duration = 30 * 86400.0
    """How long remediations with their journals, and the audit trail, are kept."""
    decisions: Duration = 7 * 86400.0
    """How long it is kept what was decided about each alert, for `alertbridge explain`."""
    runs: Duration = 7 * 86400.0
    """Times of past runs, for cooldown and attempts."""


class EventSettings(Strict):
    """Kubernetes Events on what is changed, for people who look with `kubectl describe`."""

    enabled: bool = False
    """Takes the permission to create Events: `alertbridge rbac` prints it."""
    observe: bool = False
    """Also what would have been done, in mode observe: otherwise nothing is written there, no Event either."""


class Settings(Strict):
    """All process settings, with defaults that are safe for a first start."""

    installation: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,63}$")] = "default"
    """Installations that share a Redis are told apart by it."""
    mode: Mode = Mode.OBSERVE
    """How far anything may go in this process, whatever a route or a runbook says."""
    listen: Listen = Listen()
    """Where webhooks, the API and the metrics are served."""
    credentials: tuple[CredentialSpec, ...] = ()
    """Who may call, and what for. Without any it listens on loopback only, and whoever calls there may do
    everything."""
    limits: Limits = Limits()
    """Bounds of what comes in, so that no sender can exhaust the process."""
    redis: RedisSettings = RedisSettings()
    """Where our own state is kept; with no address, in a private Redis in `data_dir`."""
    clusters: Clusters = Clusters()
    """The clusters that are looked at and mended. Without any: the pod's own, else the kubeconfig's."""
    prometheus: Prometheus | None = None
    """Where proofs and evidence by metrics come from. Without it the alert's own resolve is the witness."""
    alertmanager: Alertmanager | None = None
    """The Alertmanager whose silences are heeded, and where pages are held while a repair runs."""
    external_url: HttpUrl | Literal[""] = ""
    """Where people reach this server: what links in messages begin with."""
    http: Http = Http()
    """What runbooks may ask by HTTP; nothing by default."""
    sql: dict[Name, SqlPeerSpec] = Field(default={})
    """Databases, by the names that runbooks call them."""
    redis_peers: dict[Name, RedisPeerSpec] = Field(default={})
    """Redis servers and Sentinels that runbooks are about; `redis` is where our own state is."""
    commands: dict[Name, CommandSpec] = Field(default={})
    """Programs of this host that runbooks may run; none by default."""
    exec: ExecSpec = ExecSpec()
    """What runbooks may run in containers; nothing by default."""
    tls_pairs: dict[Name, TlsPairSpec] = Field(default={})
    """Certificates with their keys, by the names that runbooks call them; read when they are used."""
    notify: Notify = Notify()
    """Who hears what, and who is called; by default the log alone tells."""
    budgets: BudgetSettings = BudgetSettings()
    """What may be disturbed within a window, all routes together."""
    changes: ChangeSettings = ChangeSettings()
    """What is done about what somebody else is changing, or just changed."""
    trust: TrustSettings = TrustSettings()
    """When a runbook that does not help stops by itself."""
    run_limits: RunLimitSettings = RunLimitSettings()
    """How often anything runs for one alert, one target, by one runbook; beside what routes say."""
    maintenance: Annotated[tuple[Maintenance, ...], Field(max_length=200)] = ()
    """One-off windows in which nothing is done."""
    goals: Annotated[tuple[Goal, ...], Field(max_length=100)] = ()
    """What remediations have to come to: `alertbridge stats` says whether it is so."""
    events: EventSettings = EventSettings()
    """Kubernetes Events on what is changed; off by default."""
    protected_namespaces: Texts = ("kube-system",)
    """Namespaces in which nothing is changed, unless a route names them in `allow_namespaces`."""
    drain_protected: bool = False
    """Whether the drain of a node may evict pods of protected namespaces, as `kubectl drain` does: their controllers
    make them again elsewhere, and their disruption budgets hold. Without it a node with such pods is not drained."""
    secret_namespaces: Texts = ()
    """Namespaces whose Secrets may be read (for the dates of certificates); none by default."""
    plugins: Texts = ()
    """Python files with actions and collectors of one's own, relative to the file. A changed one takes a restart."""
    own: Own = Own()
    """What alertbridge itself consists of: never a target."""
    keep_copies: Annotated[tuple[KeepCopy, ...], Field(max_length=200)] = ()
    """ConfigMaps of which good copies are kept, by whether their workload is well."""
    incident_ttl: Duration = 86400.0
    """An incident that was not seen for this long is over. Longer than the sender's repeat interval."""
    skew_window: Duration = 120.0
    """How long a firing that began before the last resolve is held, as it may be a late one; seen again afterwards,
    it opens the incident anew."""
    stability: Duration = 900.0
    """How long every alert of a run has to stay resolved before its temporary changes end early."""
    concurrency: Positive = 16
    """Remediations that one worker runs side by side."""
    claim: Annotated[Duration, Field(ge=1)] = 4.0
    """How long a worker's hold on a remediation lasts unless it is renewed: then another takes over."""
    dead_letter_after: Positive = 3
    """Workers that may die of one remediation."""
    grace: Duration = 25.0
    """Time to finish in on SIGTERM before work is handed over."""
    retention: Retention = Retention()
    """How long the record is kept."""
    log: Log = Log()
    """What the process writes to its standard error."""

    @model_validator(mode="after")
    def _known_clusters(self) -> Settings:
        for problem in unknown_clusters(self):
            raise ValueError(problem)
        return self


def unknown_clusters(settings: Settings) -> Iterator[str]:
    """Yield a sentence for every kept copy of a cluster that is not there."""
    known = set(settings.clusters.connections) or {"default"}
    for at, each in enumerate(settings.keep_copies):
        if each.cluster and each.cluster not in known:
            yield f"keep_copies[{at}].cluster: no connection is called {each.cluster!r}"


def own_redis(settings: Settings) -> list[str]:
    """Return the names in `redis_peers` that lead to the Redis of our own state, as far as addresses tell."""
    ours, watch = settings.redis, settings.redis.sentinel
    parts = urlsplit(ours.url or ours.cluster)
    place = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else ""
    watchers = set(PeerSentinels(addresses=watch.addresses).addresses) if watch else set()
    found = []
    for name, peer in settings.redis_peers.items():
        seen = peer.sentinel
        same = seen and watch and seen.master == watch.master and watchers & set(seen.addresses)
        if same or (peer.address and peer.address == place):
            found.append(name)
    return found
