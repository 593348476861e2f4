"""Temporary changes end by themselves: after their time, once, and not over what somebody changed since."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.engine.places import place_of, step_key
from bridge.engine.temporary import made_plans, undo_id
from bridge.errors import KubeForbidden, KubeUnavailable
from bridge.guards.attempts import AttemptsGuard
from bridge.guards.cooldown import CooldownGuard
from bridge.guards.freshness import FreshnessGuard
from bridge.guards.pause import PauseGuard
from bridge.model import kinds
from bridge.model.intake import Pause
from bridge.model.mode import Mode
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Outcome, State
from tests.support.bench import FIXED, NOT_FIXED, OTHER, REF, SUCCEEDED, Bench, SetField, runbook
from tests.support.flaky_cluster import Fault

pytestmark = pytest.mark.usefixtures("quiet_log")

ENDED = (Outcome.UNDONE, Reason.TEMPORARY_ENDED)
STEP_KEY = step_key(place_of("only"), 0)
UNDO = undo_id("r1", STEP_KEY)
STEP = {"action": "set", "until": "15m"}


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.entry_guards = [PauseGuard(), FreshnessGuard(), CooldownGuard(), AttemptsGuard()]
    return bench


async def over(bench: Bench, seconds: float = 901.0) -> list[str]:
    """Let the time pass; return what is created then."""
    known = set(bench.work.rows)
    bench.clock.advance(seconds)
    await bench.work.promote()
    return sorted(set(bench.work.rows) - known)


async def test_a_temporary_change_is_undone_by_itself_when_its_time_is_over(bench: Bench) -> None:
    bench.add(runbook(steps=[STEP]), labels={"alertname": "Noisy"})
    assert await bench.run() == SUCCEEDED
    assert await over(bench, 899) == []
    assert bench.value() == 5
    assert await over(bench, 2) == [UNDO]
    assert await bench.run(UNDO) == ENDED
    assert bench.value() == 1
    undo = bench.view(UNDO).remediation
    assert (undo.undo_of, undo.labels, undo.target) == ("r1", {"alertname": "Noisy"}, bench.view().remediation.target)
    assert not bench.view(UNDO).escalated


async def test_a_lasting_change_stays(bench: Bench) -> None:
    bench.add()
    assert await bench.run() == SUCCEEDED
    assert await over(bench, 1e6) == []


async def test_only_the_temporary_step_is_undone(bench: Bench) -> None:
    lasting = {"action": "set", "with": {"value": 7, "names": ["worker"]}}
    second = undo_id("r1", step_key(place_of("only"), 1))
    bench.add(runbook(steps=[lasting, STEP]))
    assert await bench.run() == SUCCEEDED
    assert await over(bench) == [second]
    assert await bench.run(second) == ENDED
    assert (bench.value(), bench.value(OTHER)) == (1, 7)


async def test_what_was_so_already_is_not_ours_to_end(bench: Bench) -> None:
    bench.cluster.edit(REF, {"spec": {"value": 5}})
    bench.add(runbook(steps=[STEP]))
    assert await bench.run() == (Outcome.SUCCEEDED, Reason.NOTHING_TO_DO)
    assert await over(bench) == []


async def test_what_somebody_changed_since_is_left_and_told_with_object_and_field(bench: Bench) -> None:
    names = {"names": ["web", "worker"]}
    bench.add(runbook(steps=[{**STEP, "with": names}]))
    assert await bench.run() == SUCCEEDED
    bench.cluster.edit(REF, {"spec": {"value": 9}})
    await over(bench)
    assert await bench.run(UNDO) == (Outcome.FAILED, Reason.UNDO_REFUSED)
    assert (bench.value(), bench.value(OTHER)) == (9, 1), "the others still go back"
    view = bench.view(UNDO)
    assert view.escalated
    assert "deployment/shop/web /spec/value is 9" in view.detail
    assert "worker" not in view.detail


async def test_what_was_put_back_by_hand_is_no_failure(bench: Bench) -> None:
    bench.add(runbook(steps=[STEP]))
    await bench.run()
    bench.cluster.edit(REF, {"spec": {"value": 1}})
    await over(bench)
    assert await bench.run(UNDO) == ENDED


async def test_cooldown_attempts_and_age_do_not_stop_it(bench: Bench) -> None:
    bench.add(runbook(steps=[STEP], expires="10s"))
    await bench.run()
    await over(bench)
    now = bench.clock.now()
    bench.guardbook.known |= {"last_finished_at": now - 1, "attempts": (now - 3, now - 2, now - 1)}
    bench.clock.advance(3600)
    assert await bench.run(UNDO) == ENDED


async def test_a_pause_puts_it_off_for_as_long_as_it_lasts(bench: Bench) -> None:
    bench.add(runbook(steps=[STEP]))
    await bench.run()
    await over(bench)
    await bench.guardbook.pause(Pause(scope="all", by="ann", why="freeze", since=bench.clock.now()))
    for _ in range(20):
        view = await bench.stretch(UNDO)
        assert (view.state, bench.value()) == (State.PARKED, 5)
        assert view.due_at is not None
        assert view.due_at - bench.clock.now() <= bench.limits.undo_pause
        bench.clock.advance(view.due_at - bench.clock.now())
    await bench.guardbook.resume("all")
    assert await bench.run(UNDO) == ENDED


async def test_a_pause_that_does_not_end_ends_with_a_person(bench: Bench) -> None:
    """Every wait has a deadline."""
    bench.add(runbook(steps=[STEP]))
    await bench.run()
    await over(bench)
    await bench.guardbook.pause(Pause(scope="all", by="ann", why="freeze", since=bench.clock.now()))
    bench.clock.advance(8 * 86400)
    assert await bench.run(UNDO) == (Outcome.FAILED, Reason.UNDO_REFUSED)
    assert bench.view(UNDO).escalated


async def test_mode_observe_of_the_process_puts_it_off(bench: Bench) -> None:
    bench.add(runbook(steps=[STEP]))
    await bench.run()
    await over(bench)
    bench.mode = Mode.OBSERVE
    assert (await bench.stretch(UNDO)).state is State.PARKED
    assert bench.value() == 5
    bench.mode = Mode.APPROVE
    assert await bench.run(UNDO) == ENDED


async def test_what_is_protected_since_is_left_and_told(bench: Bench) -> None:
    class Guard:
        name = "protected"

        async def check(self, *_: Any) -> Verdict:
            return Verdict.deny(Reason.PROTECTED_NAMESPACE, "namespace shop is protected")

    bench.add(runbook(steps=[STEP]))
    await bench.run()
    await over(bench)
    bench.plan_guards = [Guard()]
    assert await bench.run(UNDO) == (Outcome.DENIED, Reason.PROTECTED_NAMESPACE)
    assert bench.value() == 5


async def test_an_object_that_another_run_has_locked_is_waited_for(bench: Bench) -> None:
    bench.add(runbook(steps=[STEP]))
    await bench.run()
    await over(bench)
    bench.locks.held[REF.lock_key] = "somebody"
    assert (await bench.stretch(UNDO)).state is State.PARKED
    assert bench.value() == 5
    bench.locks.held.clear()
    assert await bench.run(UNDO) == ENDED


async def test_a_cluster_that_is_away_is_waited_for(bench: Bench) -> None:
    """Fault 22."""
    bench.add(runbook(steps=[STEP]))
    await bench.run()
    await over(bench)
    bench.cluster.faults = [Fault("get", KubeUnavailable("no connection"))] * 9
    assert await bench.run(UNDO) == ENDED


async def test_a_missing_permission_is_told(bench: Bench) -> None:
    """Fault 26."""
    bench.add(runbook(steps=[STEP]))
    await bench.run()
    await over(bench)
    bench.cluster.faults = [Fault("patch", KubeForbidden("cannot patch", status=403))]
    assert await bench.run(UNDO) == (Outcome.FAILED, Reason.UNDO_REFUSED)
    assert "cannot patch" in bench.view(UNDO).detail


async def test_a_run_that_did_not_help_and_put_it_back_leaves_nothing_to_end(bench: Bench) -> None:
    bench.actions["set"] = bench.action = SetField(undo_failed=True)
    bench.action.answers = [NOT_FIXED]
    bench.add(runbook(steps=[STEP]))
    assert await bench.run() == (Outcome.UNDONE, Reason.NOT_FIXED)
    assert await over(bench) == []


async def test_a_run_that_did_not_help_and_left_it_still_ends_it(bench: Bench) -> None:
    """Anything temporary ends by itself."""
    bench.action.answers = [NOT_FIXED]
    bench.add(runbook(steps=[STEP]))
    assert await bench.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert await over(bench) == [UNDO]
    assert await bench.run(UNDO) == ENDED


async def test_it_is_read_back(bench: Bench) -> None:
    """Somebody sets it again in the very moment: that is no success."""
    bench.add(runbook(steps=[STEP]))
    await bench.run()
    await over(bench)

    async def again(point: str) -> None:
        if point == f"after {kinds.UNDONE}":
            bench.cluster.edit(REF, {"spec": {"value": 5}})

    bench.work.point = again
    assert await bench.run(UNDO) == (Outcome.FAILED, Reason.UNDO_REFUSED)


async def test_a_journal_that_is_gone_is_told(bench: Bench) -> None:
    bench.add(runbook(steps=[STEP]))
    await bench.run()
    await over(bench)
    del bench.work.rows["r1"]
    assert await bench.run(UNDO) == (Outcome.FAILED, Reason.UNDO_REFUSED)


async def test_what_was_put_back_once_is_not_counted_a_second_time(bench: Bench) -> None:
    bench.actions["set"] = bench.action = SetField(undo_failed=True)
    bench.action.answers = [FIXED, NOT_FIXED]
    bench.add(runbook(steps=[STEP, {"action": "set", "with": {"names": ["worker"]}}]))
    assert await bench.run() == (Outcome.UNDONE, Reason.NOT_FIXED)
    assert made_plans(bench.entries()) == []


class Killed(BaseException):
    """The process died here."""


@pytest.mark.parametrize("kind", [kinds.STARTED, kinds.UNDOING, kinds.PUTTING_BACK, kinds.UNDONE, kinds.VERIFYING])
@pytest.mark.parametrize("side", ["before", "after"])
async def test_killed_anywhere_another_worker_ends_it_once(bench: Bench, kind: str, side: str) -> None:
    """Faults 3, 4."""
    bench.add(runbook(steps=[{**STEP, "with": {"names": ["web", "worker"]}}]))
    await bench.run()
    await over(bench)
    deaths = 0

    async def die(point: str) -> None:
        nonlocal deaths
        if point == f"{side} {kind}" and not deaths:
            deaths += 1
            raise Killed

    bench.work.point = die
    with pytest.raises(Killed):
        await bench.run(UNDO)
    assert await bench.run(UNDO) == ENDED
    assert bench.writes == [5, 5, 1, 1]


LEFT = {"action": "set", "until": "15m"}
BACK = {"action": "put", "with": {"value": 7, "names": ["worker"]}}


async def test_a_temporary_change_ends_although_something_else_of_the_run_was_put_back(bench: Bench) -> None:
    """What stays of a failed run is not forgotten because the rest of it went back."""
    bench.actions["put"] = SetField("put", undo_failed=True)
    bench.actions["put"].answers = [NOT_FIXED]
    bench.add(runbook(steps=[LEFT, BACK]))
    outcome, reason = await bench.run()
    assert (bench.value(), bench.value(OTHER)) == (5, 1)
    assert (outcome, reason) == (Outcome.FAILED, Reason.NOT_FIXED), "something of it stays: it is not undone"
    assert "this stays as it is: set ['web'] to 5" in bench.view().detail
    assert await over(bench) == [UNDO]
    assert await bench.run(UNDO) == ENDED
    assert bench.value() == 1


async def test_a_run_that_is_put_back_as_a_whole_leaves_nothing_to_end(bench: Bench) -> None:
    bench.actions["put"] = SetField("put", undo_failed=True)
    bench.actions["put"].answers = [NOT_FIXED]
    bench.add(runbook(steps=[{**BACK, "until": "15m"}]))
    assert await bench.run() == (Outcome.UNDONE, Reason.NOT_FIXED)
    assert await over(bench) == []
