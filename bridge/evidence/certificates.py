"""Collector `certificates`: the dates of every TLS Secret of a namespace that may be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.certificate import DAY
from bridge.evidence.objects import PlaceParams, meta, place
from bridge.evidence.x509 import read_certificate
from bridge.model.permission import Permission
from bridge.model.permits import permit
from bridge.model.target import ObjectRef, check_name
from bridge.model.workload import Document, at, format_time
from bridge.ports import ActionContext

_MOST_SECRETS = 500
_MOST_ITEMS = 100


class CertificatesParams(PlaceParams):
    secret: str | None = Field(default=None, description="Only this Secret; left out: all of type kubernetes.io/tls.")
    key: str = Field(default="tls.crt", description="The Secret's key that holds it, such as `ca-cert.pem`.")
    days: float = Field(default=30, ge=0, description="Certificates with fewer days left count as `expiring`.")


class TlsItem(Facts):
    secret: str = Field(description="Name of the Secret.")
    days_left: float | None = Field(description="Days that are left; below 0: it has expired; null: not readable.")
    not_after: str = Field(description="When it expires, as RFC 3339; empty: not readable.")
    not_after_at: float = Field(description="When it expires.")
    not_before_at: float = Field(description="Since when it is valid.")
    subject: str = Field(description="Whom it is for.")
    issuer: str = Field(description="Who issued it.")
    dns_names: list[str] = Field(description="The names that it is for.")
    serial: str = Field(description="Its serial number, hexadecimal.")
    error: str = Field(description="Why it cannot be read; empty: it can.")


class CertificatesFacts(Facts):
    total: int = Field(description="Certificates that there are.")
    expired: int = Field(description="Those that are not valid any more.")
    expiring: int = Field(description="Those with fewer than `days` days left, the expired ones included.")
    not_yet_valid: int = Field(description="Those that are not valid yet.")
    unreadable: int = Field(description="Those that are none.")
    days_left: float | None = Field(description="Days that the first one to expire has left; null: there is none.")
    truncated: bool = Field(description="Whether there are more than were read.")
    items: list[TlsItem] = Field(description="The certificates, those that expire first in front, 100 at most.")


class Certificates(BaseCollector):
    """Missing unless the namespace is in `secret_namespaces`. Keys are never looked at."""

    name = "certificates"
    summary = "The dates of every TLS Secret in a namespace, from the certificates themselves."
    params: type[BaseModel] = CertificatesParams
    result: type[BaseModel] = CertificatesFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return [permit("v1", "Secret", "get" if params.get("secret") else "list")]

    async def gather(self, context: ActionContext, params: CertificatesParams) -> CertificatesFacts:
        """Return the dates. Raises SecretsClosed where Secrets may not be read."""
        cluster, namespace = context.reach.cluster, place(context, params)
        if params.secret:
            name = check_name(params.secret)
            secrets = [await cluster.get(ObjectRef("v1", "Secret", namespace, name, cluster=cluster.name))]
        else:
            secrets = await cluster.list(
                "v1", "Secret", namespace, fields={"type": "kubernetes.io/tls"}, limit=_MOST_SECRETS
            )
        now = context.reach.clock.now()
        items = [_item(secret, params.key, now) for secret in secrets]
        items.sort(key=lambda item: (item.days_left is None, item.days_left or 0.0, item.secret))
        left = [item.days_left for item in items if item.days_left is not None]
        return CertificatesFacts(
            total=len(items),
            expired=sum(days <= 0 for days in left),
            expiring=sum(days < params.days for days in left),
            not_yet_valid=sum(item.not_before_at > now for item in items),
            unreadable=sum(bool(item.error) for item in items),
            days_left=min(left, default=None),
            truncated=len(secrets) >= _MOST_SECRETS,
            items=items[:_MOST_ITEMS],
        )


def _item(secret: Document, key: str, now: float) -> TlsItem:
    try:
        dates = read_certificate(at(secret, "data", key))
    except ValueError as error:
        return TlsItem(
            secret=meta(secret, "name"),
            days_left=None,
            not_after="",
            not_after_at=0.0,
            not_before_at=0.0,
            subject="",
            issuer="",
            dns_names=[],
            serial="",
            error=f"{error} in {key}",
        )
    return TlsItem(
        secret=meta(secret, "name"),
        days_left=round((dates.not_after_at - now) / DAY, 3),
        not_after=format_time(dates.not_after_at),
        not_after_at=dates.not_after_at,
        not_before_at=dates.not_before_at,
        subject=dates.subject,
        issuer=dates.issuer,
        dns_names=list(dates.dns_names),
        serial=dates.serial,
        error="",
    )
