"""The audit trail over HTTP."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from bridge.model.audit import Happened, Note
from bridge.model.plan import Change, Field, Plan, Undo
from bridge.model.remediation import Decision, Entry
from bridge.model.target import ObjectRef
from tests.support.api_fakes import NOW, PRINT, Memory, client, problem

GATEWAY = ObjectRef("apps/v1", "Deployment", "o2ims-system", "gateway", uid="u1")
SCALE = Change(
    ref=GATEWAY,
    summary="scale to 5",
    fields=(
        Field("/spec/replicas", 3, 5),
        Field("/spec/template/spec/containers/0/env/0", None, {"name": "DB_PASSWORD", "value": "hunter2"}),
    ),
)
PLANNED = Entry(
    kind="planned",
    at=NOW,
    text="scale",
    data={
        "step": "s/0",
        "plan": msgspec.to_builtins(Plan(action="scale", summary="scale", changes=(SCALE,), undo=Undo.EXACT)),
    },
)
APPLIED = Entry(
    kind="applied",
    at=NOW + 1,
    worker="w1",
    text="scale to 5",
    data={"step": "s/0", "change": 0, "wrote": True, "version": "4711"},
)


def told(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    memory.entries = [PLANNED, APPLIED]
    memory.notes = [
        Happened(at=NOW, fingerprint=PRINT, decision=Decision(reason="paused", detail="by ann until 15:00")),
        Happened(at=NOW, remediation="r2", number=0, entry=PLANNED),
        Happened(at=NOW + 1, remediation="r2", number=1, entry=APPLIED),
        Happened(at=NOW + 2, note=Note(what="pause", who="ann", why="upgrade", about="all")),
        Happened(at=NOW + 3, remediation="gone", number=3),
    ]
    return memory


async def export(memory: Memory, query: str = "", token: str = "view-token") -> list[dict[str, Any]]:
    http = await client(memory, token)
    try:
        response = await http.get(f"/api/v1/audit{query}")
        assert response.status == 200, await response.text()
        assert response.content_type == "application/x-ndjson"
        return told(await response.text())
    finally:
        await http.close()


async def test_a_write_is_told_with_who_why_before_after_and_the_version_of_the_object(memory: Memory) -> None:
    write = (await export(memory))[2]
    assert (write["kind"], write["who"], write["remediation"]) == ("applied", "alertbridge (w1)", "r2")
    assert (write["object"], write["operation"], write["resource_version"]) == (str(GATEWAY), "patch", "4711")
    assert write["before"]["/spec/replicas"] == 3
    assert write["after"]["/spec/replicas"] == 5
    assert write["why"] == "netweave/all-pods-down, for the alert GatewayDown"


async def test_decisions_to_do_nothing_and_what_people_did_are_told(memory: Memory) -> None:
    decision, _, _, pause, gone = await export(memory)
    assert (decision["kind"], decision["reason"], decision["fingerprint"]) == ("decision", "paused", PRINT)
    assert (pause["kind"], pause["who"], pause["why"], pause["text"]) == ("pause", "ann", "upgrade", "all")
    assert gone["kind"] == "forgotten"


async def test_no_credential_leaves_with_the_trail(memory: Memory) -> None:
    assert "hunter2" not in json.dumps(await export(memory))


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("?since=2023-11-14T22:13:21Z", 3),
        ("?until=2023-11-14T22:13:21Z", 2),
        ("?since=2023-11-14T22:13:21Z&until=2023-11-14T22:13:22.5Z", 2),
        ("?since=2024-02-30T00:00:00Z", 0),
    ],
)
async def test_only_the_time_that_was_asked_for_is_told(memory: Memory, query: str, number: int) -> None:
    assert len(await export(memory, query)) == number


async def test_who_may_not_look_gets_nothing_and_a_store_that_is_away_is_said_so(memory: Memory) -> None:
    http = await client(memory, "send-token")
    await problem(await http.get("/api/v1/audit"), 403)
    await http.close()
    http = await client(memory)
    await problem(await http.get("/api/v1/audit?since=yesterday"), 400)
    memory.down = True
    await problem(await http.get("/api/v1/audit"), 503)
    await http.close()


async def test_whoever_acts_by_hand_is_named_to_the_step_that_acts(memory: Memory) -> None:
    """A pause is in the trail with its own step, a cancellation in the journal: nothing comes in between."""
    memory.notes = []
    http = await client(memory)
    await http.post("/api/v1/pause", json={"why": "upgrade", "scope": "namespace:shop"})
    await http.post("/api/v1/resume", json={"why": "done", "scope": "namespace:shop"})
    await http.post("/api/v1/remediations/r1/cancel", json={"why": "not now"})
    await http.close()
    assert memory.ended == ("namespace:shop", "olga", "done")
    assert memory.cancelled == ("r1", "olga", "not now")
    assert memory.notes == []


async def test_a_trigger_is_in_the_trail_with_what_it_overrides(memory: Memory) -> None:
    memory.notes = []
    http = await client(memory)
    body = {"alertname": "GatewayDown", "why": "drill", "override": ["paused", "cooldown"]}
    await http.post("/api/v1/trigger", json=body)
    assert (await http.post("/api/v1/trigger", json={"override": ["moon"]})).status == 400
    await http.close()
    (note,) = [one.note for one in memory.notes if one.note]
    assert (note.what, note.who, note.why) == ("trigger", "olga", "drill")
    assert note.text == "GatewayDown; in spite of: paused, cooldown"
