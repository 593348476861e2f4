"""Who was told and who has taken it on, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.api_fakes import Memory, client, problem


@pytest.fixture
async def api() -> AsyncIterator[Any]:
    started = await client(Memory())
    yield started
    await started.close()


async def test_an_operator_takes_it_on(api: Any) -> None:
    found = await (await api.post("/api/v1/remediations/r1/ack", json={"why": "looking"})).json()
    assert (found["id"], found["by"], found["why"]) == ("r1", "olga", "looking")
    assert (await api.post("/api/v1/remediations/r1/ack")).status == 200
    await problem(await api.post("/api/v1/remediations/gone/ack"), 404)


@pytest.mark.parametrize(("token", "status"), [("view-token", 403), ("send-token", 403), ("", 401)])
async def test_nobody_else_does(token: str, status: int) -> None:
    other = await client(Memory(), token)
    await problem(await other.post("/api/v1/remediations/r1/ack"), status)
    await other.close()


async def test_a_get_never_acknowledges(api: Any) -> None:
    await problem(await api.get("/api/v1/remediations/r1/ack"), 405)


async def test_a_message_that_was_not_sent_is_seen(api: Any) -> None:
    found = await (await api.get("/api/v1/remediations/r1/notices")).json()
    assert found["acknowledged"]["by"] == "ann"
    (lost,) = found["notices"]
    assert (lost["channel"], lost["state"], lost["attempts"], lost["error"]) == ("on-call", "lost", 9, "no")
    await problem(await api.get("/api/v1/remediations/gone/notices"), 404)


async def test_without_a_store_nothing_is_acknowledged() -> None:
    memory = Memory()
    started = await client(memory)
    memory.down = True
    await problem(await started.post("/api/v1/remediations/r1/ack"), 503)
    await started.close()
