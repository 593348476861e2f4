"""The engine on a bench: real execute and worker, over stores in memory and a cluster with faults on demand.

bench = Bench()
bench.add(runbook(steps=[{"action": "set", "with": {"value": 5}}]))
assert await bench.run() == (Outcome.SUCCEEDED, Reason.VERIFIED)
"""

from __future__ import annotations

import asyncio
import copy
from typing import Any

from pydantic import BaseModel

from bridge.engine.lease import Lease
from bridge.engine.parts import Limits, Parts
from bridge.engine.worker import Worker, WorkerOptions
from bridge.errors import InvalidInput, KubeUnavailable
from bridge.model.mode import Mode
from bridge.model.plan import Change, Field, Plan, Repeat, Undo, read_pointer
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Entry, Outcome, Remediation, RemediationView, State
from bridge.model.runbook import Runbook
from bridge.model.target import ObjectRef, Target
from bridge.model.verification import Answer, Verification
from bridge.ports import ActionContext, Clock, Cluster, EntryGuard, PlanGuard, Silences, Trustbook
from bridge.telemetry import Metrics
from tests.support.clock import FakeClock
from tests.support.flaky_cluster import FlakyCluster
from tests.support.memory_stores import MemoryBreakers, MemoryGuardbook, MemoryLocks, MemoryWork

REF = ObjectRef("apps/v1", "Deployment", "shop", "web", uid="uid-web")
OTHER = ObjectRef("apps/v1", "Deployment", "shop", "worker", uid="uid-worker")
RUNBOOK_BREAKER = "runbook:test/web"
FIXED = Verification(Answer.FIXED, "all ready")
NOT_FIXED = Verification(Answer.NOT_FIXED, "2 of 3 ready", final=True)
NOT_YET = Verification(Answer.NOT_FIXED, "2 of 3 ready")
UNKNOWN = Verification(Answer.UNKNOWN, "no sample")
SUCCEEDED = (Outcome.SUCCEEDED, Reason.VERIFIED)
TWO_STEPS = [{"action": "set"}, {"action": "set", "with": {"value": 7, "names": ["worker"]}}]
FACTS = {"facts": {"collect": "facts"}}
AWAY = KubeUnavailable("no connection", what="get deployment/shop/web")


class SetParams(BaseModel):
    value: Any = 5
    names: list[str] = ["web"]


class SetField:
    """Sets `/spec/value` of one deployment or more. `answers` are its verifications, the last one for ever."""

    summary = "Set a value."
    params = SetParams

    def __init__(self, name: str = "set", **kind: Any) -> None:
        self.name = name
        self.repeat: Repeat = kind.pop("repeat", Repeat.SAFE)
        self.undo: Undo = kind.pop("undo", Undo.EXACT)
        self.undo_failed: bool = kind.pop("undo_failed", False)
        self.answers: list[Any] = [FIXED]
        self.planning: list[Exception] = []
        self.plans = 0
        self.seen_params: list[Any] = []

    async def plan(self, context: ActionContext, params: SetParams) -> Plan:
        self.plans += 1
        if self.planning:
            raise self.planning.pop(0)
        changes = []
        for name in params.names:
            ref = ObjectRef("apps/v1", "Deployment", "shop", name, cluster=context.target.cluster)
            found = await context.reach.cluster.get(ref)
            before = read_pointer(found, "/spec/value")
            pinned = ObjectRef("apps/v1", "Deployment", "shop", name, uid=found["metadata"]["uid"])
            if before != params.value:
                fields = (Field("/spec/value", before, params.value),)
                changes.append(Change(ref=pinned, fields=fields, summary=f"{name}: {before} to {params.value}"))
        return Plan(
            action=self.name,
            summary=f"set {params.names} to {params.value}",
            changes=tuple(changes),
            repeat=self.repeat,
            undo=self.undo,
            undo_failed=self.undo_failed,
        )

    async def verify(self, context: ActionContext, plan: Plan, params: SetParams) -> Verification:
        self.seen_params.append(params)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        if callable(answer):
            return await answer()  # type: ignore[no-any-return]
        return answer  # type: ignore[no-any-return]


class NoParams(BaseModel):
    pass


class Facts:
    """A collector that says what the test tells it to; an exception is raised."""

    summary = "Facts."
    params = NoParams

    def __init__(self, name: str = "facts", facts: Any = None) -> None:
        self.name = name
        self.facts: Any = facts or {"value": 1}
        self.count = 0

    async def collect(self, context: ActionContext, params: Any) -> dict[str, Any]:
        self.count += 1
        if isinstance(self.facts, BaseException):
            raise self.facts
        if callable(self.facts):
            return await self.facts()  # type: ignore[no-any-return]
        return dict(self.facts)


class Reach:
    copies: Any = None

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self.cluster = cluster
        self.clock = clock

    def over(self, cluster: Cluster) -> Reach:
        other = copy.copy(self)
        other.cluster = cluster
        return other

    async def promql(self, query: str) -> list[Any]:
        return []

    async def http_status(self, url: str) -> int:
        return 200


class Told:
    """Implements ports.Notifier."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bool]] = []

    async def notify(self, view: RemediationView, text: str, *, page: bool) -> None:
        self.said.append((text, page))


def runbook(**fields: Any) -> Runbook:
    """Return a runbook with one scenario of one step, `set`; `steps`, `when` and the rest may be given."""
    steps = fields.pop("steps", [{"action": "set"}])
    scenarios = fields.pop("scenarios", [{"name": "only", "otherwise": True, "steps": steps}])
    target = {"kind": "Deployment", "namespace": "shop", "name": "web"}
    return Runbook.model_validate(
        {"name": "test/web", "summary": "Mend web.", "target": target, "scenarios": scenarios, **fields}
    )


class Judge:
    """A plan guard that answers what it is told, and remembers the plans it saw."""

    name = "judge"

    def __init__(self, verdict: Verdict | None = None) -> None:
        self.verdict = verdict or Verdict.allow()
        self.saw: list[str] = []

    async def check(self, remediation: Any, plan: Any, context: Any) -> Verdict:
        self.saw.append(plan.summary)
        return self.verdict


class Bench:
    """One worker's world. Everything is open to the test."""

    def __init__(self, **limits: Any) -> None:
        self.clock = FakeClock(auto=True)
        self.cluster = FlakyCluster()
        self.cluster.add(REF, spec={"value": 1})
        self.cluster.add(OTHER, spec={"value": 1})
        self.locks = MemoryLocks()
        self.work = MemoryWork(self.clock, self.locks)
        self.guardbook = MemoryGuardbook(self.clock)
        self.breakers = MemoryBreakers(self.clock)
        self.told = Told()
        self.metrics = Metrics("test")
        self.action = SetField()
        self.facts = Facts()
        self.entry_guards: list[EntryGuard] = []
        self.silences: Silences | None = None
        self.trust: Trustbook | None = None
        self.plan_guards: list[PlanGuard] = []
        self.mode: Mode | None = Mode.AUTO
        self.operators: set[str] | None = None
        """Who may agree; None: anybody."""
        self.stopping = asyncio.Event()
        self.limits = Limits(**limits)
        self.actions: dict[str, Any] = {"set": self.action}

    def parts(self) -> Parts:
        return Parts(
            queue=self.work,
            journal=self.work,
            locks=self.locks,
            guardbook=self.guardbook,
            breakers=self.breakers,
            clusters=None,  # type: ignore[arg-type]
            connections=self._reach,
            prometheus=False,
            actions=self.actions,
            collectors={"facts": self.facts},
            entry_guards=self.entry_guards,
            silences=self.silences,
            trust=self.trust,
            plan_guards=lambda: self.plan_guards,
            process_mode=lambda: self.mode,
            may_answer=lambda name: self.operators is None or name in self.operators,
            clock=self.clock,
            notifier=self.told,
            metrics=self.metrics,
            limits=self.limits,
        )

    def _reach(self, cluster: str) -> Reach:
        if cluster != self.cluster.name:
            raise InvalidInput(f"there is no cluster {cluster!r}")
        return Reach(self.cluster, self.clock)

    def add(self, book: Runbook | None = None, *, name: str = "r1", **fields: Any) -> None:
        book = book or runbook()
        about: dict[str, Any] = {
            "id": name,
            "runbook": book.name,
            "target": Target("", "Deployment", "shop", "web"),
            "mode": Mode.AUTO,
            "runbook_doc": book.model_dump(mode="json", by_alias=True),
            "created_at": self.clock.now(),
            **fields,
        }
        self.work.add(Remediation(**about))

    def worker(self, name: str = "w1", **options: Any) -> Worker:
        return Worker(self.parts(), WorkerOptions(name=name, **options))

    async def stretch(self, name: str = "r1", worker: str = "w1") -> RemediationView:
        """Claim it, work on it until it ends, parks or is handed over, and return it."""
        claim = self.work.take(name, worker)
        lease = Lease(claim, self.work, self.clock, seconds=4.0, stopping=self.stopping)
        await self.worker(worker)._work(lease)
        return self.view(name)

    async def run(self, name: str = "r1", *, stretches: int = 200) -> tuple[Outcome, Reason]:
        """Work on it until it is done, through all parking, with a worker of another name each time."""
        for number in range(stretches):
            view = await self.stretch(name, f"w{number + 1}")
            if view.state is State.DONE:
                assert view.outcome is not None
                return view.outcome, Reason.of(view.reason)
            if view.due_at is not None:
                self.clock.advance(max(0.0, view.due_at - self.clock.now()))
        raise AssertionError(f"{name} is not done after {stretches} stretches of work: {self.kinds(name)}")

    def view(self, name: str = "r1") -> RemediationView:
        return self.work.rows[name].view

    def entries(self, name: str = "r1") -> list[Entry]:
        return self.work.rows[name].entries

    def kinds(self, name: str = "r1") -> list[str]:
        return [entry.kind for entry in self.entries(name)]

    def value(self, ref: ObjectRef = REF) -> Any:
        return self.cluster.document(ref)["spec"]["value"]

    @property
    def writes(self) -> list[Any]:
        """The values that were written, in order; only what changed something."""
        return [read_pointer(sent.body, "/spec/value") for sent in self.cluster.effective]
