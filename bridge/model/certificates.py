"""Certificates and keys: making a self-signed pair, and what one says. Pure but for the key's randomness.

Keys go in and out as PEM bytes and are part of no error's text.
Source: RFC 5280 (profile), RFC 6125 (names); `cryptography` does the work.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

KeyType = Literal["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072", "rsa-4096", "ed25519"]
_LARGEST = 256 * 1024
_EARLY = timedelta(minutes=5)
"""Clocks differ: a new certificate is valid since a little before it was made."""
_LONGEST_COMMON_NAME = 64


class BadPair(ValueError):
    """Something that is no certificate, or no pair; its text quotes nothing of it."""


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate says. Times are unix seconds."""

    serial: str
    """Hexadecimal."""
    fingerprint: str
    """SHA-256 of its DER form, hexadecimal."""
    not_before: float
    not_after: float
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]

    def days_left(self, now: float) -> float:
        return (self.not_after - now) / 86400.0

    def covers(self, other: Leaf) -> list[str]:
        """Return the names of `other` that this one is not for; a wildcard covers one label."""
        missing = [name for name in other.dns_names if not any(_covers(own, name) for own in self.dns_names)]
        return missing + [address for address in other.ip_addresses if address not in self.ip_addresses]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a self-signed certificate is to be."""

    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...] = ()
    common_name: str = ""
    seconds: float
    key_type: KeyType = "ecdsa-p256"
    serial: int
    at: float
    """When it begins, unix seconds."""


def read_leaf(pem: bytes) -> Leaf:
    """Return what the first certificate of a PEM text says; the rest is its chain. Raises BadPair."""
    found = _leaf(pem)
    names, addresses = _names(found)
    der = _der(found)
    return Leaf(
        serial=f"{found.serial_number:x}",
        fingerprint=hashlib.sha256(der).hexdigest(),
        not_before=found.not_valid_before_utc.timestamp(),
        not_after=found.not_valid_after_utc.timestamp(),
        dns_names=names,
        ip_addresses=addresses,
    )


def is_pair(certificate: bytes, key: bytes) -> bool:
    """Whether the private key belongs to the first certificate; False also for what is no key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        private = load_pem_private_key(key[:_LARGEST], password=None)
        return private.public_key().public_bytes(*form) == _leaf(certificate).public_key().public_bytes(*form)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def self_signed(wanted: Wanted) -> tuple[bytes, bytes]:
    """Return certificate and key as PEM. It takes up to seconds for large RSA keys: call it in a thread."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = _new_key(wanted.key_type)
    common = wanted.common_name or next((n for n in wanted.dns_names if len(n) <= _LONGEST_COMMON_NAME), "")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])
    begins = datetime.fromtimestamp(int(wanted.at), UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in wanted.dns_names]
    names += [x509.IPAddress(ip_address(address)) for address in wanted.ip_addresses]
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    public = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(wanted.serial)
        .not_valid_before(begins - _EARLY)
        .not_valid_after(begins + timedelta(seconds=int(wanted.seconds)))
        .add_extension(x509.SubjectAlternativeName(names), critical=not common)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(isinstance(key, rsa.RSAPrivateKey)), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    made = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM), secret


def serial_of(remediation: str, namespace: str, name: str) -> int:
    """Return the serial number that a remediation gives the certificate of a Secret: by it, it knows its work again.

    Positive and of 20 octets at most, as RFC 5280, 4.1.2.2 wants it.
    """
    text = f"{remediation}\n{namespace}/{name}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:16], "big") | 1


def _new_key(key_type: KeyType) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if key_type == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if key_type.startswith("rsa-"):
        return rsa.generate_private_key(public_exponent=65537, key_size=int(key_type.removeprefix("rsa-")))
    return ec.generate_private_key(ec.SECP256R1() if key_type == "ecdsa-p256" else ec.SECP384R1())


def _usage(encipherment: bool) -> Any:
    from cryptography import x509

    off = dict.fromkeys(
        (
            "content_commitment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(digital_signature=True, key_encipherment=encipherment, **off)


def _leaf(pem: bytes) -> Certificate:
    # It is a heavy import that few runs need.
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(pem[:_LARGEST])
    except (ValueError, TypeError) as error:
        raise BadPair(f"no readable certificate ({type(error).__name__})") from None


def _der(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def _names(certificate: Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return (), ()
    dns = tuple(map(str, names.get_values_for_type(x509.DNSName)))
    return dns, tuple(str(address) for address in names.get_values_for_type(x509.IPAddress))


def _covers(own: str, name: str) -> bool:
    own, name = own.lower(), name.lower()
    return own == name or (own.startswith("*.") and "." in name and own[1:] == name[name.index(".") :])
