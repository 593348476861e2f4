"""One step for several items: all planned first, so many at a time, and stopped by the first that fails."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from bridge.errors import KubeForbidden, KubeReplyLost, KubeUnavailable, PlanError
from bridge.model import kinds
from bridge.model.intake import Pause
from bridge.model.mode import Mode
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Outcome, State
from bridge.model.target import ObjectRef, Target
from tests.support.bench import FIXED, NOT_FIXED, NOT_YET, SUCCEEDED, UNKNOWN, Bench, SetField, runbook
from tests.support.flaky_cluster import Fault

pytestmark = pytest.mark.usefixtures("quiet_log")

NAMES = ("n1", "n2", "n3")
REFS = {name: ObjectRef("apps/v1", "Deployment", "shop", name, uid=f"uid-{name}") for name in NAMES}
EACH = {"action": "set", "with": {"names": ["${item}"]}, "for_each": list(NAMES)}


class Each(SetField):
    """Answers by the name of the item; counts how many are verified at once."""

    def __init__(self) -> None:
        super().__init__(undo_failed=True)
        self.by_name: dict[str, list[Any]] = {}
        self.at_once = 0
        self.most = 0
        self.order: list[str] = []

    async def verify(self, context: Any, plan: Any, params: Any) -> Any:
        name = params.names[0]
        self.order.append(name)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        answers = self.by_name.get(name, [FIXED])
        return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    for ref in REFS.values():
        bench.cluster.add(ref, spec={"value": 1})
    bench.actions["set"] = bench.action = Each()
    return bench


def values(bench: Bench) -> list[Any]:
    return [bench.value(ref) for ref in REFS.values()]


async def test_every_item_is_made_one_after_the_other(bench: Bench) -> None:
    bench.add(runbook(steps=[EACH]))
    assert await bench.run() == SUCCEEDED
    assert values(bench) == [5, 5, 5]
    assert (bench.action.order, bench.action.most) == (list(NAMES), 1)
    assert [entry.data["step"] for entry in bench.entries() if entry.kind == kinds.PLANNED] == [
        "only/0[0]",
        "only/0[1]",
        "only/0[2]",
    ]


async def test_all_are_planned_and_guarded_together_before_the_first_is_made(bench: Bench) -> None:
    seen: list[int] = []

    class Budget:
        name = "budget"

        async def check(self, remediation: Any, plan: Any, context: Any) -> Verdict:
            seen.append(len(plan.changes))
            return Verdict.deny(Reason.PROTECTED_OBJECT) if len(plan.changes) > 2 else Verdict.allow()

    bench.plan_guards = [Budget()]
    bench.add(runbook(steps=[EACH]))
    assert await bench.run() == (Outcome.DENIED, Reason.PROTECTED_OBJECT)
    assert (seen, bench.writes) == ([3], [])


async def test_an_item_that_cannot_be_planned_changes_nothing(bench: Bench) -> None:
    plan = bench.action.plan

    async def third_fails(context: Any, params: Any) -> Any:
        if params.names == ["n3"]:
            raise PlanError("n3 is switched off")
        return await plan(context, params)

    bench.action.plan = third_fails  # type: ignore[method-assign]
    bench.add(runbook(steps=[EACH]))
    assert await bench.run() == (Outcome.FAILED, Reason.PLAN_FAILED)
    assert bench.writes == []


async def test_the_locks_of_all_items_are_taken_at_once(bench: Bench) -> None:
    bench.locks.held[REFS["n3"].lock_key] = "somebody"
    bench.add(runbook(steps=[EACH]))
    assert (await bench.stretch()).state is State.PARKED
    assert bench.writes == []
    bench.locks.held.clear()
    assert await bench.run() == SUCCEEDED


async def test_more_items_than_allowed_are_an_error_that_names_the_number_and_the_mend(bench: Bench) -> None:
    async def facts() -> dict[str, Any]:
        return {"names": list(NAMES)}

    bench.facts.facts = facts
    step = {**EACH, "for_each": "${evidence.facts.names}", "at_most": 2}
    bench.add(runbook(evidence={"facts": {"collect": "facts"}}, steps=[step]))
    assert await bench.run() == (Outcome.FAILED, Reason.PLAN_FAILED)
    assert "gives 3 items, and at most 2 are allowed: narrow it, or raise the step's `at_most`" in bench.view().detail
    assert bench.writes == []


async def test_what_gives_no_list_is_an_error(bench: Bench) -> None:
    bench.add(runbook(steps=[{**EACH, "for_each": "${labels}"}]))
    assert await bench.run() == (Outcome.FAILED, Reason.PLAN_FAILED)
    assert "it has to give a list" in bench.view().detail


async def test_no_items_are_nothing_to_do(bench: Bench) -> None:
    bench.add(runbook(steps=[{**EACH, "for_each": []}]), labels={})
    assert await bench.run() == (Outcome.SUCCEEDED, Reason.NOTHING_TO_DO)


async def test_one_that_fails_stops_those_after_it_and_what_was_made_is_put_back(bench: Bench) -> None:
    """Three nodes, one at a time, the second fails: the third is never touched."""
    bench.action.by_name["n2"] = [NOT_FIXED]
    bench.add(runbook(steps=[EACH]))
    assert await bench.run() == (Outcome.UNDONE, Reason.NOT_FIXED)
    assert bench.writes == [5, 5, 1, 1]
    assert values(bench) == [1, 1, 1]
    assert bench.action.order == ["n1", "n2"]
    assert "1 more were not begun" in bench.view().detail


async def test_an_unknown_item_stops_those_after_it_and_nothing_is_put_back(bench: Bench) -> None:
    bench.action.by_name["n2"] = [UNKNOWN]
    bench.add(runbook(steps=[EACH]))
    assert await bench.run() == (Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN)
    assert values(bench) == [5, 5, 1]


@pytest.mark.parametrize(("parallel", "most"), [(1, 1), (2, 2), (3, 3), (9, 3)])
async def test_no_more_items_than_said_are_under_way(bench: Bench, parallel: int, most: int) -> None:
    bench.add(runbook(steps=[{**EACH, "parallel": parallel}]))
    assert await bench.run() == SUCCEEDED
    assert bench.action.most == most


async def test_those_under_way_come_to_their_end_before_anything_is_put_back(bench: Bench) -> None:
    bench.action.by_name = {"n1": [NOT_FIXED], "n2": [*[NOT_YET] * 60, FIXED]}
    bench.add(runbook(steps=[{**EACH, "parallel": 2}]))
    assert await bench.run() == (Outcome.UNDONE, Reason.NOT_FIXED)
    assert bench.action.order.count("n2") > 60
    assert "n3" not in bench.action.order
    assert values(bench) == [1, 1, 1]
    kinds_of = [(entry.kind, entry.data.get("step", "")) for entry in bench.entries()]
    assert kinds_of.index((kinds.VERIFIED, "only/0[1]")) < [kind for kind, _ in kinds_of].index(kinds.UNDOING)


async def test_a_long_verification_of_one_starts_no_other_while_it_is_parked(bench: Bench) -> None:
    bench.action.by_name["n1"] = [*[NOT_YET] * 50, FIXED]
    bench.add(runbook(steps=[EACH]))
    assert (await bench.stretch()).state is State.PARKED
    assert values(bench) == [5, 1, 1]
    assert await bench.run() == SUCCEEDED
    assert values(bench) == [5, 5, 5]


async def test_an_item_that_cannot_be_finished_stops_the_rest_and_all_is_put_back(bench: Bench) -> None:
    pairs = [["worker"], ["n1", "n2"], ["n3"]]
    no = Fault("patch", KubeForbidden("no", status=403))
    bench.cluster.between = [lambda: None, lambda: None, lambda: bench.cluster.faults.append(no)]
    bench.add(runbook(steps=[{**EACH, "for_each": pairs, "with": {"names": "${item}", "value": 6}}]))
    assert await bench.run() == (Outcome.UNDONE, Reason.FORBIDDEN)
    assert bench.writes == [6, 6, 1, 1]
    assert values(bench) == [1, 1, 1]
    assert "what was made of set is put back" in bench.view().detail


async def test_a_lost_write_of_one_item_leaves_the_rest_alone(bench: Bench) -> None:
    lost = KubeReplyLost("no answer", what="patch")
    away = KubeUnavailable("no connection", what="get")
    bench.cluster.between = [lambda: bench.cluster.faults.append(Fault("get", away))]
    bench.cluster.faults = [Fault("patch", lost, applied=True)]
    bench.add(runbook(steps=[EACH]))
    assert (await bench.stretch()).state is State.PARKED
    bench.cluster.faults = [Fault("get", KubeForbidden("token expired", status=403))]
    assert (await bench.run())[0] is Outcome.UNKNOWN
    assert values(bench)[1:] == [1, 1]


async def test_a_stale_item_is_planned_again_and_the_others_are_not_repeated(bench: Bench) -> None:
    meddle = [lambda: None, lambda: bench.cluster.edit(REFS["n2"], {"spec": {"value": 3}})]
    bench.cluster.between = list(meddle)
    bench.add(runbook(steps=[EACH]))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 5, 5]
    assert bench.kinds().count(kinds.STALE) == 1


async def test_items_that_need_nothing_are_passed_over(bench: Bench) -> None:
    bench.cluster.edit(REFS["n2"], {"spec": {"value": 5}})
    bench.add(runbook(steps=[EACH]))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 5]
    assert bench.action.order == ["n1", "n3"]


async def test_results_of_items_are_a_list(bench: Bench) -> None:
    bench.cluster.edit(REFS["n2"], {"spec": {"value": 5}})
    count = {"action": "set", "with": {"value": "${steps.all.items.filter(i, i.changed).size() + 10}"}}
    bench.add(runbook(steps=[{**EACH, "id": "all"}, count]))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 5, 12]


class _Death(BaseException):
    """The worker's process is gone."""


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("place", [kinds.PLANNED, kinds.APPLYING, kinds.APPLIED, kinds.VERIFIED])
@pytest.mark.parametrize("parallel", [1, 3])
async def test_items_are_carried_on_wherever_the_worker_died(
    bench: Bench, place: str, nth: int, parallel: int
) -> None:
    """Faults 3 and 4, with several items under way."""
    count = [nth]

    async def die(now: str) -> None:
        if now == f"after {place}":
            count[0] -= 1
            if count[0] == 0:
                raise _Death

    bench.work.point = die
    bench.add(runbook(steps=[{**EACH, "parallel": parallel}]))
    with pytest.raises(_Death):
        await bench.stretch()
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 5, 5]


async def test_observe_plans_every_item(bench: Bench) -> None:
    bench.add(runbook(steps=[EACH]), mode=Mode.OBSERVE)
    assert await bench.run() == (Outcome.OBSERVED, Reason.OBSERVE_ONLY)
    assert bench.kinds().count(kinds.PLANNED) == 3
    assert bench.writes == []


# -- several targets


def several(bench: Bench, *names: str) -> None:
    """The run is about the group of these deployments, and mends each."""
    step = {"action": "set", "with": {"names": ["${item.name}"]}, "for_each": "${targets}"}
    book = runbook(steps=[step])
    targets = tuple(Target("", "Deployment", "shop", name) for name in names)
    bench.add(book, group="group||{}", targets=targets)


async def test_a_run_for_several_targets_mends_each(bench: Bench) -> None:
    several(bench, "n1", "n2")
    assert await bench.run() == SUCCEEDED
    assert values(bench) == [5, 5, 1]
    assert bench.kinds().count(kinds.SETTLED) == 1


async def test_the_targets_are_locked_before_the_first_write(bench: Bench) -> None:
    """Runs for several targets have queues of their own: the lock keeps them from meeting another one's run."""
    several(bench, "n1", "web")
    bench.locks.held[ObjectRef("apps/v1", "Deployment", "shop", "web").lock_key] = "another run, for web alone"
    assert (await bench.stretch()).state is State.PARKED
    assert bench.writes == []


async def test_a_target_that_joined_while_it_was_planned_is_mended_too(bench: Bench) -> None:
    several(bench, "n1", "n2")
    row = bench.work.rows["r1"]
    joined = [False]

    async def join(now: str) -> None:
        if now == f"after {kinds.PLANNED}" and not joined[0]:
            joined[0] = True
            more = (*row.view.remediation.targets, Target("", "Deployment", "shop", "n3"))
            row.change(remediation=msgspec.structs.replace(row.view.remediation, targets=more))

    bench.work.point = join
    assert (await bench.stretch()).state is State.PARKED
    assert bench.writes == []
    assert await bench.run() == SUCCEEDED
    assert values(bench) == [5, 5, 5]


async def test_a_pause_of_one_target_s_namespace_holds_the_whole_run(bench: Bench) -> None:
    from bridge.guards.pause import PauseGuard

    bench.entry_guards = [PauseGuard()]
    await bench.guardbook.pause(Pause(scope="namespace:other", by="ann", why="move", since=0.0))
    targets = (Target("", "Deployment", "other", "x"), Target("", "Deployment", "shop", "n1"))
    bench.add(runbook(steps=[EACH]), group="group||{}", targets=targets)
    assert await bench.run() == (Outcome.SUPPRESSED, Reason.PAUSED)
