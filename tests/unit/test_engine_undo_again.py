"""An undo that could not put everything back is asked for again: what is left goes back, and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.engine.byhand import MOST_TRIES, ByHand, NothingToUndo
from bridge.errors import KubeForbidden, OutcomeUnknown
from bridge.model import kinds
from bridge.model.plan import Plan, Repeat
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Outcome, State
from tests.support.bench import NOT_FIXED, OTHER, REF, SUCCEEDED, TWO_STEPS, Bench, runbook
from tests.support.flaky_cluster import Fault
from tests.unit.test_engine_calls import Killed, Peer, bench_of

pytestmark = pytest.mark.usefixtures("quiet_log")

DONE = (Outcome.UNDONE, Reason.UNDONE_BY_HAND)
REFUSED = (Outcome.FAILED, Reason.UNDO_REFUSED)
LOST = (Outcome.UNKNOWN, Reason.UNDO_REFUSED)


async def ask(bench: Bench, run: str = "r1", by: str = "ann") -> tuple[str, bool]:
    return await ByHand(bench.work, bench.work).undo(bench.view(run), by=by, why="")


async def undo(bench: Bench) -> tuple[Outcome, Reason]:
    name, again = await ask(bench)
    assert not again
    return await bench.run(name)


async def made(steps: list[dict[str, Any]] = TWO_STEPS) -> Bench:
    bench = Bench()
    bench.add(runbook(steps=steps))
    assert await bench.run() == SUCCEEDED
    return bench


async def test_what_could_not_be_put_back_is_asked_for_again_and_the_rest_is_left_as_it_is() -> None:
    bench = await made()
    bench.cluster.edit(REF, {"spec": {"value": 9}})
    assert await undo(bench) == REFUSED
    assert (bench.value(), bench.value(OTHER)) == (9, 1)

    bench.cluster.edit(REF, {"spec": {"value": 5}})
    bench.cluster.edit(OTHER, {"spec": {"value": 8}})
    name, again = await ask(bench, by="bob")
    assert (name, again) == ("r1-undo-2", False)
    assert await bench.run(name) == DONE
    assert (bench.value(), bench.value(OTHER)) == (1, 8), "what went back before is not ours any more"
    assert bench.view(name).remediation.requested_by == "bob"


async def test_twice_is_once_while_it_is_under_way_and_when_it_is_over() -> None:
    bench = await made()
    first = await ask(bench)
    assert await ask(bench, by="bob") == (first[0], True)
    assert await bench.run(first[0]) == DONE
    assert await ask(bench, by="bob") == (first[0], True)
    assert len(bench.writes) == 4


async def test_a_second_try_that_fails_leaves_a_third() -> None:
    bench = await made([{"action": "set"}])
    bench.cluster.faults += [Fault("patch", error=KubeForbidden("patch deployments is forbidden", status=403))] * 2
    assert await undo(bench) == REFUSED
    assert await undo(bench) == REFUSED
    assert await undo(bench) == DONE
    assert bench.writes == [5, 1]


async def test_nobody_asks_for_ever() -> None:
    bench = await made([{"action": "set"}])
    bench.cluster.edit(REF, {"spec": {"value": 9}})
    for _ in range(MOST_TRIES):
        assert await undo(bench) == REFUSED
    with pytest.raises(NothingToUndo, match="the rest is left to you"):
        await ask(bench)


async def test_an_undo_is_asked_for_again_by_the_name_of_what_it_undoes() -> None:
    bench = await made([{"action": "set"}])
    bench.cluster.edit(REF, {"spec": {"value": 9}})
    name, _ = await ask(bench)
    await bench.run(name)
    with pytest.raises(NothingToUndo, match="`undo r1` asks again"):
        await ask(bench, name)


ENDS = [(Repeat.NEVER, 1, LOST), (Repeat.DETECTABLE, 1, DONE), (Repeat.SAFE, 2, DONE)]


@pytest.mark.parametrize(("repeat", "calls", "ends"), ENDS)
async def test_a_call_that_may_have_been_put_back_is_made_again_only_where_that_is_sound(
    repeat: Repeat, calls: int, ends: tuple[Outcome, Reason]
) -> None:
    """At most once, also over several undos: what one was killed in the middle of is in doubt for the next."""
    peer = Peer(repeat)
    bench = bench_of(peer)
    assert await bench.run() == SUCCEEDED
    peer.tells = lambda: peer.count < 1
    name, _ = await ask(bench)
    peer.after = [Killed()]
    with pytest.raises(Killed):
        await bench.stretch(name)
    # Workers die with it until it is set aside.
    bench.work.rows[name].change(state=State.DONE, outcome=Outcome.UNKNOWN, reason=Reason.DEAD_LETTER.value)
    bench.locks.held.clear()
    assert await undo(bench) == ends
    assert peer.count == 1 - calls


@pytest.mark.parametrize(("repeat", "calls", "ends"), ENDS[:2])
async def test_a_call_whose_answer_was_lost_is_in_doubt_for_the_next_undo(
    repeat: Repeat, calls: int, ends: tuple[Outcome, Reason]
) -> None:
    peer = Peer(repeat)
    bench = bench_of(peer)
    assert await bench.run() == SUCCEEDED
    peer.after, peer.tells = [OutcomeUnknown("the answer was lost")], lambda: None
    assert await undo(bench) == LOST
    peer.tells = lambda: peer.count < 1
    assert await undo(bench) == ends
    assert peer.count == 1 - calls


async def test_an_undo_by_itself_that_is_in_doubt_is_in_doubt_for_a_person_too() -> None:
    peer = Peer(Repeat.NEVER)
    peer.undo_failed, peer.answer = True, NOT_FIXED
    bench = bench_of(peer)
    peer.after = [None, OutcomeUnknown("the answer was lost")]
    assert (await bench.run())[0] is Outcome.UNKNOWN
    assert peer.count == 0
    assert await undo(bench) == LOST
    assert peer.count == 0, "it may be back already"


class Later:
    """A plan guard that would put an undo off."""

    name = "later"
    until = 0.0

    async def check(self, remediation: Any, plan: Plan, context: Any) -> Verdict:
        if context.reach.clock.now() >= self.until:
            return Verdict.allow()
        return Verdict.defer(Reason.BUDGET_SPENT, "not now", retry_at=self.until)


async def test_what_only_puts_an_undo_off_is_waited_for() -> None:
    bench = await made([{"action": "set"}])
    guard = Later()
    guard.until = bench.clock.now() + 600.0
    bench.plan_guards = [guard]
    assert await undo(bench) == DONE
    assert bench.clock.now() >= guard.until


async def test_whoever_had_the_locks_may_have_put_it_back_meanwhile() -> None:
    """Two undos at once, of a call that must not be made twice: the second looks again when it has the locks."""
    peer = Peer(Repeat.SAFE)
    bench = Bench()
    bench.actions["call"] = peer
    bench.add(runbook(steps=[{"action": "call", "until": "15m"}]))
    assert await bench.run() == SUCCEEDED
    bench.clock.advance(901.0)
    await bench.work.promote()
    by_itself = next(name for name in bench.work.rows if name != "r1")
    name, _ = await ask(bench)
    acquire, left = bench.locks.acquire, [name]

    async def slowly(claim: Any, keys: Any, **more: Any) -> Any:
        if left and claim.remediation == left[0]:
            left.clear()
            assert (await bench.run(by_itself))[0] is Outcome.UNDONE
        return await acquire(claim, keys, **more)

    bench.locks.acquire = slowly  # type: ignore[method-assign]
    assert (await bench.run(name))[0] is Outcome.UNDONE
    assert peer.count == 0, "back once"
    assert kinds.UNDONE not in bench.kinds(name)
