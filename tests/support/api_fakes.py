"""The API's collaborators in memory, and a running server over them."""

from __future__ import annotations

import asyncio
import functools
import gzip
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from bridge.api.guards import GuardsView
from bridge.api.server import ApiParts, add_api
from bridge.engine.ending import Finish
from bridge.engine.rehearse import Rehearsal
from bridge.errors import InvalidInput, StoreUnavailable
from bridge.ingest.limits import RequestLimits
from bridge.ingest.trigger import TriggerBody, accept_trigger
from bridge.model.alert import Alert
from bridge.model.approval import Answer, Answered, Said
from bridge.model.audit import Happened, Note
from bridge.model.budget import BudgetSettings, BudgetUse, Spend, Spent
from bridge.model.intake import Pause, Seen
from bridge.model.mode import Mode
from bridge.model.notice import Ack, Deliveries, Delivery
from bridge.model.principal import Principal, Role
from bridge.model.reason import Reason
from bridge.model.refusal import Refusal, Refused
from bridge.model.remediation import Decision, Entry, Outcome, Remediation, RemediationView, State, Undoing
from bridge.model.target import Target
from bridge.model.trust import Lowered, Stopped
from bridge.telemetry import Metrics

NOW = 1_700_000_000.0
PRINT = "0123456789abcdef"
TOKENS = {
    "op-token": Principal("olga", frozenset({Role.OPERATOR})),
    "view-token": Principal("vera", frozenset({Role.VIEWER})),
    "send-token": Principal("alertmanager", frozenset({Role.SENDER})),
}


def view(name: str = "r1", state: State = State.QUEUED, **more: Any) -> RemediationView:
    """Return a remediation of the gateway."""
    made = Remediation(
        id=name,
        runbook="netweave/all-pods-down",
        target=Target("default", "Deployment", "o2ims-system", "gateway"),
        mode=Mode.AUTO,
        labels={"alertname": "GatewayDown"},
        created_at=NOW,
    )
    return RemediationView(remediation=made, state=state, **more)


class Tokens:
    def __init__(self, tokens: Mapping[str, Principal] = TOKENS) -> None:
        self.tokens = tokens

    def identify(self, request: web.BaseRequest) -> Principal | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self.tokens.get(token) if scheme == "Bearer" else None


class Memory:
    """Every store that the API uses; `down` makes it refuse."""

    def __init__(self) -> None:
        self.down = False
        self.views = {
            "r2": view("r2", State.RUNNING, writing=True),
            "r1": view("r1"),
            "r0": view("r0", State.DONE, outcome=Outcome.SUCCEEDED, reason="verified", finished_at=NOW + 9),
        }
        self.entries = [Entry(kind="started", at=NOW, text="a worker took it up"), Entry(kind="finished", at=NOW + 9)]
        self.pausing: dict[str, Pause] = {}
        self.accepted: list[Alert] = []
        self.woken: list[Reason] = []
        self.answered: list[Answer] = []
        self.undone: list[Remediation] = []
        self.said: Answered | None = None
        """What becomes of every answer, in place of being taken."""
        self.notes: list[Happened] = []
        self.ended = self.cancelled = ("", "", "")

    def _up(self) -> None:
        if self.down:
            raise StoreUnavailable("redis://:hunter2@10.0.0.1 refused")

    async def ping(self) -> None:
        self._up()

    async def accept(self, alerts: Sequence[Alert]) -> list[Seen]:
        self._up()
        self.accepted += alerts
        return [Seen.NEW for _ in alerts]

    async def wake(self, reasons: Any) -> int:
        self.woken += reasons
        return 3

    async def list(self, *, limit: int, state: str | None = None, before: str | None = None) -> list[RemediationView]:
        self._up()
        found = [item for item in self.views.values() if state in (None, item.state.value)]
        names = [item.remediation.id for item in found]
        return found[names.index(before) + 1 if before in names else 0 :][:limit]

    async def get(self, remediation: str) -> RemediationView | None:
        self._up()
        return self.views.get(remediation)

    async def cancel(self, remediation: str, by: str, why: str = "") -> bool:
        self.cancelled = (remediation, by, why)
        return self.views[remediation].state is State.QUEUED

    async def answer(self, remediation: str, answer: Answer, text: str) -> Answered:
        self._up()
        if remediation not in self.views:
            return Answered(Said.GONE)
        if self.said is not None:
            return self.said
        self.answered.append(answer)
        data = {"by": answer.by, "agree": answer.agree, "why": answer.why, "question": answer.digest}
        self.entries.append(Entry(kind="answered", at=NOW, text=text, data=data))
        return Answered(Said.TAKEN, int(answer.agree), 2)

    async def undo(self, record: Remediation, entry: Entry, moot: Sequence[str]) -> Undoing:
        self._up()
        self.undone.append(record)
        return Undoing.TAKEN

    async def read(self, remediation: str) -> list[Entry]:
        return self.entries

    async def evidence(self, remediation: str) -> bytes | None:
        return gzip.compress(b"{}") if remediation == "r0" else None

    async def follow(self, remediation: str) -> AsyncIterator[Entry]:
        for entry in self.entries:
            yield entry
        if remediation != "r0":
            await asyncio.Event().wait()

    async def explain(self, fingerprint: str) -> list[Decision]:
        self._up()
        return [Decision(at=NOW, reason="no_route", detail="no route")] if fingerprint == PRINT else []

    async def incidents(self, fingerprint: str) -> list[Mapping[str, Any]]:
        return [{"state": "open"}] if fingerprint == PRINT else []

    async def pause(self, pause: Pause) -> None:
        self._up()
        self.pausing[pause.scope] = pause

    async def resume(self, scope: str, *, by: str = "", why: str = "") -> bool:
        self.ended = (scope, by, why)
        return self.pausing.pop(scope, None) is not None

    async def pauses(self) -> list[Pause]:
        return list(self.pausing.values())

    async def waiting(self, reasons: Sequence[Reason]) -> Mapping[Reason, int]:
        self._up()
        return dict.fromkeys(reasons, 0) | {Reason.BUDGET_SPENT: 3, Reason.ATTEMPTS_SPENT: 1}

    async def use(self, window: float) -> BudgetUse:
        spend = Spend(
            scopes=("cluster:prod", "namespace:prod/shop"),
            target="t",
            workload="prod|apps|Deployment|shop|web",
            percent=50,
        )
        over = Spent(remediation="r0", settled_at=NOW, spends=(spend, msgspec.structs.replace(spend, target="u")))
        return BudgetUse(runs=(over, Spent(remediation="r2", settled_at=None, spends=(spend,))), wanted=7)

    async def stopped(self) -> Mapping[str, Stopped]:
        return {"netweave/all-pods-down": Stopped(runs=5, at=NOW)}

    async def lowered(self) -> Mapping[tuple[str, str], Lowered]:
        return {("GatewayDown", "netweave/restart"): Lowered(mode=Mode.APPROVE, helped=2, runs=5, at=NOW)}

    async def record(self, note: Note) -> None:
        self.notes.append(Happened(at=NOW, note=note))

    async def trail(self, *, since: float, until: float) -> AsyncIterator[Happened]:
        self._up()
        for one in self.notes:
            if since <= one.at < until:
                yield one

    async def acknowledge(self, remediation: str, ack: Ack) -> Ack | None:
        self._up()
        return Ack(by=ack.by, why=ack.why, at=NOW) if remediation in self.views else None

    async def deliveries(self, remediation: str) -> Deliveries:
        lost = Delivery(name="escalated-1/on-call", channel="on-call", state="lost", at=NOW, attempts=9, error="no")
        return Deliveries(ack=Ack(by="ann", at=NOW), messages=(lost,))

    async def recent(self, *, limit: int) -> list[Refusal]:
        one = Refusal(
            at=NOW, source="am", sender="alertmanager", reason=Refused.BAD_TIME, detail="x", index=0, excerpt="{"
        )
        return [one][:limit]


class Trail:
    """Its audit trail."""

    def __init__(self, memory: Memory) -> None:
        self.record, self.read = memory.record, memory.trail


class FixedClock:
    def now(self) -> float:
        return NOW


async def reload(by: str) -> tuple[int, int]:
    return 3, 4


async def rehearse(runbook: str, labels: Mapping[str, str]) -> Rehearsal:
    """Return what would come of a run that finds nothing to do."""
    if runbook == "no/such":
        raise InvalidInput("there is no runbook 'no/such'")
    target = Target("", "Deployment", labels.get("namespace", "shop"), "web")
    return Rehearsal(
        remediation=Remediation(id="plan", runbook=runbook, target=target, mode=Mode.AUTO, labels=dict(labels)),
        entries=(Entry(kind="scenario", at=NOW, text="it is `only`"),),
        ending=Finish(Outcome.OBSERVED, Reason.OBSERVE_ONLY, "planned"),
        evidence=None,
    )


def parts(memory: Memory, **more: Any) -> ApiParts:
    """Return everything the API stands on, over `memory`."""
    everything: dict[str, Any] = {
        **dict.fromkeys(("waiting", "queue", "journal", "guardbook", "refusals", "health", "notices"), memory),
        "guards": GuardsView(memory, memory, memory, rules=BudgetSettings, clusters=lambda: ("prod", "test")),
        "audit": Trail(memory),
        "authenticator": Tokens(),
        "metrics": Metrics("1"),
        "clock": FixedClock(),
        "reload": reload,
        "rehearse": rehearse,
        "trigger": functools.partial(accept_trigger, intake=memory, clock=FixedClock(), limits=RequestLimits()),
        "trigger_body": TriggerBody,
        "stopping": asyncio.Event(),
        "version": "1",
        "external_url": lambda: "",
    }
    return ApiParts(**(everything | more))


async def client(memory: Memory, token: str = "op-token", **more: Any) -> TestClient[Any, Any]:
    """Return a client of a running server; close it."""
    app = web.Application()
    add_api(app, parts(memory, **more))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    started = TestClient(TestServer(app), headers=headers)
    await started.start_server()
    return started


async def problem(response: Any, status: int) -> dict[str, Any]:
    """Check that `response` is the problem document of `status`, and return it."""
    assert response.status == status, await response.text()
    assert response.content_type == "application/problem+json"
    document: dict[str, Any] = msgspec.json.decode(await response.read())
    assert document["status"] == status
    return document
