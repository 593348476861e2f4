"""A Redis behind TLS, a client certificate, an ACL user and a password from a file."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bridge.errors import StoreUnavailable
from bridge.model.intake import Seen
from bridge.stores import open_stores
from tests.support.alerts import claimed, fire, firing, wish
from tests.support.processes import free_port
from tests.support.redis import RedisServer, fresh_options


def certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for loopback and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    crt, pem = folder / "redis.crt", folder / "redis.key"
    crt.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return crt, pem


async def test_tls_with_client_certificate_and_a_user_with_just_the_rights_it_needs(tmp_path: Path) -> None:
    crt, key = certificate(tmp_path)
    tls = free_port()
    server = RedisServer(
        tmp_path / "redis",
        config={
            "tls-port": str(tls),
            "tls-cert-file": str(crt),
            "tls-key-file": str(key),
            "tls-ca-cert-file": str(crt),
            "tls-auth-clients": "yes",
        },
    )
    server.start()
    try:
        server.call(
            *("ACL", "SETUSER", "bridge", "on", ">a secret", "resetkeys", "~{alertbridge:*"),
            *(
                "-@all",
                "+@read",
                "+@write",
                "+@stream",
                "+@scripting",
                "+@connection",
                "+info",
                "+time",
                "-@dangerous",
            ),
            *("+info", "+xinfo|consumers", "+xgroup"),
        )
        (tmp_path / "password").write_text("a secret\n")
        options = fresh_options(
            f"rediss://127.0.0.1:{tls}",
            username="bridge",
            password_file=str(tmp_path / "password"),
            ca_file=str(crt),
            cert_file=str(crt),
            key_file=str(key),
        )
        stores = await open_stores(options)
        assert await stores.intake.accept([firing(pod="1")]) == [Seen.NEW]
        await stores.intake_queue.done([e.id for e in await stores.intake_queue.read("w", count=1, block=0)])
        await fire(stores, wish())
        assert (await claimed(stores)).token == 1
        await stores.intake_queue.expire(limit=10)
        await stores.health.ping()
        await stores.close()
        (tmp_path / "password").write_text("wrong")
        with pytest.raises(StoreUnavailable, match=r"WRONGPASS|invalid username-password"):
            await open_stores(options)
        with pytest.raises(StoreUnavailable, match=r"CERTIFICATE|certificate"):
            await open_stores(fresh_options(f"rediss://127.0.0.1:{tls}", cert_file=str(crt), key_file=str(key)))
    finally:
        server.stop()
