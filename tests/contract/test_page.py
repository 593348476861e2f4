"""The page that links in messages lead to: it shows, and acts only for who may, from its own form."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.model.approval import Answered, Question, Said
from bridge.model.principal import EVERYBODY
from bridge.model.remediation import Entry, State
from tests.support.api_fakes import NOW, Memory, client, view

EVIL = "<script>alert(1)</script>"
QUESTION = Question(plans={"broken/0": "0123456789abcdef"}, need=2, until=NOW + 1800)
PLAN = {
    "action": "scale",
    "summary": f"scale {EVIL}",
    "changes": [
        {
            "ref": {"kind": "Deployment", "namespace": "shop", "name": "web"},
            "fields": [{"pointer": "/spec/replicas", "before": 3, "after": 4}],
            "summary": "3 to 4",
        }
    ],
}


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    memory.views["r1"] = view("r1", State.PARKED)
    memory.entries = [
        Entry(kind="started", at=NOW, text=f"taken up {EVIL}"),
        Entry(
            kind="planned",
            at=NOW,
            text=f"scale {EVIL}",
            data={"step": "broken/0", "hash": "0123456789abcdef", "plan": PLAN},
        ),
        Entry(
            kind="asked",
            at=NOW,
            data={"question": {"plans": QUESTION.plans, "need": 2, "until": QUESTION.until}},
        ),
    ]
    return memory


@pytest.fixture
async def visitor(memory: Memory) -> AsyncIterator[Any]:
    """Somebody whose browser has no credential."""
    started = await client(memory, token="")
    yield started
    await started.close()


@pytest.fixture
async def operator(memory: Memory) -> AsyncIterator[Any]:
    started = await client(memory)
    yield started
    await started.close()


def origin(client: Any) -> dict[str, str]:
    return {"Origin": f"http://{client.host}:{client.port}"}


async def post(client: Any, headers: dict[str, str] | None = None, **fields: str) -> Any:
    return await client.post("/r/r1", data=fields, headers=origin(client) if headers is None else headers)


async def test_a_look_acts_on_nothing_and_shows_the_plan_as_a_diff_with_its_buttons(
    memory: Memory, operator: Any
) -> None:
    response = await operator.get("/r/r1")
    assert response.status == 200
    text = await response.text()
    assert "<del>-  replicas: 3</del>" in text
    assert "<ins>+  replicas: 4</ins>" in text
    assert 'value="approve"' in text
    assert QUESTION.digest in text
    assert "0 of 2 agree" in text
    assert memory.answered == []


async def test_nothing_from_outside_is_markup_and_no_script_may_run(operator: Any) -> None:
    response = await operator.get("/r/r1")
    text = await response.text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["Referrer-Policy"] == "same-origin", "or browsers would hide the form's origin"


async def test_what_a_run_said_is_shown_without_credentials(memory: Memory, operator: Any) -> None:
    """The page is read by whoever may look: what a server or a program said is cut as in messages."""
    memory.entries.append(Entry(kind="refused", at=NOW, text="login failed: password=hunter22222"))
    memory.views["r1"] = view("r1", State.PARKED, detail="token=hunter33333")
    text = await (await operator.get("/r/r1")).text()
    assert "login failed" in text
    assert "hunter" not in text


async def test_a_visitor_sees_a_form_and_is_asked_for_a_credential(visitor: Any) -> None:
    response = await visitor.get("/r/r1")
    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Basic ")
    text = await response.text()
    assert "replicas" not in text
    assert 'name="token"' in text
    looked = await post(visitor, do="look", token="view-token")
    assert looked.status == 200
    assert "replicas" in await looked.text()


async def test_an_operator_agrees_by_the_form(memory: Memory, visitor: Any) -> None:
    response = await post(visitor, do="approve", token="op-token", plan=QUESTION.digest, why="go on")
    assert response.status == 200
    (answer,) = memory.answered
    assert (answer.by, answer.agree, answer.why, answer.digest) == ("olga", True, "go on", QUESTION.digest)
    assert "1 of 2 agree" in await response.text()


async def test_who_only_looks_may_not_answer(memory: Memory, visitor: Any) -> None:
    for token, status in (("view-token", 403), ("send-token", 403), ("wrong", 401), ("", 401)):
        response = await post(visitor, do="approve", token=token, plan=QUESTION.digest)
        assert response.status == status
    assert memory.answered == []


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
async def test_another_sites_form_does_nothing_with_the_credential_that_a_browser_remembers(
    memory: Memory, operator: Any, headers: dict[str, str]
) -> None:
    response = await post(operator, headers, do="approve", plan=QUESTION.digest)
    assert response.status == 403
    assert memory.answered == []


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("https://people.example", 200),
        ("https://PEOPLE.example", 200),
        ("http://people.example", 403),
        ("https://people.example.evil.example", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
async def test_behind_a_proxy_the_form_comes_from_the_address_that_people_use(
    memory: Memory, sent: str, status: int
) -> None:
    """A proxy that calls us by another name than people call it."""
    behind = await client(memory, external_url=lambda: "https://people.example/bridge")
    try:
        response = await post(behind, {"Origin": sent}, do="approve", plan=QUESTION.digest)
        assert response.status == status
        assert len(memory.answered) == (status == 200)
        if status != 200:
            assert "external_url" in await response.text(), "how to mend it"
    finally:
        await behind.close()


async def test_a_token_is_nowhere_but_in_the_body_that_it_came_in(visitor: Any, caplog: Any) -> None:
    """Neither in an address (history, Referer, access logs), nor in a page, a cookie or a log."""
    responses = [
        await post(visitor, do="approve", token="op-token", plan=QUESTION.digest),
        await post(visitor, do="look", token="wrong-token"),
        await visitor.get("/r/r1?token=op-token"),
    ]
    assert [response.status for response in responses] == [200, 401, 401], "an address carries no credential"
    for response in responses:
        text = await response.text()
        assert "op-token" not in text
        assert "wrong-token" not in text
        assert 'method="get"' not in text
        assert "Set-Cookie" not in response.headers
        assert "Location" not in response.headers
        assert response.headers["Cache-Control"] == "no-store"
    assert "op-token" not in caplog.text.replace("GET /r/r1?token=op-token", "")


@pytest.mark.parametrize("fields", [{"do": "approve"}, {"do": "approve", "plan": "x"}, {"do": "burn"}, {}])
async def test_a_form_that_says_too_little_does_nothing(
    memory: Memory, operator: Any, fields: dict[str, str]
) -> None:
    assert (await post(operator, **fields)).status == 400
    assert memory.answered == []


async def test_a_plan_that_changed_since_is_told_with_the_new_one(memory: Memory, operator: Any) -> None:
    memory.said = Answered(Said.CHANGED, 0, 2)
    response = await post(operator, do="approve", plan="f" * 16)
    assert response.status == 200
    assert "Not done" in await response.text()
    assert QUESTION.digest in await response.text()


async def test_without_credentials_it_answers_to_localhost_only(memory: Memory) -> None:
    class Open:
        def identify(self, request: Any) -> Any:
            return EVERYBODY

    started = await client(memory, token="", authenticator=Open())
    try:
        assert (await started.get("/r/r1")).status == 200
        assert (await started.get("/r/r1", headers={"Host": "evil.example"})).status == 403
    finally:
        await started.close()


@pytest.mark.parametrize("name", ["none", "a%2Fb", "a%0d%0ab", "x" * 65])
async def test_what_does_not_exist_is_404(operator: Any, name: str) -> None:
    assert (await operator.get(f"/r/{name}")).status == 404


async def test_it_is_plain_html_with_one_title_and_its_tags_closed(operator: Any) -> None:
    text = await (await operator.get("/r/r1")).text()
    for tag in ("html", "head", "body", "table", "form", "pre", "p", "h2"):
        assert len(re.findall(f"<{tag}[ >]", text)) == text.count(f"</{tag}>"), tag


async def test_the_api_tells_programs_what_is_asked(operator: Any) -> None:
    await post(operator, do="approve", plan=QUESTION.digest)
    shown = await (await operator.get("/api/v1/remediations/r1")).json()
    assert shown["question"] == {
        "plan": QUESTION.digest,
        "steps": QUESTION.plans,
        "needed": 2,
        "agreed": ["olga"],
        "denied_by": "",
        "until": "2023-11-14T22:43:20Z",
        "open": True,
    }
