"""Several ways to mend a thing, in order, until one helps: what did not help is put back, unknown ends the search."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import KubeForbidden, KubeReplyLost, PermanentError, PlanError
from bridge.guards.reversible import ReversibleGuard
from bridge.model import kinds
from bridge.model.mode import Mode
from bridge.model.plan import Undo
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Outcome, State
from bridge.model.runbook import Runbook
from tests.support.bench import (
    AWAY,
    FACTS,
    FIXED,
    NOT_FIXED,
    OTHER,
    REF,
    SUCCEEDED,
    UNKNOWN,
    Bench,
    SetField,
    runbook,
)
from tests.support.flaky_cluster import Fault

pytestmark = pytest.mark.usefixtures("quiet_log")


def attempt(name: str, *values: int, **more: Any) -> dict[str, Any]:
    """Return an attempt that sets these values, one a step."""
    return {"name": name, "steps": [{"action": "set", "with": {"value": value}} for value in values], **more}


def tries(*attempts: dict[str, Any], fixed: str = "evidence.facts.value == 7", **more: Any) -> Runbook:
    scenario = {"name": "broken", "otherwise": True, "try": list(attempts)}
    verify = {"fixed": fixed, "within": "10s"}
    return runbook(**{"evidence": FACTS, "scenarios": [scenario], "verify": verify, **more})


@pytest.fixture
def bench() -> Bench:
    """It is fixed when web has the value 7; what did not help is put back."""
    bench = Bench()
    bench.actions["set"] = bench.action = SetField(undo_failed=True)

    async def facts() -> dict[str, Any]:
        return {"value": bench.value()}

    bench.facts.facts = facts
    return bench


def texts(bench: Bench, kind: str) -> list[str]:
    return [entry.text for entry in bench.entries() if entry.kind == kind]


async def test_the_first_that_helps_ends_the_search(bench: Bench) -> None:
    bench.add(tries(attempt("scale", 7), attempt("restore", 8)))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [7]
    assert texts(bench, kinds.TRYING) == ["trying: scale"]
    assert bench.view().detail.startswith("succeeded: scale: ")


async def test_what_did_not_help_is_put_back_before_the_next_is_tried(bench: Bench) -> None:
    bench.add(tries(attempt("restart", 5, 6), attempt("scale", 7)))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 6, 5, 1, 7]
    assert [entry.data["place"] for entry in bench.entries() if entry.kind == kinds.TRIED] == ["broken/restart"]
    assert bench.told.said == [("succeeded: scale: " + bench.view().detail.partition("scale: ")[2], False)]


async def test_what_is_not_put_back_on_purpose_stays_when_the_next_is_tried(bench: Bench) -> None:
    bench.action.undo_failed = False
    bench.add(tries(attempt("restart", 5), attempt("scale", 7)))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 7]


async def test_each_attempt_is_planned_on_evidence_of_then(bench: Bench) -> None:
    step = {"action": "set", "with": {"value": "${evidence.facts.value + 3}"}}
    bench.action.undo_failed = False
    bench.add(tries({"name": "a", "steps": [step]}, {"name": "b", "steps": [step]}))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [4, 7]


async def test_when_nothing_helped_a_person_hears_of_all_of_it(bench: Bench) -> None:
    bench.add(tries(attempt("restart", 5), attempt("scale", 6)))
    assert await bench.run() == (Outcome.UNDONE, Reason.NOT_FIXED)
    assert bench.writes == [5, 1, 6, 1]
    assert bench.view().escalated
    assert "(tried: broken/restart: " in bench.view().detail


async def test_unknown_in_the_middle_ends_the_search_and_changes_nothing_more(bench: Bench) -> None:
    """Decision 8."""
    bench.action.answers = [FIXED, UNKNOWN]
    bench.add(tries(attempt("one", 5), attempt("two", 6), attempt("three", 7)))
    assert await bench.run() == (Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN)
    assert bench.writes == [5, 1, 6]
    assert bench.view().escalated


async def test_a_proof_that_cannot_be_told_ends_the_search(bench: Bench) -> None:
    bench.add(tries(attempt("one", 5), attempt("two", 7), fixed="evidence.nothing == 1"))
    assert await bench.run() == (Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN)
    assert bench.writes == [5]


@pytest.mark.parametrize("error", [PlanError("an autoscaler owns it"), PermanentError("no"), KubeForbidden("no")])
async def test_what_cannot_be_planned_did_not_help_and_its_half_is_put_back(bench: Bench, error: Exception) -> None:
    other = SetField("other", undo_failed=True)
    other.planning = [error]
    bench.actions["other"] = other
    steps = [{"action": "set", "with": {"value": 5}}, {"action": "other", "with": {"value": 9}}]
    bench.add(tries({"name": "half", "steps": steps}, attempt("scale", 7)))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 1, 7]


@pytest.mark.parametrize("error", [PlanError("no such CronJob"), PermanentError("no"), KubeForbidden("no")])
async def test_what_was_made_before_a_step_that_cannot_be_planned_is_put_back(bench: Bench, error: Exception) -> None:
    """A workload that is switched off for a restore is switched on again when there is nothing to restore from."""
    other = SetField("other", undo_failed=True)
    other.planning = [error]
    bench.actions["other"] = other
    steps = [{"action": "set", "with": {"value": 0}}, {"action": "other", "with": {"value": 9}}]
    bench.add(runbook(scenarios=[{"name": "restore", "otherwise": True, "steps": steps}]))
    assert (await bench.run())[0] is Outcome.UNDONE
    assert bench.writes == [0, 1]
    assert bench.view().escalated


async def test_what_cannot_be_written_did_not_help(bench: Bench) -> None:
    bench.cluster.faults = [Fault("patch", KubeForbidden("deployments is forbidden", status=403))]
    bench.add(tries(attempt("one", 5), attempt("two", 7)))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [7]


async def test_the_half_of_a_plan_that_cannot_be_finished_is_put_back_before_the_next(bench: Bench) -> None:
    bench.cluster.between = [lambda: None, lambda: bench.cluster.faults.append(forbidden)]
    forbidden = Fault("patch", KubeForbidden("no", status=403))
    both = [{"action": "set", "with": {"value": 5, "names": ["web", "worker"]}}]
    bench.add(tries({"name": "both", "steps": both}, attempt("two", 7)))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 1, 7]
    assert bench.value(OTHER) == 1
    assert bench.kinds().count(kinds.NOT_MADE) == 1


async def test_a_write_whose_fate_is_unknown_ends_the_search(bench: Bench) -> None:
    lost = KubeReplyLost("no answer", what="patch deployment/shop/web")
    bench.cluster.between = [lambda: bench.cluster.faults.append(Fault("get", AWAY))]
    bench.cluster.faults = [Fault("patch", lost, applied=True)]
    bench.add(tries(attempt("one", 5), attempt("two", 7)))
    assert (await bench.stretch()).state is State.PARKED
    bench.cluster.faults = [Fault("get", KubeForbidden("token expired", status=403))]
    assert (await bench.run())[0] is Outcome.UNKNOWN
    assert bench.value() == 5


async def test_what_somebody_changed_meanwhile_is_a_person_s_and_ends_the_search(bench: Bench) -> None:
    async def meddled() -> Any:
        bench.cluster.edit(REF, {"spec": {"value": 9}})
        return NOT_FIXED

    bench.action.answers = [meddled]
    bench.add(tries(attempt("one", 5), attempt("two", 7)))
    assert await bench.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert bench.value() == 9
    assert "somebody changed it" in bench.view().detail


async def test_a_denied_attempt_is_passed_over_and_a_denied_last_one_is_the_end(bench: Bench) -> None:
    class Judge:
        name = "judge"

        async def check(self, remediation: Any, plan: Any, context: Any) -> Verdict:
            if plan.summary.endswith(("5", "6")):
                return Verdict.deny(Reason.OWNER_WOULD_REVERT, "helm")
            return Verdict.allow()

    bench.plan_guards = [Judge()]
    bench.add(tries(attempt("one", 5), attempt("two", 7)))
    assert await bench.run() == SUCCEEDED
    bench.cluster.edit(REF, {"spec": {"value": 1}})
    bench.add(tries(attempt("one", 5), attempt("two", 6)), name="r2")
    assert await bench.run("r2") == (Outcome.DENIED, Reason.OWNER_WOULD_REVERT)
    assert bench.writes == [7]


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.OBSERVE])
async def test_of_attempts_of_which_none_could_be_made_the_end_says_what_a_guard_forbade(
    bench: Bench, mode: Mode
) -> None:
    """Whoever is called reads what to do instead, and not that the last of them could not be planned."""

    class Judge:
        name = "owner"

        async def check(self, remediation: Any, plan: Any, context: Any) -> Verdict:
            return Verdict.deny(Reason.OWNER_WOULD_REVERT, "it is Helm's: `helm rollback web -n shop`")

    bench.plan_guards = [Judge()]
    bench.actions["lost"] = lost = SetField("lost")
    lost.planning = [PlanError("nothing is there")]
    never = {"name": "never", "steps": [{"action": "lost", "with": {"value": 7}}]}
    ways = (attempt("one", 5), never) if mode is Mode.AUTO else (never, attempt("one", 5))
    bench.add(tries(*ways), mode=mode)
    assert await bench.run() == (Outcome.DENIED, Reason.OWNER_WOULD_REVERT)
    assert bench.view().detail.startswith("denied: owner: it is Helm's: `helm rollback web -n shop`")
    assert bench.told.said[-1][1], "a person is needed"
    assert bench.writes == []


async def test_what_cannot_be_undone_asks_for_a_person_instead_of_being_passed_over(bench: Bench) -> None:
    class Judge:
        name = "judge"

        async def check(self, remediation: Any, plan: Any, context: Any) -> Verdict:
            return Verdict.deny(Reason.UNDO_NONE) if "5" in plan.summary else Verdict.allow()

    bench.plan_guards = [Judge()]
    bench.add(tries(attempt("one", 5), attempt("two", 7)))
    assert await bench.run() == (Outcome.DENIED, Reason.UNDO_NONE)


@pytest.mark.parametrize("where", ["runbook", "step"])
async def test_what_waits_for_a_person_by_its_runbook_may_be_beyond_undoing(bench: Bench, where: str) -> None:
    bench.actions["set"] = SetField(undo=Undo.NONE)
    bench.plan_guards = [ReversibleGuard()]
    step = {"action": "set", "with": {"value": 7}}
    scenario = {
        "name": "broken",
        "otherwise": True,
        "steps": [step | ({"mode": "approve"} if where == "step" else {})],
    }
    bench.add(runbook(scenarios=[scenario], **({"mode": "approve"} if where == "runbook" else {})))
    assert await bench.run() == (Outcome.DENIED, Reason.APPROVAL_TIMED_OUT), "asked, and not refused by a guard"
    bench.add(runbook(scenarios=[scenario | {"steps": [step]}]), name="r2")
    assert await bench.run("r2") == (Outcome.DENIED, Reason.UNDO_NONE)
    assert bench.writes == []


async def test_attempts_are_left_out_by_their_conditions(bench: Bench) -> None:
    bench.add(tries(attempt("one", 5, when="evidence.facts.value > 3"), attempt("two", 7)))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [7]
    bench.add(tries(attempt("one", 5, when="false"), attempt("two", 6, when="false")), name="r2")
    assert await bench.run("r2") == (Outcome.FAILED, Reason.NO_SCENARIO)


async def test_an_attempt_left_out_at_the_end_leaves_the_end_to_the_one_before(bench: Bench) -> None:
    bench.add(tries(attempt("one", 5), attempt("two", 6, when="false")))
    assert await bench.run() == (Outcome.UNDONE, Reason.NOT_FIXED)


async def test_an_unknown_condition_of_an_attempt_is_a_person_s(bench: Bench) -> None:
    bench.add(tries(attempt("one", 5, when="evidence.nothing > 3"), attempt("two", 7)))
    assert await bench.run() == (Outcome.UNKNOWN, Reason.EVIDENCE_MISSING)
    assert bench.writes == []


async def test_a_condition_that_is_unknown_because_the_cluster_is_away_is_waited_for(bench: Bench) -> None:
    away = [AWAY, AWAY]

    async def facts() -> dict[str, Any]:
        if bench.value() == 1 and bench.kinds().count(kinds.TRIED) and away:
            raise away.pop()
        return {"value": bench.value()}

    bench.facts.facts = facts
    bench.add(tries(attempt("one", 5), attempt("two", 7, when="evidence.facts.value == 1")))
    assert await bench.run() == SUCCEEDED


async def test_an_attempt_that_had_nothing_to_do_is_not_waited_for(bench: Bench) -> None:
    began = bench.clock.now()
    bench.add(tries(attempt("nothing", 1), attempt("scale", 7)))
    assert await bench.run() == SUCCEEDED
    assert bench.clock.now() - began < 5


async def test_an_attempt_has_its_own_time_for_the_proof(bench: Bench) -> None:
    began = bench.clock.now()
    bench.add(tries(attempt("slow", 5, verify_within="15m"), attempt("scale", 7)))
    assert await bench.run() == SUCCEEDED
    assert 900 <= bench.clock.now() - began < 1000


# -- scenarios that fall through


def falls(**more: Any) -> Runbook:
    def scenario(name: str, value: int, when: str, **rest: Any) -> dict[str, Any]:
        return {"name": name, "when": when, "steps": [{"action": "set", "with": {"value": value}}], **rest}

    scenarios = [
        scenario("a", 5, "evidence.facts.value < 3", on_not_fixed="next"),
        scenario("b", 6, "evidence.facts.value > 3", on_not_fixed="next"),
        scenario("c", 7, "evidence.facts.value == 1", on_not_fixed="escalate"),
        scenario("d", 8, "true"),
    ]
    verify = {"fixed": "evidence.facts.value == 7", "within": "10s"}
    return runbook(**{"evidence": FACTS, "scenarios": scenarios, "verify": verify, **more})


async def test_a_scenario_that_did_not_help_falls_through_to_a_later_one_that_holds_by_then(bench: Bench) -> None:
    bench.add(falls())
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 1, 7]
    names = [entry.data["name"] for entry in bench.entries() if entry.kind == kinds.SCENARIO]
    assert names == ["a", "c"]


async def test_a_scenario_that_says_escalate_ends_the_search(bench: Bench) -> None:
    bench.add(falls(verify={"fixed": "false", "within": "10s"}))
    assert await bench.run() == (Outcome.UNDONE, Reason.NOT_FIXED)
    assert bench.writes == [5, 1, 7, 1]


async def test_no_later_scenario_that_holds_leaves_the_end_as_it_was(bench: Bench) -> None:
    bench.action.undo_failed = False
    scenarios = [
        {"name": "a", "otherwise": True, "on_not_fixed": "next", "steps": [{"action": "set"}]},
        {"name": "b", "when": "evidence.facts.value == 1", "steps": [{"action": "set"}]},
    ]
    bench.add(falls(scenarios=scenarios))
    assert await bench.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert "b: no" in bench.view().detail


async def test_a_later_scenario_that_is_unknown_is_a_person_s(bench: Bench) -> None:
    scenarios = [
        {"name": "a", "otherwise": True, "on_not_fixed": "next", "steps": [{"action": "set"}]},
        {"name": "b", "when": "evidence.nothing == 1", "steps": [{"action": "set"}]},
    ]
    bench.add(falls(scenarios=scenarios))
    assert await bench.run() == (Outcome.UNKNOWN, Reason.EVIDENCE_MISSING)


# -- modes and interruptions


@pytest.mark.parametrize(
    ("mode", "end"),
    [
        (Mode.OBSERVE, (Outcome.OBSERVED, Reason.OBSERVE_ONLY)),
        (Mode.APPROVE, (Outcome.DENIED, Reason.APPROVAL_TIMED_OUT)),
    ],
)
async def test_observe_and_approve_plan_every_attempt_and_write_nothing(
    bench: Bench, mode: Mode, end: tuple[Outcome, Reason]
) -> None:
    """Fault 70."""
    other = SetField("other")
    other.planning = [PlanError("an autoscaler owns it")]
    bench.actions["other"] = other
    cannot = {"name": "cannot", "steps": [{"action": "other"}]}
    bench.add(tries(attempt("one", 5, 6), cannot, attempt("off", 8, when="false"), attempt("two", 7)), mode=mode)
    assert await bench.run() == end
    assert (bench.cluster.patches, bench.view().writing) == ([], False)
    planned = [entry.data["step"] for entry in bench.entries() if entry.kind == kinds.PLANNED]
    assert planned == ["broken/one/0", "broken/one/1", "broken/two/0"]
    assert texts(bench, kinds.FORESEEN) == [
        "other would not be made: an autoscaler owns it",
        "would be left out: false is false",
    ]


async def test_observe_says_of_what_is_so_now_that_steps_before_it_change_it(bench: Bench) -> None:
    scenario = {"name": "broken", "otherwise": True, "steps": attempt("", 5, 1)["steps"]}
    bench.add(runbook(scenarios=[scenario]), mode=Mode.OBSERVE)
    assert await bench.run() == (Outcome.OBSERVED, Reason.OBSERVE_ONLY)
    assert texts(bench, kinds.FORESEEN) == ["set: nothing as things are now, which the steps before it change"]


async def test_observe_tells_when_nothing_at_all_could_be_planned(bench: Bench) -> None:
    bench.action.planning = [PlanError("one"), PlanError("two")]
    bench.add(tries(attempt("one", 5), attempt("two", 7)), mode=Mode.OBSERVE)
    assert await bench.run() == (Outcome.FAILED, Reason.PLAN_FAILED)


@pytest.mark.parametrize("place", [kinds.TRYING, kinds.APPLYING, kinds.APPLIED, kinds.VERIFIED, kinds.TRIED])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_search_is_carried_on_by_another_worker_wherever_the_first_died(
    bench: Bench, place: str, when: str
) -> None:
    """Faults 3 and 4: also between two attempts. The same end, and nothing is made twice."""
    await dies_once(bench, f"{when} {place}")
    bench.add(tries(attempt("restart", 5, 6), attempt("scale", 7)))
    with pytest.raises(_Death):
        await bench.stretch()
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 6, 5, 1, 7]


@pytest.mark.parametrize("place", [kinds.UNDOING, kinds.PUTTING_BACK, kinds.UNDONE])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_putting_back_between_two_attempts_is_carried_on(bench: Bench, place: str, when: str) -> None:
    await dies_once(bench, f"{when} {place}")
    bench.add(tries(attempt("restart", 5, 6), attempt("scale", 7)))
    with pytest.raises(_Death):
        await bench.stretch()
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 6, 5, 1, 7]


class _Death(BaseException):
    """The worker's process is gone."""


async def dies_once(bench: Bench, point: str) -> None:
    left = [point]

    async def die(now: str) -> None:
        if left == [now]:
            left.clear()
            raise _Death

    bench.work.point = die
