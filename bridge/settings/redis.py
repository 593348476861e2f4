"""The Redis of our own state."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from bridge.model.fields import Positive, Texts
from bridge.model.runbook import Duration, Strict


class Sentinel(Strict):
    addresses: Annotated[Texts, Field(min_length=1)]
    """`host:port` of each sentinel; the port is 26379 when it is not given."""
    master: str = "mymaster"
    """The name that they know the master by."""
    password_file: str = ""
    """File with the sentinels' own password; empty: none."""


class RedisTls(Strict):
    ca_file: str = ""
    """Authority (PEM) that has signed the server's certificate; empty: those of the system."""
    cert_file: str = ""
    """Our own certificate (PEM), where the server wants one."""
    key_file: str = ""
    """Its key; empty: in `cert_file` as well."""


class RedisSettings(Strict):
    """Which Redis: exactly one of `url`, `sentinel` and `cluster`; with none a private one in `data_dir`."""

    url: str = ""
    """`redis://`, `rediss://` or `unix://`."""
    sentinel: Sentinel | None = None
    """Sentinels that know where the master is."""
    cluster: str = ""
    """Address (URL) of any node."""
    tls: RedisTls | None = None
    """Authority and certificate for a connection with TLS."""
    username: str = ""
    """User of its ACL; empty: the default one."""
    password_file: str = ""
    """File with its password."""
    password_env: str = ""
    """Environment variable with its password."""
    min_replicas: int = Field(default=0, ge=0)
    """2xx only after this many replicas have the alerts."""
    deadline: Annotated[Duration, Field(gt=0, le=30)] = 2.0
    """How long one exchange with it may take."""
    connections: Positive = 32
    """Most connections of this process to it."""
    data_dir: str = "alertbridge-data"
    """Folder of the private Redis, of one process at a time."""
    fsync: Literal["everysec", "always"] = "everysec"
    """Of the private Redis: a power loss costs 2 s of accepted alerts at most, or nothing, at a flush per webhook."""
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
