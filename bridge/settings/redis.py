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
