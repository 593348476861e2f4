"""The table of operations, added to the one HTTP application. Called by app."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from bridge.api.answers import Answers
from bridge.api.audit import AuditQuery, AuditRecord, AuditTrail
from bridge.api.guards import GuardsAnswer, GuardsView
from bridge.api.health import HealthHandlers
from bridge.api.openapi import openapi
from bridge.api.operation import Authenticator, Call, Operation, handler_of, refuse
from bridge.api.operation_schemas import (
    Explanation,
    Health,
    PauseItem,
    PauseList,
    PauseRequest,
    RefusalList,
    RefusalQuery,
    Reloaded,
    Resumed,
    ResumeRequest,
    Triggered,
    Welcome,
)
from bridge.api.operations import Operations, Reload, Trigger
from bridge.api.page import Page
from bridge.api.people import Acknowledged, AckRequest, NoticeList, People
from bridge.api.plans import PlannedRun, PlanRequest, Plans, Rehearse
from bridge.api.remediations import Remediations
from bridge.api.reports import Goals, Reports, StatsAnswer, StatsQuery
from bridge.api.schemas import (
    AnswerRequest,
    AnswerTaken,
    Cancelled,
    CancelRequest,
    JournalAnswer,
    JournalQuery,
    ListQuery,
    RemediationDetail,
    RemediationList,
    UndoRequest,
    UndoTaken,
)
from bridge.model.principal import Role
from bridge.model.reason import OVERRIDABLE
from bridge.model.report import Report
from bridge.ports import Audit, Clock, Guardbook, IntakeQueue, Journal, Notices, Refusals, StoreHealth, WorkQueue
from bridge.telemetry import Metrics

ID = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
FINGERPRINT = r"^[0-9a-f]{16}$"
_TRIGGER_RULES = {
    "anyOf": [
        {"required": ["alertname"], "properties": {"alertname": {"minLength": 1}}},
        {"required": ["runbook"], "properties": {"runbook": {"minLength": 1}}},
        {"required": ["labels"], "properties": {"labels": {"minProperties": 1}}},
    ],
    "properties": {
        "override": {"items": {"enum": [reason.value for reason in OVERRIDABLE]}},
        "startsAt": {"anyOf": [{"maxLength": 0}, {"format": "date-time"}]},
    },
}
_ONE = "/api/v1/remediations/{id}"


class ApiParts(msgspec.Struct, frozen=True, kw_only=True):
    """What the API stands on. Put together by app."""

    authenticator: Authenticator
    trigger: Trigger
    trigger_body: type
    """The type that `trigger` decodes its body to: described in the OpenAPI document."""
    waiting: IntakeQueue
    queue: WorkQueue
    journal: Journal
    guardbook: Guardbook
    guards: GuardsView
    refusals: Refusals
    notices: Notices
    audit: Audit
    health: StoreHealth
    metrics: Metrics
    clock: Clock
    reload: Reload
    rehearse: Rehearse
    stopping: asyncio.Event
    """Set when the server drains: open streams end."""
    version: str
    external_url: Callable[[], str]
    """The address that people use; empty: the one that they call us by."""
    goals: Callable[[], Goals] = Goals
    """What remediations have to come to."""


def add_api(app: web.Application, parts: ApiParts) -> None:
    """Add every operation to `app`, and problem documents for what is not there."""
    table = operations(parts)
    for path in dict.fromkeys(op.path for op in table):
        there = [op for op in table if op.path == path]
        for op in there:
            add = app.router.add_get if op.method == "GET" else app.router.add_post
            add(path, _checked(op, parts.authenticator))
        if path != "/":  # the receiver takes its POST
            app.router.add_route("*", path, _wrong_method([op.method for op in there]))
    Page(parts.authenticator, parts.queue, parts.journal, parts.external_url).add(app, ID)
    app.router.add_route("*", "/api/{rest:.*}", _not_there)
    app.router.add_route("*", "/-/{rest:.*}", _not_there)


def operations(parts: ApiParts) -> list[Operation]:
    """Return the whole API."""
    hand = Operations(
        trigger=parts.trigger,
        waiting=parts.waiting,
        guardbook=parts.guardbook,
        refusals=parts.refusals,
        clock=parts.clock,
        reload=parts.reload,
    )
    trail = AuditTrail(parts.audit, parts.queue, parts.journal)
    table = [
        *_about_runs(Remediations(parts.queue, parts.journal, parts.stopping)),
        *_answers(Answers(parts.queue, parts.journal)),
        *_about_people(People(parts.notices, parts.queue)),
        *_by_hand(hand, parts.trigger_body),
        _get(
            "/api/v1/guards",
            "show_guards",
            "What is paused, stopped or lowered, and what of the disruption budget is used",
            parts.guards.show,
            GuardsAnswer,
            problems=(503,),
        ),
        _post(
            "/api/v1/plan",
            "plan",
            "What a runbook would find and change now; nothing is made",
            Plans(parts.rehearse).plan,
            PlannedRun,
            body=PlanRequest,
            problems=(404, 503),
        ),
        *_looking_back(trail, Reports(parts.queue, parts.journal, parts.goals)),
        *_about_itself(HealthHandlers(parts.health, parts.metrics, parts.version)),
    ]

    table = [trail.noted(op) if op.name == "trigger" else op for op in table]

    async def document(_call: Call) -> web.Response:
        return web.Response(body=encoded, content_type="application/json")

    table.append(_get("/api/v1/openapi.json", "openapi", "This document", document, dict, role=None))
    encoded = msgspec.json.encode(openapi(table, parts.version))
    return table


def _about_runs(runs: Remediations) -> list[Operation]:
    one: dict[str, Any] = {"parameter": ID, "problems": (503,)}
    return [
        _get(
            "/api/v1/remediations",
            "list_remediations",
            "List remediations, newest first",
            runs.list,
            RemediationList,
            query=ListQuery,
            problems=(503,),
        ),
        _get(_ONE, "show_remediation", "Show one remediation", runs.show, RemediationDetail, **one),
        _get(
            f"{_ONE}/journal",
            "read_journal",
            "What happened to it; with follow=true as a stream",
            runs.journal,
            JournalAnswer,
            query=JournalQuery,
            media=("application/json", "application/x-ndjson"),
            **one,
        ),
        _get(
            f"{_ONE}/evidence",
            "read_evidence",
            "What was found, planned and done as a tar.gz with an index; with Accept: application/json the evidence",
            runs.evidence,
            bytes,
            media=("application/gzip", "application/json"),
            **one,
        ),
        _post(
            f"{_ONE}/cancel",
            "cancel_remediation",
            "Cancel what has not begun to write",
            runs.cancel,
            Cancelled,
            body=CancelRequest,
            body_required=False,
            parameter=ID,
            problems=(409, 503),
        ),
    ]


def _about_people(people: People) -> list[Operation]:
    return [
        _get(
            f"{_ONE}/notices",
            "read_notices",
            "What people were told of it, and who has taken it on",
            people.notices,
            NoticeList,
            parameter=ID,
            problems=(503,),
        ),
        _post(
            f"{_ONE}/ack",
            "acknowledge_remediation",
            "Take it on: nobody further is called",
            people.ack,
            Acknowledged,
            body=AckRequest,
            body_required=False,
            parameter=ID,
            problems=(503,),
        ),
    ]


def _answers(answers: Answers) -> list[Operation]:
    more: dict[str, Any] = {"body_required": False, "parameter": ID, "problems": (409, 503)}
    agree, refuse, undo = (f"{_ONE}/{verb}" for verb in ("approve", "deny", "undo"))
    said: dict[str, Any] = {"body": AnswerRequest, **more}
    wish: dict[str, Any] = {"body": UndoRequest, **more}
    return [
        _post(agree, "approve_remediation", "Agree to the plan it waits with", answers.approve, AnswerTaken, **said),
        _post(refuse, "deny_remediation", "Say no to the plan it waits with", answers.deny, AnswerTaken, **said),
        _post(undo, "undo_remediation", "Put back what it changed", answers.undo, UndoTaken, **wish),
    ]


def _by_hand(hand: Operations, trigger_body: type) -> list[Operation]:
    away: dict[str, Any] = {"problems": (503,)}
    return [
        _post(
            "/api/v1/trigger",
            "trigger",
            "Fire an alert, or run a runbook, by hand",
            hand.trigger,
            Triggered,
            body=trigger_body,
            rules=_TRIGGER_RULES,
            raw=True,
            **away,
        ),
        _get(
            "/api/v1/explain/{fingerprint}",
            "explain",
            "Every decision about an alert, those to do nothing included",
            hand.explain,
            Explanation,
            parameter=FINGERPRINT,
            **away,
        ),
        _get(
            "/api/v1/refusals",
            "list_refusals",
            "Alerts that could not be taken",
            hand.refused,
            RefusalList,
            query=RefusalQuery,
            **away,
        ),
        _get("/api/v1/pauses", "list_pauses", "What is paused", hand.pauses, PauseList, **away),
        _post("/api/v1/pause", "pause", "Stop acting", hand.pause, PauseItem, body=PauseRequest, **away),
        _post(
            "/api/v1/resume",
            "resume",
            "Act again",
            hand.resume,
            Resumed,
            body=ResumeRequest,
            body_required=False,
            problems=(404, 503),
        ),
        _post("/-/reload", "reload", "Read the configuration again", hand.reload, Reloaded, problems=(422,)),
    ]


def _looking_back(trail: AuditTrail, reports: Reports) -> list[Operation]:
    return [
        _get(
            f"{_ONE}/report",
            "read_report",
            "The incident report as Markdown; with Accept: application/json its parts",
            reports.report,
            Report,
            media=("text/markdown", "application/json"),
            parameter=ID,
            problems=(503,),
        ),
        _get(
            "/api/v1/stats",
            "read_stats",
            "How well it went: times to detect, respond and resolve, success rates, false positives",
            reports.stats,
            StatsAnswer,
            query=StatsQuery,
            problems=(503,),
        ),
        _get(
            "/api/v1/audit",
            "export_audit",
            "Every decision and every write, one JSON object a line",
            trail.export,
            AuditRecord,
            query=AuditQuery,
            media=("application/x-ndjson",),
            problems=(503,),
        ),
    ]


def _about_itself(health: HealthHandlers) -> list[Operation]:
    return [
        _get("/", "welcome", "Where to go from here", health.welcome, Welcome, role=None),
        _get("/-/healthy", "healthy", "The process is alive", health.healthy, Health, role=None),
        _get("/-/ready", "ready", "Alerts can be stored", health.ready, Health, role=None, problems=(503,)),
        _get("/metrics", "metrics", "Figures for Prometheus", health.metrics, str, role=None, media=("text/plain",)),
    ]


Handler = Callable[[Call], Awaitable[Any]]


def _get(path: str, name: str, summary: str, handle: Handler, answer: type, **more: Any) -> Operation:
    more = {"role": Role.VIEWER, **more}
    return Operation(method="GET", path=path, name=name, summary=summary, handle=handle, answer=answer, **more)


def _post(path: str, name: str, summary: str, handle: Handler, answer: type, **more: Any) -> Operation:
    more = {"role": Role.OPERATOR, **more}
    return Operation(method="POST", path=path, name=name, summary=summary, handle=handle, answer=answer, **more)


def _checked(op: Operation, authenticator: Authenticator) -> Callable[[web.Request], Awaitable[Any]]:
    """Return the handler; a path parameter that cannot exist is not there, whoever asks."""
    run = handler_of(op, authenticator)
    if not op.parameter:
        return run
    pattern = re.compile(op.parameter.removesuffix("$") + r"\Z")

    async def checked(request: web.Request) -> web.StreamResponse:
        if not all(pattern.match(value) for value in request.match_info.values()):
            return refuse(404, "no such name: it does not look like one")
        response: web.StreamResponse = await run(request)
        return response

    return checked


def _wrong_method(allowed: list[str]) -> Callable[[web.Request], Awaitable[web.Response]]:
    allow = ", ".join(sorted({*allowed, *(["HEAD"] if "GET" in allowed else [])}))

    async def wrong(request: web.Request) -> web.Response:
        return refuse(405, f"{request.method} is not served here, but {allow}", {"Allow": allow})

    return wrong


async def _not_there(_request: web.Request) -> web.Response:
    return refuse(404, "there is nothing here: GET /api/v1/openapi.json lists what is")
