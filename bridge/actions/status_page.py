"""A status page: an incident is opened with a POST and brought up to date with a PATCH of what that made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, model_validator
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.calls import CallParams, own_ref, result_of
from bridge.actions.http_call import Request, http_answer, result, send
from bridge.errors import InvalidInput
from bridge.model.peers import AllowedUrl, SecretHeaders
from bridge.model.permission import Permission
from bridge.model.plan import Change, Operation, Plan, Repeat, Undo
from bridge.model.target import check_name
from bridge.model.verification import Answer, Verification
from bridge.ports import ActionContext

_ID_FIELDS = ("id", "incident_id", "uuid")


class StatusPageParams(CallParams):
    url: AllowedUrl = ParamField(max_length=2048, description="Where incidents are made, at one of `http.hosts`.")
    id: str | None = ParamField(
        default=None,
        description="The incident to bring up to date, e.g. `${steps.page.id}`; left out: a new one is made.",
    )
    title: str = ParamField(default="", max_length=200, description="What a new incident is called.")
    status: Literal["investigating", "identified", "monitoring", "resolved"] = ParamField(
        default="investigating", description="How far it is."
    )
    message: str = ParamField(default="", max_length=4000, description="What readers are told.")
    more: Mapping[str, Any] = ParamField(
        default={}, description="Further fields of the body, e.g. the components that are affected."
    )
    secret_headers: SecretHeaders = ParamField(
        default={},
        max_length=10,
        description="Header to the name of its value in `http.secrets`: it is never shown.",
    )

    @model_validator(mode="after")
    def _fits(self) -> StatusPageParams:
        if self.id is None and not self.title:
            raise ValueError("a new incident needs a `title`")
        return self


class StatusPage(BaseAction):
    """Tells readers of a status page."""

    name = "status_page"
    summary = "Open an incident on a status page, or bring one up to date; its `id` is kept for later steps."
    params: type[BaseModel] = StatusPageParams
    texts = ("title", "message")
    example: Mapping[str, Any] = {
        "url": "https://status.example/api/incidents",
        "title": "API issues",
        "status": "investigating",
        "message": "We are investigating increased error rates.",
        "secret_headers": {"Authorization": "status-page"},
    }
    repeat = Repeat.NEVER
    undo = Undo.NONE

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return ()

    async def plan(self, context: ActionContext, params: StatusPageParams) -> Plan:
        """Plan the request; raise InvalidInput for a host or a secret that the settings do not allow."""
        context.reach.check("http", params.url, tuple(params.secret_headers.values()))
        body: dict[str, Any] = {**params.more, "status": params.status, "message": params.message}
        if params.title:
            body["name"] = params.title
        new = params.id is None
        request = Request(
            method="POST" if new else "PATCH",
            url=params.url if new else f"{params.url.rstrip('/')}/{_safe_id(params.id)}",
            secret_headers=params.secret_headers,
            json=body,
        )
        # What an update says it says twice as well: only a second incident would be one too many.
        repeat = Repeat.NEVER if new else Repeat.SAFE
        what = f"open an incident, {params.title!r}," if new else f"say {params.status} of incident {params.id}"
        summary = f"{what} on {params.url}"
        change = Change(
            ref=own_ref(context, "StatusPage", params.url),
            operation=Operation.CALL,
            call=request.call(params.timeout) | {"repeat": repeat.value, "id": params.id},
            summary=summary,
        )
        return self.planned(summary, change, repeat=repeat, harmless=True)

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        """Send it; return the answer, and the incident's `id`."""
        found = result(await send(context, change.call))
        return {**found, "id": change.call["id"] or _id_in(found.get("json"))}

    async def verify(self, context: ActionContext, plan: Plan, params: StatusPageParams) -> Verification:
        """Fixed when the page took it, and a new incident has an id."""
        found = result_of(context)
        answer = http_answer(found, Request(url=params.url).expect_status)
        if answer.answer is Answer.FIXED and not found.get("id"):
            return Verification(Answer.FIXED, f"{answer.detail}, without an id: it cannot be brought up to date")
        return answer


def _id_in(document: Any) -> str:
    """Return the id in the page's answer, on its top or within `incident` or `data`; empty when there is none."""
    if not isinstance(document, dict):
        return ""
    for part in (document, document.get("incident"), document.get("data")):
        for key in _ID_FIELDS:
            if isinstance(part, dict) and isinstance(part.get(key), str | int) and part[key] != "":
                return str(part[key])
    return ""


def _safe_id(value: str | None) -> str:
    """Return an id that is one segment of a path; raise InvalidInput."""
    text = str(value or "")
    plain = text.replace("_", "-").lower()
    try:
        check_name(plain)
    except InvalidInput:
        raise InvalidInput(f"{text[:80]!r} is no incident's id") from None
    return text
