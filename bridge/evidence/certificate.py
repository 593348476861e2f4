"""Collector `certificate`: how long a certificate is valid, from the certificate itself where that may be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.errors import KubeNotFound, PermanentError, SecretsClosed
from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import ObjectParams, object_ref
from bridge.evidence.x509 import Dates, read_certificate
from bridge.model.permission import Permission
from bridge.model.permits import permit
from bridge.model.target import ObjectRef
from bridge.model.workload import Document, at, condition, format_time, number, parse_time
from bridge.ports import ActionContext

CERT_MANAGER = "cert-manager.io/v1"
DAY = 86400.0


class CertificateParams(ObjectParams):
    from_secret: bool = Field(
        default=False,
        description="Whether only the certificate in the Secret will do: missing unless it may be read "
        "(`secret_namespaces`).",
    )


class CertificateFacts(Facts):
    name: str = Field(description="Its name.")
    secret: str = Field(description="Name of the Secret that holds it.")
    ready: bool = Field(description="Whether cert-manager says that it is ready.")
    issuing: bool = Field(description="Whether it is being issued.")
    revision: int = Field(description="How often it was issued.")
    message: str = Field(description="Why it is ready or not, in cert-manager's words.")
    last_failure_at: float = Field(description="When issuing it failed last.")
    days_left: float = Field(description="Days that are left; less than 0: it has expired.")
    source: str = Field(description="Where the dates are from: `secret` (the certificate itself) or `status`.")
    not_after: str = Field(description="When it expires, as RFC 3339.")
    not_after_at: float = Field(description="When it expires.")
    not_before_at: float = Field(description="Since when it is valid.")
    serial: str = Field(description="Its serial number, hexadecimal; empty: not known.")
    dns_names: list[str] = Field(description="The names that it is for.")


class CertificateEvidence(BaseCollector):
    """Reading Secrets is opt-in, and the cluster refuses it elsewhere."""

    name = "certificate"
    summary = "A cert-manager Certificate: ready, issuing, revision, and the days that are left."
    params: type[BaseModel] = CertificateParams
    result: type[BaseModel] = CertificateFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        secret = permit("v1", "Secret", "get", optional=params.get("from_secret") in (None, False))
        return [permit(CERT_MANAGER, "Certificate", "get"), secret]

    async def gather(self, context: ActionContext, params: CertificateParams) -> CertificateFacts:
        """Return its state. `source` is `secret` when the dates are the certificate's own, else `status`.

        Raises PermanentError when there is no certificate yet or it may not be read where that is asked.
        """
        ref = object_ref(context, params, CERT_MANAGER, ("Certificate",))
        document = await context.reach.cluster.get(ref)
        secret = str(at(document, "spec", "secretName") or "")
        try:
            dates, source = await _from_secret(context, ref.namespace, secret), "secret"
        except SecretsClosed:
            if params.from_secret:
                raise
            dates, source = _from_status(document, ref), "status"
        ready = condition(document, "Ready")
        return CertificateFacts(
            name=ref.name,
            secret=secret,
            ready=ready.get("status") == "True",
            issuing=condition(document, "Issuing").get("status") == "True",
            revision=number(document, "status", "revision"),
            message=str(ready.get("message") or ""),
            last_failure_at=parse_time(at(document, "status", "lastFailureTime")),
            days_left=round((dates.not_after_at - context.reach.clock.now()) / DAY, 3),
            source=source,
            not_after=format_time(dates.not_after_at),
            not_after_at=dates.not_after_at,
            not_before_at=dates.not_before_at,
            serial=dates.serial,
            dns_names=list(dates.dns_names),
        )


def _from_status(document: Document, ref: ObjectRef) -> Dates:
    not_after = parse_time(at(document, "status", "notAfter"))
    if not not_after:
        raise PermanentError(f"{ref} has no date of expiry in its status: it was not issued yet")
    names = tuple(str(name) for name in (at(document, "spec", "dnsNames") or [])[:50])
    return Dates(parse_time(at(document, "status", "notBefore")), not_after, "", "", "", names)


async def _from_secret(context: ActionContext, namespace: str, name: str) -> Dates:
    ref = ObjectRef("v1", "Secret", namespace, name, cluster=context.target.cluster)
    try:
        secret = await context.reach.cluster.get(ref)
    except KubeNotFound as error:
        raise PermanentError(f"{ref} does not exist: the certificate was not issued yet") from error
    try:
        return read_certificate(at(secret, "data", "tls.crt"))
    except ValueError as error:
        raise PermanentError(f"{ref}: {error} in tls.crt") from None
