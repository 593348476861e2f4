"""Where the server listens, who may call it, and how much it takes in."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from bridge.model.fields import Name, Positive, Texts, as_list
from bridge.model.principal import EVERYBODY, Role
from bridge.model.runbook import Duration, Strict
from bridge.settings.fields import Size


class Tls(Strict):
    cert_file: str
    """The server's certificate with its chain (PEM)."""
    key_file: str
    """Its key (PEM)."""
    client_ca_file: str = ""
    """With it, clients may present a certificate of this authority (credentials of type `certificate`)."""


class Listen(Strict):
    host: str = "127.0.0.1"
    """Address to listen on; beyond loopback only with a credential."""
    port: int = Field(default=9877, ge=0, le=65535)
    """0 takes a free one."""
    tls: Tls | None = None
    """Serve HTTPS; plain HTTP without."""


class CredentialSpec(Strict):
    """One caller. Its name is the source of the alerts that come in with it and stands in the audit trail."""

    name: Name
    """Who it is. Senders with one name, such as a pair of Alertmanagers, are one source."""
    type: Literal["bearer", "basic", "hmac", "certificate"]
    """Bearer token, user name with password, signature of the body, or client certificate."""
    roles: Annotated[tuple[Role, ...], BeforeValidator(as_list), Field(min_length=1)] = (Role.SENDER,)
    """What it may: post alerts, read, or also trigger, approve, cancel and pause."""
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
        if self.name == EVERYBODY.name:
            raise ValueError(f"{self.name!r} is whoever calls while there are no credentials: take another name")
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
    """Longest body of a request, in bytes or as `16MiB`; beyond it the answer is 413."""
    header_timeout: Duration = 3.0
    """For the header of a request to come."""
    body_timeout: Duration = 6.0
    """For its body to come, longer as long as it flows."""
    connections: Positive = 1000
    """Open at a time; beyond it an idle one makes room."""
    alerts: Positive = 20_000
    """In one request."""
    labels: Positive = 128
    """Of one alert, and as many annotations."""
    label_length: Size = 8 << 10
    """Longest name or value of a label, in characters; an alert with a longer one is refused."""
    alert_length: Size = 256 << 10
    """Labels and annotations of one alert together."""
    pending_alerts: Positive = 200_000
    """That wait for the store at a time; beyond it the answer is 503."""

    @model_validator(mode="after")
    def _slow_clients(self) -> Limits:
        if self.header_timeout + self.body_timeout > 10:
            raise ValueError("header_timeout and body_timeout together are at most 10s: a slow client is cut by then")
        return self


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
