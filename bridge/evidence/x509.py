"""Read certificates: their dates and names, never a key. Used by `certificate` and `certificates`."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

_LARGEST_PEM = 256 * 1024
_MOST_NAMES = 50


class Dates(msgspec.Struct, frozen=True):
    """What is of interest in a certificate. Times are unix seconds."""

    not_before_at: float
    not_after_at: float
    serial: str
    subject: str
    issuer: str
    dns_names: tuple[str, ...]


def read_certificate(encoded: object) -> Dates:
    """Return the facts of the first certificate in a Secret's value (base64 of PEM); the rest is its chain.

    Raises ValueError, whose text quotes nothing of it.
    """
    try:
        return read_pem(base64.b64decode(encoded if isinstance(encoded, str | bytes) else "", validate=True))
    except (binascii.Error, TypeError) as error:
        raise ValueError(f"no readable certificate ({type(error).__name__})") from None


def read_pem(pem: bytes) -> Dates:
    """Return the facts of the first certificate in PEM. Raises ValueError, whose text quotes nothing of it."""
    # It is a heavy import that few runs need.
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificate(pem[:_LARGEST_PEM])
        return Dates(
            not_before_at=found.not_valid_before_utc.timestamp(),
            not_after_at=found.not_valid_after_utc.timestamp(),
            serial=f"{found.serial_number:x}",
            subject=found.subject.rfc4514_string()[:400],
            issuer=found.issuer.rfc4514_string()[:400],
            dns_names=_dns_names(found),
        )
    except (ValueError, TypeError) as error:
        raise ValueError(f"no readable certificate ({type(error).__name__})") from None


def _dns_names(certificate: Any) -> tuple[str, ...]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(str(name) for name in names.get_values_for_type(x509.DNSName)[:_MOST_NAMES])
