"""The services that people read, on loopback: what is meant for Slack, PagerDuty or Teams arrives here.

A proxy (`HTTPS_PROXY`) takes whatever host is asked for, shows a certificate that is good for all of them, and
remembers each request: so the real library sends what it would send, to the addresses that it would send it to.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOSTS = (
    "hooks.slack.com",
    "events.pagerduty.com",
    "prod-01.westeurope.logic.azure.com",
    "api.atlassian.com",
    "api.opsgenie.com",
)


@dataclass
class Arrived:
    """One request to a service."""

    host: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Services:
    """`arrived` is what came, in order; `status` answers the next ones."""

    arrived: list[Arrived] = field(default_factory=list)
    status: int = 200
    location: str = ""
    """Where the answer leads, for a redirect."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext) -> None:
        try:
            host = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode().partition(":")[0]
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.start_tls(tls)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.arrived.append(Arrived(host, method, path, headers, body))
            # Slack's webhooks answer with a word.
            answer = b"ok" if "slack" in host else b'{"status":"success","requestId":"1"}'
            more = f"Location: {self.location}\r\n" if self.location else ""
            start = f"HTTP/1.1 {self.status} Said\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n{more}\r\n"
            writer.write(start.encode() + answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def open_services(folder: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[Services]:
    """Serve all HOSTS on a loopback port, and have HTTP libraries of this process go there."""
    services = Services()
    tls = _tls(folder)
    server = await asyncio.start_server(lambda r, w: services.serve(r, w, tls), "127.0.0.1", 0)
    patch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    patch.setenv("REQUESTS_CA_BUNDLE", str(folder / "services.crt"))
    async with server:
        yield services


def _tls(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "services of a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "services.crt", folder / "services.key"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, private)
    return context
