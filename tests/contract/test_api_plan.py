"""What a runbook would do, over HTTP: for operators, a few at a time, and never more than a look."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from bridge.api.plans import AT_ONCE
from bridge.engine.rehearse import Rehearsal
from bridge.errors import KubeUnavailable
from tests.support.api_fakes import Memory, client, problem, rehearse

PATH = "/api/v1/plan"


async def test_an_operator_gets_the_plan() -> None:
    memory = Memory()
    api = await client(memory)
    found = await (await api.post(PATH, json={"runbook": "shop/web", "labels": {"namespace": "books"}})).json()
    assert (found["runbook"], found["target"]["namespace"], found["planned"]) == ("shop/web", "books", True)
    assert [entry["kind"] for entry in found["journal"]] == ["scenario"]
    await problem(await api.post(PATH, json={"runbook": "no/such"}), 404)
    await problem(await api.post(PATH, json={"runbook": "shop/web", "more": 1}), 400)
    await problem(await api.get(PATH), 405)
    assert memory.accepted == []
    await api.close()


@pytest.mark.parametrize(("token", "status"), [("view-token", 403), ("send-token", 403), ("", 401)])
async def test_nobody_else_does(token: str, status: int) -> None:
    """It looks at what the caller names, with the server's rights."""
    api = await client(Memory(), token)
    await problem(await api.post(PATH, json={"runbook": "shop/web"}), status)
    await api.close()


async def test_more_than_a_few_at_once_are_sent_away() -> None:
    go_on, under_way = asyncio.Event(), asyncio.Semaphore(0)

    async def slow(runbook: str, labels: Mapping[str, str]) -> Rehearsal:
        under_way.release()
        await go_on.wait()
        return await rehearse(runbook, labels)

    api = await client(Memory(), rehearse=slow)
    begun = [asyncio.create_task(api.post(PATH, json={"runbook": "shop/web"})) for _ in range(AT_ONCE)]
    for _ in begun:
        await under_way.acquire()
    away = await api.post(PATH, json={"runbook": "shop/web"})
    assert away.headers["Retry-After"]
    await problem(away, 429)
    go_on.set()
    assert [(await each).status for each in begun] == [200] * AT_ONCE
    assert (await api.post(PATH, json={"runbook": "shop/web"})).status == 200
    await api.close()


async def test_a_cluster_that_is_away_is_told() -> None:
    async def away(runbook: str, labels: Mapping[str, str]) -> Rehearsal:
        raise KubeUnavailable("cluster sim does not answer")

    api = await client(Memory(), rehearse=away)
    answer = await api.post(PATH, json={"runbook": "shop/web"})
    assert "cluster sim does not answer" in await answer.text()
    await problem(answer, 503)
    await api.close()
