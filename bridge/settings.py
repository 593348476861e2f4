"""Process settings: where to listen, who may call, which Redis and which clusters. Read by app; does no I/O.

The schema of everything in `bridge.yml` but routes and runbooks, and the defaults. Secrets are never written here:
a setting names the file or the environment variable that holds one, and `bridge.configuration.secrets` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from bridge.model.budget import BudgetSettings
from bridge.model.changes import ChangeSettings
from bridge.model.fields import Name as Name
from bridge.model.fields import Positive as Positive
from bridge.model.fields import Texts as Texts
from bridge.model.fields import as_list
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
from bridge.model.principal import Role
from bridge.model.run_limits import RunLimitSettings
from bridge.model.runbook import Duration, Strict
from bridge.model.telling import AlertmanagerSpec, Notify
from bridge.model.trust import TrustSettings

_SIZE = re.compile(r"(\d{1,12})\s*(|B|[kKMG]i?B)\Z")
_FACTORS = {"": 1, "B": 1, "kB": 1000, "KB": 1000, "KiB": 1 << 10, "MB": 10**6, "MiB": 1 << 20} | {
    "kiB": 1 << 10,
    "GB": 10**9,
    "GiB": 1 << 30,
}


def parse_size(value: object) -> int:
    """Return bytes from a number or a text such as `16MiB`; raise ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _SIZE.match(value)):
        return int(match.group(1)) * _FACTORS[match.group(2)]
    raise ValueError(f"expected a size such as 16MiB, got {value!r}")


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected a URL such as http://prometheus:9090, got {value!r}")
    if parts.password or parts.username:
        raise ValueError("a URL here holds no user and no password: name a file")
    return value.rstrip("/")


Size = Annotated[int, BeforeValidator(parse_size)]
"""Bytes; written as `16MiB`."""
HttpUrl = Annotated[str, AfterValidator(_http_url)]


class Tls(Strict):
    cert_file: str
    key_file: str
    client_ca_file: str = ""
    """With it, clients may present a certificate of this authority (credentials of type `certificate`)."""


class Listen(Strict):
    host: str = "127.0.0.1"
    port: int = Field(default=9877, ge=0, le=65535)
    """0 takes a free one."""
    tls: Tls | None = None


class CredentialSpec(Strict):
    """One caller. Its name is the source of the alerts that come in with it and stands in the audit trail."""

    name: Name
    type: Literal["bearer", "basic", "hmac", "certificate"]
    roles: Annotated[tuple[Role, ...], BeforeValidator(as_list), Field(min_length=1)] = (Role.SENDER,)
    secret_file: Texts = ()
    """Files with one secret each. Any of them is right, so that a secret can be changed without a gap."""
    secret_env: Texts = ()
    """Environment variables with one secret each."""
    username: str = ""
    """For basic; the name when it is not given."""
    subjects: Texts = ()
    """For certificate: common names and alternative names that it may have."""
    header: str = "X-Grafana-Alerting-Signature"
    """For hmac."""
    timestamp_header: str = ""
    """For hmac: the header with the signed unix seconds. Without one nothing guards against a replay."""

    @model_validator(mode="after")
    def _complete(self) -> CredentialSpec:
        if self.type == "certificate":
            if not self.subjects:
                raise ValueError("a credential of type certificate needs `subjects`, the names that it may have")
            if self.secret_file or self.secret_env:
                raise ValueError("a credential of type certificate has no secret")
        elif not self.secret_file and not self.secret_env:
            raise ValueError("expected `secret_file` or `secret_env`, the place of its secret")
        if ":" in self.username:
            raise ValueError("a user name has no colon (RFC 7617)")
        return self


class Limits(Strict):
    """Bounds of what comes in."""

    body: Size = 16 << 20
    header_timeout: Duration = 3.0
    body_timeout: Duration = 6.0
    connections: Positive = 1000
    alerts: Positive = 20_000
    """In one request."""
    labels: Positive = 128
    """Of one alert, and as many annotations."""
    label_length: Size = 8 << 10
    alert_length: Size = 256 << 10
    """Labels and annotations of one alert together."""
    pending_alerts: Positive = 200_000
    """That wait for the store at a time; beyond it the answer is 503."""

    @model_validator(mode="after")
    def _slow_clients(self) -> Limits:
        if self.header_timeout + self.body_timeout > 10:
            raise ValueError("header_timeout and body_timeout together are at most 10s: a slow client is cut by then")
        return self


class Sentinel(Strict):
    addresses: Annotated[Texts, Field(min_length=1)]
    """`host:port` of each sentinel; the port is 26379 when it is not given."""
    master: str = "mymaster"
    password_file: str = ""


class RedisTls(Strict):
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


class RedisSettings(Strict):
    """Which Redis: exactly one of `url`, `sentinel` and `cluster`; with none a private one in `data_dir`."""

    url: str = ""
    """`redis://`, `rediss://` or `unix://`."""
    sentinel: Sentinel | None = None
    cluster: str = ""
    """Address (URL) of any node."""
    tls: RedisTls | None = None
    username: str = ""
    password_file: str = ""
    password_env: str = ""
    min_replicas: int = Field(default=0, ge=0)
    """2xx only after this many replicas have the alerts."""
    deadline: Annotated[Duration, Field(gt=0, le=30)] = 2.0
    connections: Positive = 32
    data_dir: str = "alertbridge-data"
    fsync: Literal["everysec", "always"] = "everysec"
    redis_server: str = ""
    """Program of the private Redis; found by itself when it is not given."""

    @property
    def mode(self) -> Literal["embedded", "url", "sentinel", "cluster"]:
        return "url" if self.url else "sentinel" if self.sentinel else "cluster" if self.cluster else "embedded"

    @model_validator(mode="after")
    def _one_place(self) -> RedisSettings:
        if sum((bool(self.url), self.sentinel is not None, bool(self.cluster))) > 1:
            raise ValueError("expected one of `url`, `sentinel` and `cluster`")
        for url in (self.url, self.cluster):
            parts = urlsplit(url)
            if url and parts.scheme not in ("redis", "rediss", "unix"):
                raise ValueError(f"expected redis://, rediss:// or unix://, got {url!r}")
            if parts.password:
                raise ValueError(
                    "a secret is never written into the configuration: use password_file or password_env"
                )
        return self


class Connection(Strict):
    """How to reach one cluster: `in_cluster`, `url`, or a kubeconfig (the default)."""

    kubeconfig: str = ""
    context: str = ""
    in_cluster: bool = False
    url: str = ""
    token_file: str = ""
    ca_file: str = ""
    deadline: Annotated[Duration, Field(gt=0)] = 10.0

    @model_validator(mode="after")
    def _one_way(self) -> Connection:
        if sum((bool(self.kubeconfig or self.context), self.in_cluster, bool(self.url))) > 1:
            raise ValueError("expected one of `kubeconfig` (with `context`), `in_cluster` and `url`")
        return self


class Clusters(Strict):
    """Which cluster an alert is about. A label value that names none is denied."""

    label: str = Field(default="cluster", min_length=1)
    default: str | None = None
    """The connection for alerts without the label. With a single connection it is that one."""
    connections: dict[Name, Connection] = Field(default={})
    names: dict[str, str] = Field(default={})
    """Label value to connection, where they differ; a connection's own name always means itself."""

    def ways(self, env: Mapping[str, str]) -> dict[str, Connection]:
        """Return the connections; with none configured `default`: the pod's own cluster, else the kubeconfig."""
        return dict(self.connections) or {"default": Connection(in_cluster="KUBERNETES_SERVICE_HOST" in env)}

    def default_of(self, ways: Mapping[str, Connection]) -> str | None:
        if "default" in self.model_fields_set:
            return self.default
        return next(iter(ways)) if len(ways) == 1 else None

    @model_validator(mode="after")
    def _known(self) -> Clusters:
        known = set(self.connections) or {"default"}
        for value, name in self.names.items():
            if name not in known:
                raise ValueError(f"names.{value}: no connection is called {name!r}")
        if self.default is not None and self.default not in known:
            raise ValueError(f"default: no connection is called {self.default!r}")
        return self


class Prometheus(Strict):
    url: HttpUrl
    token_file: str = ""
    timeout: Annotated[Duration, Field(gt=0, le=60)] = 10.0


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
    name: DnsName


class KeepCopy(Strict):
    """A ConfigMap of which the last good content is kept, for `configmap_restore`."""

    cluster: str = ""
    """The connection; empty: the default one."""
    namespace: DnsName
    name: DnsName
    good_while: GoodWhile
    after: Annotated[Duration, Field(gt=0, le=86400)] = 600.0
    """The workload has to be fully ready for so long, with pods that started with this content."""
    reloads: bool = False
    """Whether the pods take a new content up while they run."""


class Log(Strict):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class Retention(Strict):
    remediations: Duration = 30 * 86400.0
    decisions: Duration = 7 * 86400.0
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
    credentials: tuple[CredentialSpec, ...] = ()
    limits: Limits = Limits()
    redis: RedisSettings = RedisSettings()
    clusters: Clusters = Clusters()
    prometheus: Prometheus | None = None
    alertmanager: Alertmanager | None = None
    external_url: HttpUrl | Literal[""] = ""
    """Where people reach this server: what links in messages begin with."""
    http: Http = Http()
    sql: dict[Name, SqlPeerSpec] = Field(default={})
    """Databases, by the names that runbooks call them."""
    redis_peers: dict[Name, RedisPeerSpec] = Field(default={})
    """Redis servers and Sentinels that runbooks are about; `redis` is where our own state is."""
    commands: dict[Name, CommandSpec] = Field(default={})
    """Programs of this host that runbooks may run; none by default."""
    exec: ExecSpec = ExecSpec()
    tls_pairs: dict[Name, TlsPairSpec] = Field(default={})
    """Certificates with their keys, by the names that runbooks call them; read when they are used."""
    notify: Notify = Notify()
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
    events: EventSettings = EventSettings()
    protected_namespaces: Texts = ("kube-system",)
    drain_protected: bool = False
    """Whether the drain of a node may evict pods of protected namespaces, as `kubectl drain` does: their controllers
    make them again elsewhere, and their disruption budgets hold. Without it a node with such pods is not drained."""
    secret_namespaces: Texts = ()
    """Namespaces whose Secrets may be read (for the dates of certificates); none by default."""
    plugins: Texts = ()
    """Python files with actions and collectors of one's own, relative to the file. A changed one takes a restart."""
    own: Own = Own()
    keep_copies: Annotated[tuple[KeepCopy, ...], Field(max_length=200)] = ()
    """ConfigMaps of which good copies are kept, by whether their workload is well."""
    incident_ttl: Duration = 86400.0
    """An incident that was not seen for this long is over. Longer than the sender's repeat interval."""
    skew_window: Duration = 120.0
    stability: Duration = 900.0
    """How long every alert of a run has to stay resolved before its temporary changes end early."""
    concurrency: Positive = 16
    """Remediations that one worker runs side by side."""
    claim: Annotated[Duration, Field(ge=1)] = 4.0
    dead_letter_after: Positive = 3
    """Workers that may die of one remediation."""
    grace: Duration = 25.0
    """Time to finish in on SIGTERM before work is handed over."""
    retention: Retention = Retention()
    log: Log = Log()

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


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def listen_problem(host: str, *, credentials: int) -> str | None:
    """Return why a server must not listen on `host` with so many credentials; None when it may."""
    if credentials or is_loopback(host):
        return None
    shown = host or "every address"
    return f"refuses to listen on {shown} without a credential: anybody there could act; add one to `credentials`"


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
