"""Collector `certificate`: how long a certificate is valid, from the certificate itself where that may be read."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from pydantic import BaseModel

from bridge.errors import KubeNotFound, PermanentError, SecretsClosed
from bridge.evidence.objects import ObjectParams, object_ref
from bridge.model.target import ObjectRef
from bridge.model.workload import Document, at, condition, format_time, number, parse_time
from bridge.ports import ActionContext

CERT_MANAGER = "cert-manager.io/v1"
_DAY = 86400.0
_LARGEST_PEM = 256 * 1024


class CertificateParams(ObjectParams):
    from_secret: bool = False
    """Whether only the certificate in the Secret will do: without leave to read it the evidence is missing."""


class CertificateEvidence:
    """Implements bridge.ports.Collector. Reading Secrets is opt-in, and the cluster refuses it elsewhere."""

    name = "certificate"
    summary = "A cert-manager Certificate: ready, issuing, revision, and the days that are left."
    params: type[BaseModel] = CertificateParams

    async def collect(self, context: ActionContext, params: CertificateParams) -> dict[str, Any]:
        """Return its state. `source` is `secret` when the dates are the certificate's own, else `status`.

        Raises PermanentError when there is no certificate yet or it may not be read where that is asked.
        """
        ref = object_ref(context, params, CERT_MANAGER, ("Certificate",))
        document = await context.reach.cluster.get(ref)
        secret = str(at(document, "spec", "secretName") or "")
        try:
            facts = await _from_secret(context, ref.namespace, secret)
        except SecretsClosed:
            if params.from_secret:
                raise
            facts = _from_status(document, ref)
        ready, issuing = condition(document, "Ready"), condition(document, "Issuing")
        days = (facts["not_after_at"] - context.reach.clock.now()) / _DAY
        return {
            "name": ref.name,
            "secret": secret,
            "ready": ready.get("status") == "True",
            "issuing": issuing.get("status") == "True",
            "revision": number(document, "status", "revision"),
            "message": str(ready.get("message") or ""),
            "last_failure_at": parse_time(at(document, "status", "lastFailureTime")),
            "days_left": round(days, 3),
            **facts,
        }


def _from_status(document: Document, ref: ObjectRef) -> dict[str, Any]:
    not_after = at(document, "status", "notAfter")
    if not parse_time(not_after):
        raise PermanentError(f"{ref} has no date of expiry in its status: it was not issued yet")
    return {
        "source": "status",
        "not_after": str(not_after),
        "not_after_at": parse_time(not_after),
        "not_before_at": parse_time(at(document, "status", "notBefore")),
        "serial": "",
        "dns_names": [str(name) for name in at(document, "spec", "dnsNames") or []][:50],
    }


async def _from_secret(context: ActionContext, namespace: str, name: str) -> dict[str, Any]:
    # It is a heavy import that few runs need.
    from cryptography import x509

    ref = ObjectRef("v1", "Secret", namespace, name, cluster=context.target.cluster)
    try:
        secret = await context.reach.cluster.get(ref)
    except KubeNotFound as error:
        raise PermanentError(f"{ref} does not exist: the certificate was not issued yet") from error
    encoded = at(secret, "data", "tls.crt")
    try:
        pem = base64.b64decode(encoded or "", validate=True)
        # The first one is the certificate itself, the rest is its chain.
        found = x509.load_pem_x509_certificate(pem[:_LARGEST_PEM])
    except (binascii.Error, ValueError, TypeError) as error:
        # The error's own text could quote the Secret.
        raise PermanentError(f"{ref} has no readable certificate in tls.crt ({type(error).__name__})") from None
    expiry = found.not_valid_after_utc.timestamp()
    return {
        "source": "secret",
        "not_after": format_time(expiry),
        "not_after_at": expiry,
        "not_before_at": found.not_valid_before_utc.timestamp(),
        "serial": f"{found.serial_number:x}",
        "dns_names": _dns_names(found),
    }


def _dns_names(certificate: Any) -> list[str]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [str(name) for name in names.get_values_for_type(x509.DNSName)][:50]
