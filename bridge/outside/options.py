"""What the peers beside Kubernetes are: addresses, credentials, bounds. Pure data, made by wiring.

Values that are secret are in these structs in the open, so that none of them is ever shown: `repr` leaves them out.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class _Unshown(msgspec.Struct, frozen=True, kw_only=True):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class PeerTls(msgspec.Struct, frozen=True):
    """TLS to a peer, with its certificate checked; an own certificate where `cert_file` is given."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


class SqlPeer(_Unshown, frozen=True, kw_only=True):
    """One database. With a `dsn` (secret) everything is in there."""

    dsn: str = ""
    host: str = ""
    port: int = 5432
    database: str = ""
    user: str = ""
    password: str = ""
    tls: PeerTls | None = None
    connect: float = 5.0
    """Seconds that connecting may take."""


class RedisPeer(_Unshown, frozen=True, kw_only=True):
    """Somebody's Redis: one `address` (host:port), or what the `sentinels` call `master`."""

    address: str = ""
    sentinels: tuple[str, ...] = ()
    master: str = "mymaster"
    username: str = ""
    password: str = ""
    sentinel_password: str = ""
    tls: PeerTls | None = None
    deadline: float = 5.0
    """Seconds that one command may take, connecting included."""


class HttpSecret(_Unshown, frozen=True, kw_only=True):
    """The value of a header that `http` sends by its name; `origins` (empty: any that is allowed) may get it."""

    value: str
    origins: tuple[str, ...] = ()


class CommandPeer(msgspec.Struct, frozen=True, kw_only=True):
    """A program of this host: its fixed first arguments, and an expression for each further one."""

    run: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    timeout: float = 60.0
    """Seconds that it may run at most."""


class Channel(_Unshown, frozen=True, kw_only=True):
    """Where messages go: an address as apprise takes it, with its credentials."""

    url: str
    deadline: float = 15.0
    """Seconds that sending may take."""


class TlsPair(_Unshown, frozen=True):
    """Where a certificate and its key lie on this host, as PEM."""

    cert_file: str
    key_file: str


class OutsideSettings(_Unshown, frozen=True, kw_only=True):
    """Everything that is reached beside Kubernetes. Empty by default: nothing is."""

    prometheus: str = ""
    """Base address, e.g. `http://prometheus:9090`; empty: none is configured."""
    prometheus_token: str = ""
    allowed: tuple[str, ...] = ()
    """`host` (at its scheme's own port), `host:port` or `scheme://host:port` that may be asked by HTTP."""
    deadline: float = 10.0
    """Seconds that one query or HTTP check may take."""
    http_secrets: Mapping[str, HttpSecret] = {}
    sql: Mapping[str, SqlPeer] = {}
    redis: Mapping[str, RedisPeer] = {}
    commands: Mapping[str, CommandPeer] = {}
    exec_allow: tuple[tuple[str, ...], ...] = ()
    """Argument lists that may be run in containers: an expression for each argument; a last `...` allows more."""
    channels: Mapping[str, Channel] = {}
    alertmanager: str = ""
    """Base address; empty: none is configured."""
    alertmanager_token: str = ""
    alertmanager_deadline: float = 10.0
    tls_pairs: Mapping[str, TlsPair] = {}
