"""Real X.509 certificates for the simulated cluster, small and quick ones. Called by controllers and seeds."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def self_signed(common_name: str, dns_names: list[str], not_before: float, not_after: float) -> tuple[bytes, bytes]:
    """A self-signed certificate and its key, both as PEM. Times are unix seconds."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    names = x509.SubjectAlternativeName([x509.DNSName(entry) for entry in dns_names or [common_name]])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(int(not_before), UTC))
        .not_valid_after(datetime.fromtimestamp(int(not_after), UTC))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private


@cache
def authority_certificate() -> str:
    """The certificate that every namespace gets as the cluster's authority; made once in a process."""
    start = datetime(2025, 1, 1, tzinfo=UTC).timestamp()
    return self_signed("simulated-ca", [], start, start + 3650 * 86400)[0].decode()
