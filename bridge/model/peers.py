"""The schema of what `bridge.yml` says about peers beside Kubernetes: databases, Redis, HTTP, commands, channels.

Secrets are named by the file or the environment variable that holds them; bridge.configuration.secrets reads those.
Everything is empty by default: nothing is reached, and no command is run, that was not written down here.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from pydantic import AfterValidator, Field, model_validator

from bridge.errors import InvalidInput
from bridge.model.fields import Name, Texts
from bridge.model.regex import compile_anchored
from bridge.model.runbook import Duration, Strict


class PeerName(msgspec.Struct, frozen=True):
    """Marks a parameter that names a peer (or maps to such names), and says where in the settings those stand.

    Of `http.hosts` it is an address at one of them, of `exec.allow` an argument list that one of those allows.
    """

    setting: str


MORE = "..."
"""As the last of a list of patterns: any further arguments."""

_SENTINEL_PORT = 26379
_REDIS_PORT = 6379
_DEADLINE = Field(gt=0, le=300)


def _pattern(value: str) -> str:
    if value != MORE:
        try:
            compile_anchored(value)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
    return value


def _more_at_the_end(values: tuple[str, ...]) -> tuple[str, ...]:
    if MORE in values[:-1]:
        raise ValueError(f"`{MORE}` stands for any further arguments: it can only be the last")
    return values


def address(value: str, port: int) -> str:
    """Return `host:port`, with `port` where none is given; raise ValueError."""
    host, colon, given = value.rpartition(":")
    bare = not colon or value.endswith("]")
    host, number = (value, port) if bare else (host, int(given) if given.isdecimal() else 0)
    if not host or "/" in value or "@" in value or not 0 < number < 65536:
        raise ValueError(f"expected host:port, got {value!r}")
    return f"{host}:{number}"


def _hosts(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            parts = urlsplit(f"http://{value}")
            plain = parts.hostname and parts.netloc == value and "@" not in value and parts.port != 0
        except ValueError:
            plain = False
        if not plain or any(ord(c) <= 32 or c == "\\" for c in value):
            raise ValueError(f"expected host or host:port, got {value!r}")
    return values


def _redis_address(value: str) -> str:
    return address(value, _REDIS_PORT) if value else value


def _sentinel_addresses(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(address(value, _SENTINEL_PORT) for value in values)


Hosts = Annotated[Texts, AfterValidator(_hosts)]
Pattern = Annotated[str, AfterValidator(_pattern)]
"""A regular expression (RE2) that has to match a whole argument."""
Patterns = Annotated[tuple[Pattern, ...], AfterValidator(_more_at_the_end)]


SqlName = Annotated[str, PeerName("sql")]
RedisName = Annotated[str, PeerName("redis_peers")]
CommandName = Annotated[str, PeerName("commands")]
ChannelName = Annotated[str, PeerName("notify.channels")]
AllowedUrl = Annotated[str, PeerName("http.hosts")]
AllowedCommand = Annotated[tuple[str, ...], PeerName("exec.allow")]
SecretHeaders = Annotated[dict[str, str], PeerName("http.secrets")]


class PeerTlsSpec(Strict):
    """TLS with the server's certificate checked."""

    ca_file: str = ""
    """Authority (PEM) of the server's certificate; empty: those of the system."""
    cert_file: str = ""
    """Our own certificate (PEM), where the server wants one."""
    key_file: str = ""
    """Its key; empty: in `cert_file` as well."""


class TlsPairSpec(Strict):
    """A certificate with its chain, and its key, in files of this host (PEM): a pair that a rotation may take."""

    cert_file: str = Field(min_length=1)
    """The certificate with its chain."""
    key_file: str = Field(min_length=1)
    """Its key."""


class SqlPeerSpec(Strict):
    """One PostgreSQL database: a DSN from a file or the environment, or its parts."""

    dsn_file: str = ""
    """File with the DSN, such as `postgresql://user:password@host/database`."""
    dsn_env: str = ""
    """Environment variable with the DSN."""
    host: str = ""
    """A name, an address, or the folder of a unix socket."""
    port: int = Field(default=5432, ge=1, le=65535)
    """With `host`."""
    database: str = ""
    """With `host`: the name of the database."""
    user: str = ""
    """With `host`: who we are there."""
    password_file: str = ""
    """With `host`: file with the password."""
    password_env: str = ""
    """With `host`: environment variable with the password."""
    tls: PeerTlsSpec | None = None
    """With `host`: TLS, with the server's certificate checked."""
    connect_timeout: Annotated[Duration, _DEADLINE] = 5.0
    """How long it may take to connect."""

    @model_validator(mode="after")
    def _one_way(self) -> SqlPeerSpec:
        if sum((bool(self.dsn_file), bool(self.dsn_env), bool(self.host))) != 1:
            raise ValueError("expected one of `dsn_file`, `dsn_env` and `host`")
        if self.host and not (self.database and self.user):
            raise ValueError("with `host` it needs `database` and `user`")
        if not self.host and (self.database or self.user or self.password_file or self.password_env or self.tls):
            raise ValueError("with a DSN everything is in the DSN")
        if self.password_file and self.password_env:
            raise ValueError("expected one of `password_file` and `password_env`")
        return self


class PeerSentinels(Strict):
    addresses: Annotated[Texts, Field(min_length=1), AfterValidator(_sentinel_addresses)]
    """`host:port` of each sentinel; the port is 26379 when it is not given."""
    master: str = "mymaster"
    """The name that they know the master by."""
    password_file: str = ""
    """File with the sentinels' own password; empty: none."""
    password_env: str = ""
    """Environment variable with it."""


class RedisPeerSpec(Strict):
    """Somebody's Redis, not the one of our own state: one server, or what Sentinels watch."""

    address: Annotated[str, AfterValidator(_redis_address)] = ""
    """`host:port` of the server; the port is 6379 when it is not given."""
    sentinel: PeerSentinels | None = None
    """Sentinels, in place of `address`."""
    username: str = ""
    """User of its ACL; empty: the default one."""
    password_file: str = ""
    """File with its password."""
    password_env: str = ""
    """Environment variable with its password."""
    tls: PeerTlsSpec | None = None
    """TLS, with the server's certificate checked."""
    deadline: Annotated[Duration, _DEADLINE] = 5.0
    """How long one exchange with it may take."""

    @model_validator(mode="after")
    def _one_way(self) -> RedisPeerSpec:
        if bool(self.address) == (self.sentinel is not None):
            raise ValueError("expected one of `address` and `sentinel`")
        return self


class HttpSecretSpec(Strict):
    """A header's value that requests name and never hold."""

    secret_file: str = ""
    """File with the value."""
    secret_env: str = ""
    """Environment variable with the value."""
    prefix: str = ""
    """Put before it, e.g. `Bearer `."""
    hosts: Hosts = ()
    """The hosts that may get it; none given: any of `http.hosts`."""
    optional: bool = False
    """It may be missing: a request that names it is refused then, and the configuration is right all the same."""

    @model_validator(mode="after")
    def _one_place(self) -> HttpSecretSpec:
        if bool(self.secret_file) == bool(self.secret_env):
            raise ValueError("expected one of `secret_file` and `secret_env`, the place of its value")
        return self


class Http(Strict):
    hosts: Hosts = ()
    """`host` or `host:port` that may be asked by HTTP; nothing else is ever fetched."""
    secrets: dict[Name, HttpSecretSpec] = Field(default={})
    """Values of headers, by the names that runbooks call them; sent, never shown."""


class CommandSpec(Strict):
    """A program on the worker's host. It is started as it is, never by a shell."""

    run: Annotated[tuple[str, ...], Field(min_length=1)]
    """Its absolute path and the fixed first arguments."""
    arguments: Patterns = ()
    """A regular expression for each further argument that a step gives; none: it gives none."""
    timeout: Annotated[Duration, Field(gt=0, le=3600)] = 60.0
    """How long it may run; then it is ended."""

    @model_validator(mode="after")
    def _absolute(self) -> CommandSpec:
        if not self.run[0].startswith("/"):
            raise ValueError(f"run: expected the program's absolute path, got {self.run[0]!r}")
        return self


class ExecSpec(Strict):
    """What may be run in containers."""

    allow: tuple[Annotated[Patterns, Field(min_length=1)], ...] = ()
    """Argument lists; a regular expression for each argument, and a last `...` for any further ones."""

    @model_validator(mode="after")
    def _programs(self) -> ExecSpec:
        if any(patterns[0] == MORE for patterns in self.allow):
            raise ValueError("allow: a list begins with a program")
        return self


class ChannelSpec(Strict):
    """Where messages go: an address as apprise takes it. It holds credentials, so it stands in a file."""

    url_file: str = ""
    """File with the address."""
    url_env: str = ""
    """Environment variable with the address."""
    timeout: Annotated[Duration, Field(gt=0, le=60)] = 15.0
    """How long one message may take to be sent."""
    optional: bool = False
    """Its address may be missing: nothing is sent then, and the configuration is right all the same."""

    @model_validator(mode="after")
    def _one_place(self) -> ChannelSpec:
        if bool(self.url_file) == bool(self.url_env):
            raise ValueError("expected one of `url_file` and `url_env`, the place of its address")
        return self
