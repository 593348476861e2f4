"""A step that need not help: what fails of it is told, and the steps after it are made all the same."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import KubeForbidden, PermanentError, PlanError
from bridge.model import kinds
from bridge.model.plan import Undo
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Outcome, State
from tests.support.bench import FIXED, NOT_FIXED, OTHER, REF, UNKNOWN, Bench, SetField, runbook
from tests.support.flaky_cluster import Fault

pytestmark = pytest.mark.usefixtures("quiet_log")

SUCCEEDED = (Outcome.SUCCEEDED, Reason.VERIFIED)
DUMP = {"id": "dump", "action": "dump", "with": {"value": 5}, "on_failed": "continue"}
MEND = {"action": "set", "with": {"value": 7, "names": ["worker"]}}


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.actions["dump"] = bench.dump = SetField("dump", undo=Undo.EXACT)  # type: ignore[attr-defined]
    bench.add(runbook(steps=[DUMP, MEND]))
    return bench


def passed(bench: Bench) -> list[str]:
    return [entry.text for entry in bench.entries() if entry.kind == kinds.PASSED]


async def test_what_cannot_be_planned_is_told_and_the_next_step_is_made(bench: Bench) -> None:
    bench.dump.planning = [PlanError("no pod to dump")]  # type: ignore[attr-defined]
    assert await bench.run() == SUCCEEDED
    assert (bench.value(), bench.value(OTHER)) == (1, 7)
    assert passed(bench) == ["dump did not help, the next step is made: no pod to dump"]


async def test_what_did_not_help_is_told_and_the_next_step_is_made(bench: Bench) -> None:
    bench.dump.answers = [NOT_FIXED]  # type: ignore[attr-defined]
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 7]
    assert passed(bench) == ["dump did not help, the next step is made: 2 of 3 ready"]


async def test_what_the_server_refuses_is_told_and_the_next_step_is_made(bench: Bench) -> None:
    bench.cluster.faults.append(Fault("patch", KubeForbidden("not allowed", what="patch web")))
    assert await bench.run() == SUCCEEDED
    assert (bench.value(), bench.value(OTHER)) == (1, 7)


async def test_what_is_well_leaves_no_word_of_a_failure(bench: Bench) -> None:
    bench.add(runbook(steps=[DUMP, {**MEND, "when": "!steps.dump.failed"}]), name="r2")
    assert await bench.run("r2") == SUCCEEDED
    assert bench.writes == [5, 7]
    assert passed(bench) == []


async def test_later_steps_see_that_it_failed(bench: Bench) -> None:
    bench.dump.planning = [PermanentError("no")]  # type: ignore[attr-defined]
    bench.add(runbook(steps=[DUMP, {**MEND, "when": "steps.dump.failed"}]), name="r2")
    assert await bench.run("r2") == SUCCEEDED
    assert bench.writes == [7]


async def test_what_is_unknown_ends_the_run_all_the_same(bench: Bench) -> None:
    bench.dump.answers = [UNKNOWN]  # type: ignore[attr-defined]
    assert (await bench.run())[0] is Outcome.UNKNOWN
    assert bench.writes == [5]


async def test_what_a_guard_denies_ends_the_run_all_the_same(bench: Bench) -> None:
    class Judge:
        name = "judge"

        async def check(self, remediation: Any, plan: Any, context: Any) -> Verdict:
            return Verdict.deny(Reason.UNDO_NONE) if plan.action == "dump" else Verdict.allow()

    bench.plan_guards = [Judge()]
    assert await bench.run() == (Outcome.DENIED, Reason.UNDO_NONE)
    assert bench.writes == []


async def test_another_worker_goes_on_behind_it(bench: Bench) -> None:
    bench.dump.answers = [NOT_FIXED]  # type: ignore[attr-defined]
    bench.add(runbook(steps=[DUMP, {"wait": {"for": "1h"}}, MEND]), name="r2")
    parked = await bench.stretch("r2", "w1")
    assert (parked.state, bench.writes) == (State.PARKED, [5])
    assert await bench.run("r2") == SUCCEEDED
    assert bench.writes == [5, 7]
    assert len([kind for kind in bench.kinds("r2") if kind == kinds.PASSED]) == 1


async def test_of_several_items_all_are_made(bench: Bench) -> None:
    class Each(SetField):
        async def verify(self, context: Any, plan: Any, params: Any) -> Any:
            return NOT_FIXED if params.names == ["web"] else FIXED

    bench.actions["set"] = Each()
    each = {"id": "all", "action": "set", "for_each": ["web", "worker"], "with": {"names": ["${item}"], "value": 7}}
    tell = {"action": "dump", "with": {"value": "${steps.all.items.filter(i, i.failed).map(i, i.item)}"}}
    bench.add(runbook(steps=[{**each, "on_failed": "continue"}, tell]), name="r2")
    assert await bench.run("r2") == SUCCEEDED
    assert (bench.value(OTHER), bench.value(REF)) == (7, ["web"])
