"""From the configuration to what each part wants to be told. Pure; called by app."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from bridge.configuration.configuration import Configuration
from bridge.engine.assign import ClusterMap
from bridge.engine.copies import Watched
from bridge.engine.routing import ConfiguredRouting
from bridge.guards.again import AgainGuard
from bridge.guards.attempts import AttemptsGuard
from bridge.guards.budget import BudgetGuard
from bridge.guards.changes import ChangesGuard
from bridge.guards.cooldown import CooldownGuard
from bridge.guards.effectiveness import EffectivenessGuard
from bridge.guards.freshness import FreshnessGuard
from bridge.guards.hold_off import HoldOffGuard
from bridge.guards.maintenance import MaintenanceGuard
from bridge.guards.own_part import OwnPartGuard, OwnParts
from bridge.guards.owner import OwnerGuard
from bridge.guards.pause import PauseGuard
from bridge.guards.protected import ProtectedGuard
from bridge.guards.reversible import ReversibleGuard
from bridge.guards.run_limits import RunLimitsGuard
from bridge.guards.silence import SilenceGuard
from bridge.ingest.credentials import Credential
from bridge.ingest.limits import ConnectionLimits, RequestLimits
from bridge.ingest.tls import server_context
from bridge.kube.connection import ClusterConnection
from bridge.model.http_address import origins_of_hosts
from bridge.model.peers import PeerTlsSpec, RedisPeerSpec
from bridge.model.principal import Role
from bridge.model.target import ObjectRef
from bridge.outside.options import (
    Channel,
    CommandPeer,
    HttpSecret,
    OutsideSettings,
    PeerTls,
    RedisPeer,
    SqlPeer,
    TlsPair,
)
from bridge.ports import Budgets, EntryGuard, PlanGuard
from bridge.settings import Connection, Settings
from bridge.stores.options import Endpoint, StoreOptions

_SENTINEL_PORT = 26379
_TAKEN_UP = frozenset(
    {"mode", "credentials", "keep_copies", "protected_namespaces", "drain_protected", "own", "external_url"}
    | {"budgets", "run_limits", "maintenance", "trust", "changes", "goals"}
)
"""Settings that a reload takes up; of `clusters` everything but the connections."""


def store_options(configuration: Configuration) -> StoreOptions:
    """Return what the stores need to know."""
    settings, redis = configuration.settings, configuration.settings.redis
    tls = redis.tls
    return StoreOptions(
        mode=redis.mode,
        installation=settings.installation,
        url=redis.url or redis.cluster,
        sentinels=tuple(map(_endpoint, redis.sentinel.addresses)) if redis.sentinel else (),
        sentinel_service=redis.sentinel.master if redis.sentinel else "mymaster",
        sentinel_password=configuration.secrets.sentinel,
        username=redis.username,
        password=configuration.secrets.redis,
        tls=tls is not None,
        ca_file=tls.ca_file if tls else "",
        cert_file=tls.cert_file if tls else "",
        key_file=tls.key_file if tls else "",
        data_dir=redis.data_dir,
        fsync=redis.fsync,
        redis_server=redis.redis_server,
        deadline=redis.deadline,
        connections=redis.connections,
        min_replicas=redis.min_replicas,
        claim=settings.claim,
        max_deaths=settings.dead_letter_after,
        skew=settings.skew_window,
        stability=settings.stability,
        incident_ttl=settings.incident_ttl,
        keep_remediations=settings.retention.remediations,
        keep_decisions=settings.retention.decisions,
        keep_runs=settings.retention.runs,
    )


def _endpoint(address: str) -> Endpoint:
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        return Endpoint(host.strip("[]"), int(port))
    return Endpoint(address.strip("[]"), _SENTINEL_PORT)


def credentials(configuration: Configuration) -> list[Credential]:
    """Return the callers with their secrets."""
    return [
        Credential(
            name=spec.name,
            type=spec.type,
            roles=frozenset(spec.roles),
            secrets=configuration.secrets.credentials.get(spec.name, ()),
            username=spec.username,
            subjects=frozenset(spec.subjects),
            signature_header=spec.header,
            timestamp_header=spec.timestamp_header,
        )
        for spec in configuration.settings.credentials
    ]


def may_answer(settings: Settings, name: str) -> bool:
    """Whether somebody of this name may agree to plans: where there are credentials at all, an operator of now."""
    known = settings.credentials
    return not known or any(spec.name == name and Role.OPERATOR in spec.roles for spec in known)


def request_limits(settings: Settings) -> RequestLimits:
    limits = settings.limits
    return RequestLimits(
        body_bytes=limits.body,
        alerts=limits.alerts,
        labels=limits.labels,
        label_chars=limits.label_length,
        alert_chars=limits.alert_length,
        pending_alerts=limits.pending_alerts,
    )


def connection_limits(settings: Settings) -> ConnectionLimits:
    limits = settings.limits
    return ConnectionLimits(
        connections=limits.connections,
        header_seconds=limits.header_timeout,
        body_seconds=limits.body_timeout,
    )


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the context to serve with, or None for plain HTTP. Raises ConfigurationError."""
    tls = settings.listen.tls
    if tls is None:
        return None
    client_ca = Path(tls.client_ca_file) if tls.client_ca_file else None
    return server_context(Path(tls.cert_file), Path(tls.key_file), client_ca=client_ca)


def cluster_connections(configuration: Configuration) -> list[ClusterConnection]:
    secrets = frozenset(configuration.settings.secret_namespaces)
    return [_connection(name, way, secrets) for name, way in configuration.connections.items()]


def _connection(name: str, way: Connection, secrets: frozenset[str]) -> ClusterConnection:
    return ClusterConnection(
        name=name,
        kubeconfig=way.kubeconfig,
        context=way.context,
        in_cluster=way.in_cluster,
        url=way.url,
        token_file=way.token_file,
        ca_file=way.ca_file,
        deadline=way.deadline,
        secret_namespaces=secrets,
    )


def cluster_map(configuration: Configuration) -> ClusterMap:
    return ClusterMap(
        label=configuration.settings.clusters.label,
        names=configuration.cluster_names,
        default=configuration.default_connection,
    )


def routing(configuration: Configuration) -> ConfiguredRouting:
    """Return how alerts are routed by this configuration."""
    return ConfiguredRouting(
        configuration.table,
        runbooks=configuration.runbooks,
        muted=configuration.muted,
        clusters=cluster_map(configuration),
    )


def kept_copies(configuration: Configuration) -> list[Watched]:
    """Return the ConfigMaps of which good copies are kept; those of no cluster are left out."""
    found = []
    for each in configuration.settings.keep_copies:
        cluster = each.cluster or configuration.default_connection
        if cluster is not None:
            depends = each.good_while
            found.append(
                Watched(
                    ref=ObjectRef("v1", "ConfigMap", each.namespace, each.name, cluster=cluster),
                    workload=ObjectRef("apps/v1", depends.kind, each.namespace, depends.name, cluster=cluster),
                    after=each.after,
                    reloads=each.reloads,
                )
            )
    return found


def outside_settings(configuration: Configuration) -> OutsideSettings:
    """Return what may be reached beyond Kubernetes; a host that is allowed is so by http and by https."""
    settings, secrets = configuration.settings, configuration.secrets.peers
    return OutsideSettings(
        prometheus=settings.prometheus.url if settings.prometheus else "",
        prometheus_token=configuration.secrets.prometheus,
        allowed=origins_of_hosts(settings.http.hosts),
        deadline=settings.prometheus.timeout if settings.prometheus else 10.0,
        http_secrets={
            name: HttpSecret(value=each.prefix + secrets[f"http/{name}"], origins=origins_of_hosts(each.hosts))
            for name, each in settings.http.secrets.items()
            if secrets.get(f"http/{name}")
        },
        sql={
            name: SqlPeer(
                dsn=secrets.get(f"sql/{name}", ""),
                host=each.host,
                port=each.port,
                database=each.database,
                user=each.user,
                password=secrets.get(f"sql-password/{name}", ""),
                tls=_peer_tls(each.tls),
                connect=each.connect_timeout,
            )
            for name, each in settings.sql.items()
        },
        redis={name: _redis_peer(name, each, secrets) for name, each in settings.redis_peers.items()},
        commands={
            name: CommandPeer(run=each.run, arguments=each.arguments, timeout=each.timeout)
            for name, each in settings.commands.items()
        },
        exec_allow=settings.exec.allow,
        tls_pairs={name: TlsPair(each.cert_file, each.key_file) for name, each in settings.tls_pairs.items()},
        alertmanager=settings.alertmanager.url if settings.alertmanager else "",
        alertmanager_token=secrets.get("alertmanager/token", ""),
        alertmanager_deadline=settings.alertmanager.timeout if settings.alertmanager else 10.0,
        channels={
            name: Channel(url=secrets.get(f"notify/{name}", ""), deadline=each.timeout)
            for name, each in settings.notify.channels.items()
        },
    )


def _redis_peer(name: str, spec: RedisPeerSpec, secrets: Mapping[str, str]) -> RedisPeer:
    return RedisPeer(
        address=spec.address,
        sentinels=spec.sentinel.addresses if spec.sentinel else (),
        master=spec.sentinel.master if spec.sentinel else "",
        username=spec.username,
        password=secrets.get(f"redis/{name}", ""),
        sentinel_password=secrets.get(f"sentinel/{name}", ""),
        tls=_peer_tls(spec.tls),
        deadline=spec.deadline,
    )


def _peer_tls(spec: PeerTlsSpec | None) -> PeerTls | None:
    return PeerTls(spec.ca_file, spec.cert_file, spec.key_file) if spec else None


def entry_guards(configuration: Callable[[], Configuration]) -> list[EntryGuard]:
    """Return the entry guards in their order; they use the configuration of now."""
    return [
        PauseGuard(),
        MaintenanceGuard(lambda: configuration().settings.maintenance),
        SilenceGuard(),
        HoldOffGuard(),
        FreshnessGuard(),
        EffectivenessGuard(),
        CooldownGuard(),
        AttemptsGuard(),
        AgainGuard(),
        RunLimitsGuard(lambda: configuration().settings.run_limits),
    ]


def plan_guards(
    configuration: Configuration, env: Mapping[str, str], budgets: Budgets | None = None
) -> list[PlanGuard]:
    """Return the plan guards in their order, for the configuration of now; the budget comes last, where there is one.

    What another guard denies is to cost nothing.
    """
    settings, own = configuration.settings, configuration.settings.own
    parts = OwnParts(
        cluster=own.cluster,
        namespace=own.namespace,
        pod=own.pod,
        node=env.get("NODE_NAME", ""),
        workloads=own.workloads,
        redis=own.redis,
        uids=(*own.uids, *filter(None, (env.get("POD_UID", ""),))),
    )
    protected = ProtectedGuard(settings.protected_namespaces, drains=settings.drain_protected)
    guards: list[PlanGuard] = [
        protected,
        OwnPartGuard(parts),
        OwnerGuard(),
        ReversibleGuard(),
        ChangesGuard(settings.changes),
    ]
    return [*guards, BudgetGuard(budgets, settings.budgets)] if budgets is not None else guards


def needs_restart(started: Settings, new: Settings) -> list[str]:
    """Return the settings that differ from those that the process started with and are not taken up by a reload."""
    differ = [
        name
        for name in Settings.model_fields
        if name not in _TAKEN_UP | {"clusters", "notify"} and getattr(started, name) != getattr(new, name)
    ]
    if started.notify.channels != new.notify.channels:
        differ.append("notify.channels")
    if started.clusters.connections != new.clusters.connections:
        differ.append("clusters.connections")
    return sorted(differ)
