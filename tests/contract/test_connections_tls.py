"""The certificate that an address shows, read over a real connection: also an expired one, and only where allowed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bridge.engine.clock import SystemClock
from bridge.engine.context import RunContext
from bridge.errors import Hung, InvalidInput, TemporaryError, Unreachable
from bridge.evidence.served import Tls
from bridge.model.target import Target
from bridge.outside import served
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from tests.support.fake_cluster import FakeCluster
from tests.support.furnished import signed
from tests.support.processes import free_port


def serving(place: Path, days: float) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    (place / "tls.crt").write_bytes(signed(key, days))
    encoding, shape = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (place / "tls.key").write_bytes(key.private_bytes(encoding, shape, serialization.NoEncryption()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(place / "tls.crt", place / "tls.key")
    return context


@pytest.fixture(params=[20.0, -3.0])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[str, float]]:
    """The address of a server whose certificate has so many days left."""
    made = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0, ssl=serving(tmp_path, request.param))
    async with made:
        yield f"https://127.0.0.1:{made.sockets[0].getsockname()[1]}", request.param


async def test_its_dates_are_read_also_when_it_has_expired(server: tuple[str, float]) -> None:
    url, days = server
    outside = Outside(OutsideSettings(allowed=(url,)))
    reach = Reach(FakeCluster(), SystemClock(), outside)
    target = Target("test", "Deployment", "shop", "web")
    context = RunContext(remediation="r", planned_at=0.0, target=target, reach=reach)
    collector = Tls()
    found = await collector.collect(context, collector.params.model_validate({"url": f"{url}/healthz"}))
    assert (found["reachable"], found["dns_names"], found["serial"]) == (True, ["web.test"], "ff")
    assert found["days_left"] == pytest.approx(days, abs=0.1)
    shown = x509.load_pem_x509_certificate((await outside.served_certificate(url)).encode())
    assert isinstance(shown.signature_hash_algorithm, hashes.SHA256)


async def test_only_allowed_addresses_with_tls_are_asked(server: tuple[str, float]) -> None:
    url, _ = server
    nobody = Outside(OutsideSettings())
    with pytest.raises(InvalidInput, match=r"http\.hosts"):
        await nobody.served_certificate(url)
    plain = Outside(OutsideSettings(allowed=("http://127.0.0.1:80",)))
    with pytest.raises(InvalidInput, match="https"):
        await plain.served_certificate("http://127.0.0.1/")


async def test_a_refused_connection_is_an_answer_and_one_without_tls_is_none() -> None:
    port = free_port()
    url = f"https://127.0.0.1:{port}"
    outside = Outside(OutsideSettings(allowed=(url,)))
    with pytest.raises(Unreachable):
        await outside.served_certificate(url)
    plain = await asyncio.start_server(
        lambda r, w: (w.write(b"HTTP/1.1 400 no\r\n\r\n"), w.close()), "127.0.0.1", port
    )
    async with plain:
        with pytest.raises(TemporaryError):
            await outside.served_certificate(url)


async def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 23."""
    monkeypatch.setattr(served, "_SECONDS", 0.3)
    release = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.close()

    silent = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    outside = Outside(OutsideSettings(allowed=(url,)))
    async with silent:
        with pytest.raises(Hung):
            await outside.served_certificate(url)
        release.set()
