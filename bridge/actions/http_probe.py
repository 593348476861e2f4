"""See whether something works by doing it: a request that makes something, and one that takes it away again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, model_validator
from pydantic import Field as ParamField

from bridge.actions.calls import CallAction, CallParams, Declared, peer_ref, result_of, shown
from bridge.actions.http_call import Request, http_answer, result
from bridge.errors import AlertbridgeError, InvalidInput
from bridge.model.outside import HttpReply, HttpRequest
from bridge.model.plan import Change, Plan, Repeat
from bridge.model.verification import Verification
from bridge.ports import ActionContext

_WORD = re.compile(r"\{([a-z_]+)\}")


class CleanUp(Request):
    expect_status: tuple[int, ...] = ParamField(
        default=(200, 202, 204, 404), min_length=1, description="Statuses that mean that it is gone."
    )
    take: dict[str, str] = ParamField(
        default={},
        max_length=10,
        description="Word to where its value stands in the JSON that was answered, such as `data.id`: `{word}` in "
        "`url` stands for that value.",
    )

    @model_validator(mode="after")
    def _named(self) -> CleanUp:
        if unknown := set(_WORD.findall(self.url)) - self.take.keys():
            raise ValueError(f"`url` has {{{min(unknown)}}}, and `take` does not say where its value stands")
        return self


class HttpProbeParams(Request, CallParams):
    expect_body: str | None = ParamField(
        default=None, max_length=1024, description="A text that the answer has to hold."
    )
    repeat: Declared = ParamField(
        default="never", description="Whether it may be sent again after a crash in its midst."
    )
    clean_up: CleanUp | None = ParamField(
        default=None, description="A request that takes away what it made, sent when the answer was as expected."
    )


class HttpProbe(CallAction):
    """A request whose answer proves something, and that leaves nothing behind."""

    name = "http_probe"
    summary = "Try an allow-listed address by a request, a POST as well, and take away what that made."
    params: type[BaseModel] = HttpProbeParams
    example: Mapping[str, Any] = {
        "url": "http://search:9200/subscriptions",
        "json": {"callback": "http://test.example/notify"},
        "expect_status": [201],
        "clean_up": {
            "method": "DELETE",
            "url": "http://search:9200/subscriptions/{id}",
            "take": {"id": "subscriptionId"},
        },
    }

    async def plan(self, context: ActionContext, params: HttpProbeParams) -> Plan:
        """Plan both requests; raise InvalidInput for a host or a secret that the settings do not allow."""
        call = params.call(params.timeout) | {"repeat": params.repeat}
        for request in (params, params.clean_up):
            if request is not None:
                context.reach.check("http", _WORD.sub("x", request.url), tuple(request.secret_headers.values()))
        if (back := params.clean_up) is not None:
            filled = back.model_copy(update={"url": _WORD.sub("x", back.url)}).call(params.timeout)
            call["clean_up"] = {**filled, "url": back.url, "take": dict(back.take)}
        ref = peer_ref("Http", params.url.partition("?")[0])
        summary = f"try {params.method} {shown(params.url)}"
        repeat = Repeat(params.repeat)
        return self.planned_call(ref, summary, call, repeat=repeat, back=None, harmless=True)

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        """Send it, and take away what it made; whatever is answered is kept."""
        call = change.call
        reply = await _sent(context, call, call["url"])
        kept = {**result(reply), "left": ""}
        if reply.status in call["expect_status"] and (back := call.get("clean_up")):
            try:
                gone = await _sent(context, back, _filled(back["url"], back["take"], kept.get("json")))
                left = "" if gone.status in back["expect_status"] else f"{gone.status}: {shown(gone.body)}"
            except AlertbridgeError as error:
                left = str(error)
            kept["left"] = left
        return kept

    async def verify(self, context: ActionContext, plan: Plan, params: HttpProbeParams) -> Verification:
        """Fixed when the answer was as it was to be; that what it made could not be taken away is told."""
        found = result_of(context)
        answer = http_answer(found, params.expect_status, params.expect_body)
        if found.get("left"):
            return Verification(answer.answer, f"{answer.detail}; what it made is still there: {found['left']}", True)
        return answer


async def _sent(context: ActionContext, call: Mapping[str, Any], url: str) -> HttpReply:
    request = {name: call[name] for name in ("method", "headers", "secret_headers", "body")}
    return await context.reach.http(HttpRequest(url=url, deadline=call["timeout"], **request))


def _filled(url: str, take: Mapping[str, str], answered: Any) -> str:
    """Return the address with what was answered in it, as one part of a path; raise InvalidInput."""

    def value(found: re.Match[str]) -> str:
        inner = answered
        for part in take[found.group(1)].split("."):
            inner = inner.get(part) if isinstance(inner, dict) else None
        if isinstance(inner, bool) or not isinstance(inner, str | int) or inner in ("", ".", ".."):
            raise InvalidInput(f"the answer has no {take[found.group(1)]}: it is not known what to take away")
        return quote(str(inner), safe="")

    return _WORD.sub(value, url)
