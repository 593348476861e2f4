"""Faults 29 to 31, 50 and 51, and TLS: what connections may take. Against a receiver that really listens."""

from __future__ import annotations

import asyncio
import resource
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from bridge.errors import ConfigurationError
from bridge.ingest.credentials import Credential
from bridge.ingest.limits import MIB, ConnectionLimits, RequestLimits
from bridge.ingest.tls import server_context
from tests.support.need import need
from tests.support.receiver import BEARER, Served, head, read_answer, served
from tests.support.webhooks import alert, body


@pytest.fixture(scope="module")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """The product's loop: its transports are not asyncio's."""
    return uvloop.EventLoopPolicy()


@pytest.fixture
async def receiver() -> AsyncIterator[Served]:
    quick = {"header_seconds": 0.4, "body_seconds": 0.4, "idle_seconds": 1.0, "linger_seconds": 0.3}
    async with served(connections=ConnectionLimits(**quick, body_rate=50_000, look_seconds=0.1)) as one:
        yield one


def resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def until_closed(reader: asyncio.StreamReader, within: float) -> bytes:
    async with asyncio.timeout(within):
        with suppress(ConnectionError):
            return await reader.read()
    return b""


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 (what is waited for is in the server, which has no event for a test)
        await asyncio.sleep(0.01)


# ---- slow clients


def test_the_defaults_cut_a_slow_client_within_10_seconds() -> None:
    """Fault 29: the tests below wait for shorter times than these."""
    limits = ConnectionLimits()
    trickle = 10 * 100 / limits.body_rate
    for seconds in (limits.header_seconds, limits.body_seconds + trickle, limits.handshake_seconds):
        assert seconds + 2 * limits.look_seconds <= 10


async def test_a_header_that_trickles_in_is_cut(receiver: Served) -> None:
    """Fault 29: a byte now and then keeps no connection open."""
    reader, writer = await receiver.connect()
    begin = time.monotonic()
    answer = asyncio.ensure_future(read_answer(reader))
    for byte in head("POST", "/webhook", BEARER.items()):
        writer.write(bytes([byte]))
        await asyncio.wait([answer], timeout=0.05)
        if answer.done():
            break
    assert (await answer).status == 408
    assert (await answer).json["detail"] == "the header came too slowly"
    assert time.monotonic() - begin < 4
    assert receiver.counters.cut["header"] == 1
    writer.close()


async def test_a_connection_that_says_nothing_is_closed(receiver: Served) -> None:
    """Fault 29."""
    reader, writer = await receiver.connect()
    assert await until_closed(reader, 4) == b""
    writer.close()


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_trickles_in_is_cut_with_an_answer(announced: bool, receiver: Served) -> None:
    """Fault 29."""
    reader, writer = await receiver.connect()
    begin = time.monotonic()
    length = ("Content-Length", "10000") if announced else ("Transfer-Encoding", "chunked")
    writer.write(head("POST", "/webhook", [*BEARER.items(), length]))
    answer = asyncio.ensure_future(read_answer(reader))
    while not answer.done() and time.monotonic() - begin < 8:
        writer.write(b"{" if announced else b"1\r\n{\r\n")
        await asyncio.sleep(0.05)
    assert (await answer).status == 408
    await until_closed(reader, 3)
    assert time.monotonic() - begin < 5
    assert receiver.counters.cut["body"] == 1
    writer.close()


async def test_a_long_body_that_keeps_coming_is_not_cut(receiver: Served) -> None:
    data = body(alert(1), padding="x" * 100_000)
    reader, writer = await receiver.connect()
    writer.write(head("POST", "/webhook", [*BEARER.items(), ("Content-Length", str(len(data)))]))
    for at in range(0, len(data), 10_000):
        writer.write(data[at : at + 10_000])
        await asyncio.sleep(0.1)
    assert (await read_answer(reader)).status == 200
    writer.close()


async def test_an_idle_connection_is_kept_for_a_while_and_then_closed(receiver: Served) -> None:
    reader, writer = await receiver.connect()
    request = head("GET", "/-/healthy", [])
    for pause in (0.0, 0.8):  # longer than a header may take: an idle connection is no slow one
        await asyncio.sleep(pause)
        writer.write(request)
        assert (await read_answer(reader)).status == 200
    await until_closed(reader, 5)
    writer.close()


async def test_a_client_that_goes_away_in_the_midst_of_its_body_leaves_nothing(receiver: Served) -> None:
    for _ in range(20):
        _, writer = await receiver.connect()
        writer.write(head("POST", "/webhook", [*BEARER.items(), ("Content-Length", "100")]) + b"{")
        await writer.drain()
        writer.transport.abort()
    async with asyncio.timeout(5):
        await until(lambda: receiver.counters.connections == 0)
    assert receiver.counters.webhooks.get(("unknown", 500)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: x\r\n" % n for n in range(1000)) + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        head("POST", "/", [*BEARER.items(), ("Transfer-Encoding", "chunked")]) + b"zz\r\n",
    ],
    ids=range(7),
)
async def test_what_is_no_http_is_400_and_closed(data: bytes, receiver: Served) -> None:
    reader, writer = await receiver.connect()
    writer.write(data)
    answer = await until_closed(reader, 4)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"application/problem+json" in answer
    writer.close()


# ---- many connections


async def healthy(receiver: Served) -> float:
    """Return how many seconds the health endpoint took, from the connection on."""
    begin = time.monotonic()
    async with asyncio.timeout(5):
        reader, writer = await receiver.connect()
        writer.write(head("GET", "/-/healthy", []))
        assert (await read_answer(reader)).status == 200
    writer.close()
    return time.monotonic() - begin


async def test_5000_idle_connections_are_capped_and_health_answers() -> None:
    """Fault 30."""
    async with served(connections=ConnectionLimits(connections=500, reserve=16)) as receiver:
        sender_reader, sender = await receiver.connect()
        request = head("POST", "/webhook", [*BEARER.items(), ("Content-Length", str(len(body(alert(1)))))])
        sender.write(request + body(alert(1)))
        assert (await read_answer(sender_reader)).status == 200
        idle = []
        for _ in range(50):
            idle += await asyncio.gather(*(receiver.connect() for _ in range(100)))
            assert receiver.counters.connections <= 517
        assert await healthy(receiver) < 1
        assert receiver.counters.connections <= 517
        # Who has sent something keeps its connection; the idle ones make room.
        sender.write(request + body(alert(1)))
        assert (await read_answer(sender_reader)).json == {"alerts": 1, "duplicate": 1}
        assert receiver.counters.turned_away["evicted"] >= 4500
        for _, writer in idle:
            writer.transport.abort()
        sender.close()


async def test_when_all_connections_are_busy_the_reserve_answers_health_only() -> None:
    """Fault 30: none is idle, each is in the midst of a request."""
    async with served(connections=ConnectionLimits(connections=20, reserve=5)) as receiver:
        receiver.intake.gate = asyncio.Event()
        data = body(alert(1))
        busy = [asyncio.ensure_future(receiver.post(data)) for _ in range(20)]
        async with asyncio.timeout(5):
            await until(lambda: receiver.counters.connections == 20)
        await asyncio.sleep(0.1)
        assert await healthy(receiver) < 1
        turned_away = await receiver.post(data)
        assert turned_away.status == 503
        assert turned_away.headers["connection"] == "close"
        receiver.intake.gate.set()
        assert {answer.status for answer in await asyncio.gather(*busy)} == {200}
        assert (await receiver.post(data)).status == 200


async def test_more_requests_than_the_store_takes_are_503_and_none_accepted_is_lost() -> None:
    """Fault 51."""
    async with served(limits=RequestLimits(pending_alerts=50)) as receiver:
        receiver.intake.gate = asyncio.Event()
        posts = [asyncio.ensure_future(receiver.post(body(alert(n)))) for n in range(200)]
        async with asyncio.timeout(10):
            await until(lambda: sum(post.done() for post in posts) == 150)
        receiver.intake.gate.set()
        answers = [answer.status for answer in await asyncio.gather(*posts)]
        assert (answers.count(200), answers.count(503)) == (50, 150)
        taken = {f"gw-{n}" for n, status in enumerate(answers) if status == 200}
        assert {one.labels["pod"] for one in receiver.intake.alerts} == taken


# ---- large bodies


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_of_100_mb_is_413_in_flat_memory(announced: bool) -> None:
    """Fault 31."""
    async with served() as receiver:
        before = resident()
        reader, writer = await receiver.connect()
        length = ("Content-Length", str(100 * MIB)) if announced else ("Transfer-Encoding", "chunked")
        writer.write(head("POST", "/webhook", [*BEARER.items(), length]))
        answer = asyncio.ensure_future(read_answer(reader))
        piece = b" " * MIB
        chunk = piece if announced else b"%x\r\n%s\r\n" % (MIB, piece)
        most = 0
        with suppress(ConnectionError):
            for _ in range(100):
                writer.write(chunk)
                await writer.drain()
                most = max(most, resident() - before)
        assert (await answer).status == 413
        assert most < 48 * MIB
        writer.close()


async def test_who_is_not_known_cannot_make_us_read_a_body(receiver: Served) -> None:
    reader, writer = await receiver.connect()
    writer.write(head("POST", "/webhook", [("Content-Length", str(10 * MIB))]))
    assert (await read_answer(reader)).status == 401
    await until_closed(reader, 4)
    writer.close()


async def test_long_bodies_at_a_time_are_bounded_together() -> None:
    limits = RequestLimits(body_bytes=2 * MIB, buffered_bytes=3 * MIB)
    async with served(limits=limits) as receiver:
        streams = []
        for _ in range(4):
            reader, writer = await receiver.connect()
            writer.write(head("POST", "/webhook", [*BEARER.items(), ("Content-Length", str(2 * MIB))]))
            writer.write(b" " * (MIB + MIB // 2))
            streams.append((reader, writer))
        done, _ = await asyncio.wait(
            [asyncio.ensure_future(read_answer(reader)) for reader, _ in streams],
            timeout=3,
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert {task.result().status for task in done} == {503}
        for _, writer in streams:
            writer.transport.abort()
        await asyncio.sleep(0.2)
        assert (await receiver.post(body(alert(1), padding="x" * MIB))).status == 200


async def test_10_000_alerts_in_one_post_are_taken_in_under_5_seconds() -> None:
    """Fault 50, up to the store."""
    async with served() as receiver:
        data = body(*(alert(n) for n in range(10_000)))
        begin = time.monotonic()
        answer = await receiver.post(data)
        assert answer.json == {"alerts": 10_000, "new": 10_000}
        assert time.monotonic() - begin < 5


# ---- TLS


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server's and a client's certificate, made with openssl."""
    openssl, place = need("openssl"), tmp_path_factory.mktemp("tls")
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _run(
        openssl,
        "req",
        "-x509",
        *new,
        "-subj",
        "/CN=ca",
        "-days",
        "2",
        "-keyout",
        f"{place}/ca.key",
        "-out",
        f"{place}/ca.pem",
    )
    for name, subject, more in (
        ("server", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ("client", "/CN=alertmanager.example", "subjectAltName=URI:spiffe://mesh/am"),
        ("other", "/CN=other.example", "subjectAltName=DNS:other.example"),
    ):
        _run(openssl, "req", *new, "-subj", subject, "-keyout", f"{place}/{name}.key", "-out", f"{place}/{name}.csr")
        (place / f"{name}.ext").write_text(more)
        signs = ("-CA", f"{place}/ca.pem", "-CAkey", f"{place}/ca.key", "-CAcreateserial", "-days", "2")
        files = ("-in", f"{place}/{name}.csr", "-extfile", f"{place}/{name}.ext", "-out", f"{place}/{name}.pem")
        _run(openssl, "x509", "-req", *files, *signs)
    return place


def client(keys: Path, name: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(keys / "ca.pem"))
    if name:
        context.load_cert_chain(keys / f"{name}.pem", keys / f"{name}.key")
    return context


MESH = Credential(name="am", type="certificate", subjects=frozenset({"spiffe://mesh/am"}))


async def test_a_client_is_known_by_its_certificate(keys: Path) -> None:
    tls = server_context(keys / "server.pem", keys / "server.key", client_ca=keys / "ca.pem")
    async with served(MESH, tls=tls) as receiver:
        known = await receiver.post(body(alert(1)), headers={}, ssl=client(keys, "client"))
        assert known.status == 200
        assert receiver.intake.alerts[0].source == "am"
        assert (await receiver.post(body(alert(1)), headers={}, ssl=client(keys, "other"))).status == 401
        assert (await receiver.post(body(alert(1)), headers={}, ssl=client(keys))).status == 401


async def test_a_client_without_a_certificate_gets_no_connection_where_one_is_required(keys: Path) -> None:
    tls = server_context(keys / "server.pem", keys / "server.key", client_ca=keys / "ca.pem", client_required=True)
    async with served(MESH, tls=tls) as receiver:
        assert (await receiver.post(body(alert(1)), headers={}, ssl=client(keys, "client"))).status == 200
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await receiver.post(body(alert(1)), headers={}, ssl=client(keys))


async def test_a_handshake_that_does_not_come_is_cut(keys: Path) -> None:
    """Fault 29."""
    tls = server_context(keys / "server.pem", keys / "server.key")
    async with served(MESH, tls=tls, connections=ConnectionLimits(handshake_seconds=0.5)) as receiver:
        reader, writer = await receiver.connect()
        assert await until_closed(reader, 4) == b""
        writer.close()


def test_a_certificate_that_is_not_there_is_a_configuration_error(keys: Path) -> None:
    with pytest.raises(ConfigurationError, match="missing"):
        server_context(keys / "missing.pem", keys / "server.key")
    with pytest.raises(ConfigurationError, match="cannot use"):
        server_context(keys / "server.pem", keys / "client.key")
    with pytest.raises(ConfigurationError, match="no client authority"):
        server_context(keys / "server.pem", keys / "server.key", client_required=True)
