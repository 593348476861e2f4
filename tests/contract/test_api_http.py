"""The HTTP API over stores in memory: what each operation answers, who may call it, how errors are told."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import tarfile
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.api.openapi import openapi
from bridge.api.server import operations
from bridge.errors import ConfigurationError
from bridge.model.approval import Answered, Said
from bridge.model.intake import Pause
from bridge.model.principal import EVERYBODY, Role
from tests.support.api_fakes import NOW, PRINT, TOKENS, Memory, client, parts, problem


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
async def api(memory: Memory) -> AsyncIterator[Any]:
    started = await client(memory)
    yield started
    await started.close()


async def test_list_is_newest_first_and_pages(api) -> None:
    first = await (await api.get("/api/v1/remediations?limit=2")).json()
    assert [item["id"] for item in first["remediations"]] == ["r2", "r1"]
    second = await (await api.get(f"/api/v1/remediations?limit=2&before={first['next']}")).json()
    assert [item["id"] for item in second["remediations"]] == ["r0"]
    assert second["next"] is None


async def test_list_filters_by_state(api) -> None:
    found = await (await api.get("/api/v1/remediations?state=done")).json()
    assert [item["outcome"] for item in found["remediations"]] == ["succeeded"]


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=501", "state=gone", "limit=1&limit=2", "colour=red"])
async def test_a_wrong_query_is_told(api, query) -> None:
    document = await problem(await api.get(f"/api/v1/remediations?{query}"), 400)
    assert document["detail"].startswith("query:")


async def test_show_has_the_configuration_of_the_run(api) -> None:
    shown = await (await api.get("/api/v1/remediations/r0")).json()
    assert shown["remediation"]["target"]["name"] == "gateway"
    assert shown["remediation"]["created_at"] == "2023-11-14T22:13:20Z"
    assert "runbook" in shown


@pytest.mark.parametrize("name", ["none", "..", "%2e%2e", "a%2Fb", "a%0d%0ab", "x" * 65])
async def test_what_does_not_exist_is_404(api, name) -> None:
    response = await api.get(f"/api/v1/remediations/{name}")
    assert response.status == 404


async def test_cancel_before_the_first_write_only(api) -> None:
    assert (await api.post("/api/v1/remediations/r1/cancel")).status == 200
    assert (await api.post("/api/v1/remediations/r1/cancel", json={"why": "false alarm"})).status == 200
    document = await problem(await api.post("/api/v1/remediations/r2/cancel"), 409)
    assert "running" in document["detail"]


async def test_the_journal_is_read_at_once(api) -> None:
    read = await (await api.get("/api/v1/remediations/r0/journal")).json()
    assert [entry["kind"] for entry in read["entries"]] == ["started", "finished"]


async def test_a_followed_journal_ends_with_its_run(api) -> None:
    async with asyncio.timeout(5):
        response = await api.get("/api/v1/remediations/r0/journal?follow=true")
        lines = [json.loads(line) for line in (await response.text()).splitlines()]
    assert response.content_type == "application/x-ndjson"
    assert [line["kind"] for line in lines] == ["started", "finished"]


async def test_a_followed_journal_ends_when_the_server_drains(memory) -> None:
    stopping = asyncio.Event()
    api = await client(memory, stopping=stopping)
    async with asyncio.timeout(5):
        response = await api.get("/api/v1/remediations/r2/journal?follow=true")
        assert json.loads(await response.content.readline())["kind"] == "started"
        stopping.set()
        await response.read()
    await api.close()


async def test_evidence_is_an_archive_with_an_index(api) -> None:
    response = await api.get("/api/v1/remediations/r0/evidence")
    assert response.content_type == "application/gzip"
    assert 'filename="alertbridge-r0.tar.gz"' in response.headers["Content-Disposition"]
    with tarfile.open(fileobj=io.BytesIO(await response.read())) as archive:
        assert "alertbridge-r0/index.md" in archive.getnames()
    await problem(await api.get("/api/v1/remediations/nothing/evidence"), 404)


async def test_evidence_is_json_for_programs_where_some_is_kept(api) -> None:
    accept = {"Accept": "application/json"}
    response = await api.get("/api/v1/remediations/r0/evidence", headers=accept)
    assert await response.json() == {}
    await problem(await api.get("/api/v1/remediations/r1/evidence", headers=accept), 404)


async def test_trigger_takes_in_an_alert_of_the_operator(api, memory) -> None:
    body = {"alertname": "GatewayDown", "labels": {"namespace": "o2ims-system"}, "why": "drill"}
    response = await api.post("/api/v1/trigger", json=body)
    assert response.status == 200
    (alert,) = memory.accepted
    assert (alert.source, alert.requested_by, alert.why) == ("olga", "olga", "drill")
    assert alert.labels == {"namespace": "o2ims-system", "alertname": "GatewayDown"}
    assert (await response.json())["fingerprint"] == alert.fingerprint


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"alertname": 1},
        {"alertname": "A", "labels": {"alertname": "B"}},
        {"alertname": "A", "override": ["everything"]},
        [],
    ],
)
async def test_a_wrong_trigger_is_told_and_stores_nothing(api, memory, body) -> None:
    await problem(await api.post("/api/v1/trigger", json=body), 400)
    assert memory.accepted == []


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"\xff",
        b"[" * 30_000,
        b'{"alertname":"\\ud800"}',
        b'{"alertname":NaN}',
        b'{"alertname":' + b"9" * 5000 + b"}",
        b"",
    ],
)
async def test_no_body_is_a_server_error(api, raw) -> None:
    response = await api.post("/api/v1/trigger", data=raw, headers={"Content-Type": "application/json"})
    await problem(response, 400)


async def test_a_long_compressed_or_other_body_is_refused(api) -> None:
    json_type = {"Content-Type": "application/json"}
    await problem(await api.post("/api/v1/trigger", data=b" " * 70_000, headers=json_type), 413)
    await problem(await api.post("/api/v1/trigger", data=b"alert=A"), 415)
    gzipped = {**json_type, "Content-Encoding": "gzip"}
    await problem(await api.post("/api/v1/trigger", data=gzip.compress(b"{}"), headers=gzipped), 415)


async def test_pause_lists_and_resume_looks_at_what_still_fires(api, memory) -> None:
    assert (await api.post("/api/v1/pause", json={"why": "upgrade", "seconds": 60})).status == 200
    listed = (await (await api.get("/api/v1/pauses")).json())["pauses"]
    assert [(item["scope"], item["by"], item["until"]) for item in listed] == [
        ("all", "olga", "2023-11-14T22:14:20Z")
    ]
    assert (await (await api.post("/api/v1/resume")).json())["woken"] == 3
    assert [reason.value for reason in memory.woken] == ["paused", "halted", "runbook_stopped"]
    await problem(await api.post("/api/v1/resume"), 404)


async def test_guards_tell_what_is_held_back_to_whoever_may_look(memory) -> None:
    memory.pausing["all"] = Pause(scope="all", by="alertbridge", why="halt_after is 50", since=NOW)
    api = await client(memory, "view-token")
    try:
        told = await (await api.get("/api/v1/guards")).json()
        memory.down = True
        await problem(await api.get("/api/v1/guards"), 503)
    finally:
        await api.close()
    assert told["halted"] is True
    assert [one["scope"] for one in told["paused"]] == ["all"]
    assert [(one["runbook"], one["runs"]) for one in told["stopped"]] == [("netweave/all-pods-down", 5)]
    assert [(one["alertname"], one["mode"], one["helped"]) for one in told["lowered"]] == [
        ("GatewayDown", "approve", 2)
    ]
    assert (told["budget"]["wanted"], told["budget"]["halt_after"]) == (7, 50)
    prod, test, shop = told["budget"]["scopes"]
    assert [prod["scope"], test["scope"], shop["scope"]] == ["cluster:prod", "cluster:test", "namespace:prod/shop"]
    assert (prod["targets"], prod["targets_limit"], prod["runs"], prod["under_way"]) == (2, 20, 2, 1)
    assert (prod["percent"], prod["percent_limit"]) == (150, None)
    assert (test["targets"], test["nodes_limit"]) == (0, 1)
    assert [(one["guards"], one["reason"], one["alerts"]) for one in told["waiting"]] == [
        (["attempts", "run_limits"], "attempts_spent", 1),
        (["budget"], "budget_spent", 3),
    ]


@pytest.mark.parametrize("body", [{}, {"why": ""}, {"why": "x", "scope": "everything"}, {"why": "x", "seconds": -1}])
async def test_a_wrong_pause_is_told(api, memory, body) -> None:
    await problem(await api.post("/api/v1/pause", json=body), 400)
    assert memory.pausing == {}


async def test_explain_tells_decisions_to_do_nothing_too(api) -> None:
    told = await (await api.get(f"/api/v1/explain/{PRINT}")).json()
    assert [decision["reason"] for decision in told["decisions"]] == ["no_route"]
    await problem(await api.get("/api/v1/explain/ffffffffffffffff"), 404)
    await problem(await api.get("/api/v1/explain/not-a-fingerprint"), 404)


async def test_a_bad_reload_names_every_mistake(memory) -> None:
    async def reload(by: str) -> tuple[int, int]:
        raise ConfigurationError(["bridge.yml:3:5: routes[0].runbok: unknown key", "bridge.yml:9:1: root: no"])

    api = await client(memory, reload=reload)
    document = await problem(await api.post("/-/reload"), 422)
    assert len(document["errors"]) == 2
    await api.close()


async def test_health_does_not_need_redis_and_ready_does(api, memory) -> None:
    memory.down = True
    assert (await api.get("/-/healthy")).status == 200
    document = await problem(await api.get("/-/ready"), 503)
    assert "hunter2" not in json.dumps(document)
    memory.down = False
    assert (await api.get("/-/ready")).status == 200


async def test_redis_away_is_503_everywhere_else(api, memory) -> None:
    memory.down = True
    await problem(await api.get("/api/v1/remediations"), 503)
    await problem(await api.post("/api/v1/trigger", json={"alertname": "A"}), 503)


async def test_figures_and_probes_need_no_credential(memory) -> None:
    api = await client(memory, token="")
    for path in ("/-/healthy", "/-/ready", "/metrics", "/api/v1/openapi.json", "/"):
        assert (await api.get(path)).status == 200
    assert b"alertbridge_build_info" in await (await api.get("/metrics")).read()
    await api.close()


async def test_every_operation_asks_for_its_role(memory) -> None:
    """A sender reads nothing, a viewer changes nothing, nobody does neither."""
    api = await client(memory, token="")
    for op in operations(parts(memory)):
        path = op.path.replace("{id}", "r0").replace("{fingerprint}", PRINT)
        for token, principal in TOKENS.items():
            if op.role and not principal.may(op.role):
                given = {"Authorization": f"Bearer {token}"}
                await problem(await api.request(op.method, path, headers=given), 403)
        if op.role:
            answer = await api.request(op.method, path)
            await problem(answer, 401)
            assert "Bearer" in answer.headers["WWW-Authenticate"]
    assert memory.accepted == []
    await api.close()


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", "http://127.0.0.1:1"])
async def test_a_browser_cannot_post_for_another_site(api, memory, origin) -> None:
    body = {"why": "forged"}
    await problem(await api.post("/api/v1/pause", json=body, headers={"Origin": origin}), 403)
    assert memory.pausing == {}


async def test_the_same_origin_may_post(api) -> None:
    origin = str(api.make_url("/")).rstrip("/")
    answer = await api.post("/api/v1/pause", json={"why": "from the page"}, headers={"Origin": origin})
    assert answer.status == 200


async def test_without_credentials_only_localhost_is_answered(memory) -> None:
    """A page whose name was made to point to loopback sends its own name as Host."""

    class Nobody:
        def identify(self, request: object) -> object:
            return EVERYBODY

    api = await client(memory, token="", authenticator=Nobody())
    assert (await api.get("/api/v1/remediations")).status == 200
    await problem(await api.get("/api/v1/remediations", headers={"Host": "evil.example:9877"}), 403)
    await api.close()


async def test_wrong_methods_and_paths_are_problems_too(api) -> None:
    answer = await api.delete("/api/v1/remediations")
    await problem(answer, 405)
    assert answer.headers["Allow"] == "GET, HEAD"
    await problem(await api.get("/api/v1/trigger"), 405)
    await problem(await api.get("/api/v2/remediations"), 404)


def test_the_document_names_every_operation_and_resolves_every_reference(memory) -> None:
    table = operations(parts(memory))
    document = openapi(table, "1")
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(op.method, op.path) for op in table if op.path != "/"}
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]
    changing = [op for op in table if op.method == "POST"]
    assert all(op.role is Role.OPERATOR for op in changing)
    assert all(op.method == "GET" for op in table if op not in changing)


# ---- what people answer


async def test_an_operator_approves_and_denies_and_a_viewer_may_not(memory: Memory, api) -> None:
    body = {"why": "go on", "plan": "0123456789abcdef"}
    said = await (await api.post("/api/v1/remediations/r1/approve", json=body)).json()
    assert said == {"id": "r1", "answer": "approve", "again": False, "agreed": 1, "needed": 2}
    assert (await (await api.post("/api/v1/remediations/r1/deny")).json())["answer"] == "deny"
    assert [(one.by, one.agree, one.why, one.digest) for one in memory.answered] == [
        ("olga", True, "go on", "0123456789abcdef"),
        ("olga", False, "", ""),
    ]
    headers = {"Authorization": "Bearer view-token"}
    for verb in ("approve", "deny", "undo"):
        await problem(await api.post(f"/api/v1/remediations/r1/{verb}", headers=headers), 403)
        await problem(await api.post(f"/api/v1/remediations/none/{verb}"), 404)


@pytest.mark.parametrize("said", [Said.SETTLED, Said.CHANGED, Said.LATE, Said.NOT_ASKED, Said.DONE])
async def test_an_answer_that_does_not_count_is_told(memory: Memory, api, said: Said) -> None:
    memory.said = Answered(said, 0, 1)
    document = await problem(await api.post("/api/v1/remediations/r1/approve"), 409)
    assert document["detail"].startswith("r1: ")


async def test_an_answer_that_was_given_before_is_no_error(memory: Memory, api) -> None:
    memory.said = Answered(Said.ALREADY, 1, 2)
    assert (await (await api.post("/api/v1/remediations/r1/approve")).json())["again"] is True


async def test_an_undo_of_what_changed_nothing_is_refused_with_why(memory: Memory, api) -> None:
    document = await problem(await api.post("/api/v1/remediations/r0/undo"), 409)
    assert "changed nothing" in document["detail"]
    document = await problem(await api.post("/api/v1/remediations/r2/undo"), 409)
    assert "running" in document["detail"]
    assert memory.undone == []
