"""`curl -X POST …` to allow-listed hosts: a request, what it has to answer, and perhaps one that makes up for it."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import msgspec
from pydantic import BaseModel, model_validator
from pydantic import Field as ParamField

from bridge.actions.calls import CallAction, CallParams, Declared, not_kept, peer_ref, result_of, shown
from bridge.errors import InvalidInput, OutcomeUnknown, PermanentError, TemporaryError
from bridge.model.outside import HttpReply, HttpRequest
from bridge.model.peers import AllowedUrl, SecretHeaders
from bridge.model.plan import Change, Plan, Repeat
from bridge.model.runbook import Strict
from bridge.model.verification import Answer, Verification
from bridge.ports import ActionContext

_READS = ("GET", "HEAD")
_SAFE = (*_READS, "PUT", "DELETE")
"""Methods that are idempotent by definition. Source: RFC 9110, section 9.2.2."""
_AGAIN = (429, 502, 503, 504)
_DECODED = 4
_SUCCESS = (200, 201, 202, 204)

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


class Request(Strict):
    """One request."""

    method: Method = ParamField(default="POST", description="The HTTP method.")
    url: AllowedUrl = ParamField(max_length=2048, description="The address; its host has to be among `http.hosts`.")
    headers: Mapping[str, str] = ParamField(
        default={}, max_length=30, description="Further headers; no credentials: those are named in `secret_headers`."
    )
    secret_headers: SecretHeaders = ParamField(
        default={},
        max_length=10,
        description="Header to the name of its value in `http.secrets`: it is never shown.",
    )
    body: str | None = ParamField(default=None, max_length=65_536, description="The body as a text.")
    json_: Any = ParamField(default=None, alias="json", description="The body as a value, sent as JSON.")
    expect_status: tuple[int, ...] = ParamField(
        default=_SUCCESS, min_length=1, description="Statuses that mean success."
    )

    @model_validator(mode="after")
    def _one_body(self) -> Request:
        if self.body is not None and self.json_ is not None:
            raise ValueError("give one of `body` and `json`")
        return self

    def call(self, timeout: float) -> dict[str, Any]:
        """Return the request as a plan keeps it. Raises InvalidInput for an address that leads somewhere else."""
        refuse_odd_paths(self.url)
        headers = dict(self.headers)
        body = self.body
        if self.json_ is not None:
            body = msgspec.json.encode(self.json_).decode()
            headers = {"Content-Type": "application/json", **headers}
        return {
            "method": self.method,
            "url": self.url,
            "headers": headers,
            "secret_headers": dict(self.secret_headers),
            "body": body,
            "expect_status": list(self.expect_status),
            "timeout": timeout,
        }


class HttpCallParams(Request, CallParams):
    expect_body: str | None = ParamField(
        default=None, max_length=1024, description="A text that the answer has to hold."
    )
    repeat: Declared | None = ParamField(
        default=None,
        description="Whether sending it twice is sending it once. GET, HEAD, PUT and DELETE are safe unless it says "
        "`never`; PATCH may be called `safe`; a POST never is.",
    )
    undo: Request | None = ParamField(
        default=None, description="A request that makes up for it, when the remediation did not help."
    )

    @model_validator(mode="after")
    def _honest(self) -> HttpCallParams:
        if self.method == "POST" and self.repeat == "safe":
            raise ValueError("a POST is not safe to repeat: after a crash in its midst a person has to look")
        return self


class HttpCall(CallAction):
    """A request to an allow-listed host."""

    name = "http_call"
    summary = "Send one HTTP request to an allow-listed host, and check its status and body."
    params: type[BaseModel] = HttpCallParams
    example: Mapping[str, Any] = {
        "method": "POST",
        "url": "http://search:9200/admin/rebuild-index",
        "secret_headers": {"Authorization": "search-admin"},
        "json": {"index": "orders"},
        "expect_status": [200, 202],
    }

    async def plan(self, context: ActionContext, params: HttpCallParams) -> Plan:
        """Plan the request; raise InvalidInput for a host or a secret that the settings do not allow."""
        context.reach.check("http", params.url, tuple(params.secret_headers.values()))
        back = None
        if params.undo is not None:
            context.reach.check("http", params.undo.url, tuple(params.undo.secret_headers.values()))
            back = params.undo.call(params.timeout)
        repeat = repeat_of_method(params.method, params.repeat)
        call = params.call(params.timeout) | {"repeat": repeat.value}
        summary = f"{params.method} {shown(params.url)}"
        ref = peer_ref("Http", params.url.partition("?")[0])
        harmless = params.method in _READS
        return self.planned_call(ref, summary, call, repeat=repeat, back=back, harmless=harmless)

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        """Send it; return status and body. An undo that is refused is an error: nobody looks at its result."""
        call = change.call
        reply = await send(context, call)
        if call.get("undo") and reply.status not in call["expect_status"]:
            raise PermanentError(f"{change.summary}: {reply.status} {shown(reply.body)}")
        return result(reply)

    async def verify(self, context: ActionContext, plan: Plan, params: HttpCallParams) -> Verification:
        """Fixed when the answer was as it was to be."""
        return http_answer(result_of(context), params.expect_status, params.expect_body)


async def send(context: ActionContext, call: Mapping[str, Any]) -> HttpReply:
    """Send a planned request, marked with the remediation so that a server can tell a second one.

    Raises TemporaryError for a server that says "later" to what may be repeated, and OutcomeUnknown for one that
    failed over what may not.
    """
    key = hashlib.sha256(msgspec.json.encode(call, order="deterministic")).hexdigest()[:12]
    reply = await context.reach.http(
        HttpRequest(
            method=call["method"],
            url=call["url"],
            headers={"Idempotency-Key": f"{context.remediation}-{key}", **call["headers"]},
            secret_headers=call["secret_headers"],
            body=call["body"],
            deadline=call["timeout"],
        )
    )
    if reply.status in call["expect_status"]:
        return reply
    text = f"{call['method']} {shown(call['url'])}: {reply.status}"
    safe = call.get("repeat", Repeat.NEVER.value) == Repeat.SAFE.value
    if reply.status == 429 or (safe and reply.status in _AGAIN):
        raise TemporaryError(text)
    if reply.status >= 500 and not safe:
        raise OutcomeUnknown(f"{text}: whether it took effect is not known")
    return reply


def result(reply: HttpReply) -> dict[str, Any]:
    """Return what is kept of an answer: status, body, and `json` where the body is JSON."""
    kept: dict[str, Any] = {"status": reply.status, "body": reply.body, "truncated": reply.truncated}
    if not reply.truncated:
        with contextlib.suppress(msgspec.DecodeError, RecursionError, UnicodeError):
            kept["json"] = msgspec.json.decode(reply.body)
    return kept


def http_answer(found: Mapping[str, Any], statuses: Sequence[int], text: str | None = None) -> Verification:
    """Return what an answer means."""
    if "status" not in found:
        return not_kept("the request")
    status, body = found["status"], str(found.get("body", ""))
    if status not in statuses:
        return Verification(Answer.NOT_FIXED, f"the answer was {status}: {shown(body)}", final=True)
    if text is not None and text not in body:
        return Verification(Answer.NOT_FIXED, f"the answer {status} does not hold {shown(text)!r}", final=True)
    return Verification(Answer.FIXED, f"the answer was {status}")


def repeat_of_method(method: str, declared: str | None) -> Repeat:
    if declared is not None:
        return Repeat(declared)
    return Repeat.SAFE if method in _SAFE else Repeat.NEVER


def refuse_odd_paths(url: str) -> None:
    """Raise InvalidInput for `.` and `..` in a path: a value from an alert must not lead to another place."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidInput(f"{url[:80]!r} is not an HTTP address") from error
    if parts.fragment or any(_odd(part) for part in parts.path.split("/")):
        raise InvalidInput(f"{url[:80]!r} leads to another place than it names")


def _odd(part: str) -> bool:
    """Whether a server could take one part of a path for a way up, or for several parts."""
    for _ in range(_DECODED):
        # Parameters of a part (RFC 3986, section 3.3) are cut off by some before they look at what is left.
        if part.partition(";")[0] in (".", "..") or "/" in part or "\\" in part:
            return True
        part = unquote(part)
    # What is still encoded was encoded to get past somebody.
    return unquote(part) != part
