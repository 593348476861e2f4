"""HTTP calls to allow-listed hosts: what is sent, what is kept, and what is not known afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridge.errors import CircuitOpen, Hung, InvalidInput, OutcomeUnknown, TemporaryError, Unreachable
from bridge.model.outside import HttpRequest
from bridge.outside.options import HttpSecret, OutsideSettings
from bridge.outside.reach import Outside
from tests.support.breakers import MemoryBreakers
from tests.support.clock import FakeClock
from tests.support.processes import free_port
from tests.support.scripted_kube import ScriptedKube, hang, ok, reset, scripted_kube, text

SECRETS = {
    "page": HttpSecret(value="Bearer t0ken-s3cret"),
    "far": HttpSecret(value="x", origins=("https://far:443",)),
}


@pytest.fixture
async def server() -> AsyncIterator[ScriptedKube]:
    async with scripted_kube() as scripted:
        yield scripted


@pytest.fixture
async def outside(server: ScriptedKube) -> AsyncIterator[Outside]:
    made = Outside(OutsideSettings(allowed=(server.url,), http_secrets=SECRETS))
    yield made
    await made.close()


async def test_a_request_is_sent_as_it_was_written(server: ScriptedKube, outside: Outside) -> None:
    server.script(ok({"id": 7}))
    reply = await outside.http(
        HttpRequest(
            method="post",
            url=f"{server.url}/incidents?x=1",
            headers={"Content-Type": "application/json"},
            secret_headers={"Authorization": "page"},
            body='{"a": "ü"}',
        )
    )
    assert (reply.status, reply.body, reply.content_type) == (200, '{"id": 7}', "application/json")
    assert server.seen == [("POST", "/incidents?x=1")]
    assert server.bodies == ['{"a": "ü"}'.encode()]
    assert server.headers[0]["Authorization"] == "Bearer t0ken-s3cret"


async def test_a_secret_that_comes_back_is_not_kept(server: ScriptedKube, outside: Outside) -> None:
    server.script(text(400, "bad token t0ken-s3cret in Bearer t0ken-s3cret"))
    reply = await outside.http(
        HttpRequest(method="POST", url=server.url, secret_headers={"Authorization": "page"}, body="")
    )
    assert "s3cret" not in reply.body
    assert "s3cret" not in repr(SECRETS)


async def test_what_is_not_allowed_is_not_sent(server: ScriptedKube, outside: Outside) -> None:
    """Fault 45."""
    wrong = [
        HttpRequest(url="http://127.0.0.1:1/"),
        HttpRequest(url=server.url, secret_headers={"A": "no"}),
        HttpRequest(url=server.url, secret_headers={"A": "far"}),
        HttpRequest(url=server.url, headers={"A": "x\r\nB: y"}),
        HttpRequest(url=server.url, method="GET / HTTP/1.1\r\nX:"),
    ]
    for request in wrong:
        with pytest.raises(InvalidInput):
            await outside.http(request)
    assert server.seen == []


async def test_a_redirect_is_an_answer(server: ScriptedKube, outside: Outside) -> None:
    server.script(text(302, "", {"Location": "http://127.0.0.1:1/"}))
    assert (await outside.http(HttpRequest(method="POST", url=server.url))).status == 302
    assert len(server.seen) == 1


async def test_a_large_answer_is_cut(server: ScriptedKube, outside: Outside) -> None:
    server.script(text(200, "x" * 300_000))
    reply = await outside.http(HttpRequest(url=server.url))
    assert (len(reply.body), reply.truncated) == (64 << 10, True)


@pytest.mark.parametrize("answer", [reset, hang])
async def test_a_write_without_an_answer_is_an_unknown_outcome(
    server: ScriptedKube, outside: Outside, answer: object
) -> None:
    """Faults 4 and 23."""
    server.script(answer)  # type: ignore[arg-type]
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        with pytest.raises(OutcomeUnknown):
            await outside.http(HttpRequest(method=method, url=server.url, deadline=0.3))
    # Each was sent once: nothing repeats a write behind our back.
    assert [method for method, _ in server.seen] == ["POST", "PUT", "PATCH", "DELETE"]


async def test_a_read_without_an_answer_is_temporary(server: ScriptedKube, outside: Outside) -> None:
    """Fault 23."""
    server.script(hang)
    with pytest.raises(Hung):
        await outside.http(HttpRequest(url=server.url, deadline=0.2))


async def test_nothing_was_sent_where_nobody_listens() -> None:
    place = f"http://127.0.0.1:{free_port()}"
    outside = Outside(OutsideSettings(allowed=(place,)))
    with pytest.raises(Unreachable):
        await outside.http(HttpRequest(method="POST", url=place))
    await outside.close()


async def test_a_connection_that_the_server_closed_meanwhile_costs_no_write(
    server: ScriptedKube, outside: Outside
) -> None:
    server.script(text(200, "a"), text(200, "b"), text(200, "c"))
    for _ in range(3):
        assert (await outside.http(HttpRequest(method="POST", url=server.url))).status == 200
    assert all(headers.get("Connection", "").lower() == "close" for headers in server.headers)


async def test_a_host_that_hangs_is_left_alone_for_a_while(server: ScriptedKube) -> None:
    """Fault 22. A check of its health is not: that it hangs is what one wants to know."""
    clock = FakeClock()
    outside = Outside(
        OutsideSettings(allowed=(server.url,), deadline=0.1), breakers=MemoryBreakers(clock), clock=clock
    )
    server.script(hang)
    for _ in range(5):
        with pytest.raises(Hung):
            await outside.http(HttpRequest(url=server.url, deadline=0.1))
    with pytest.raises(CircuitOpen):
        await outside.http(HttpRequest(url=server.url, deadline=0.1))
    with pytest.raises(TemporaryError, match="no answer"):
        await outside.http_status(server.url)
    await outside.close()
