"""Calls beyond Kubernetes: made once where that can be had, and said to be unknown where it cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bridge.engine.places import place_of, step_key
from bridge.engine.results import kept
from bridge.engine.temporary import undo_id
from bridge.errors import (
    InvalidInput,
    KubeReplyLost,
    KubeUnavailable,
    OutcomeUnknown,
    PermanentError,
    TemporaryError,
)
from bridge.model import kinds
from bridge.model.plan import Change, Operation, Plan, Repeat, Undo
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.target import ObjectRef
from bridge.model.verification import Verification
from tests.support.bench import FIXED, NOT_FIXED, SUCCEEDED, Bench, NoParams, runbook

pytestmark = pytest.mark.usefixtures("quiet_log")

LOST = (Outcome.UNKNOWN, Reason.WRITE_UNKNOWN)
PEER = ObjectRef("", "Peer", "shop", "peer")


class Killed(BaseException):
    """The process died here."""


class Peer:
    """An action that calls a peer, which counts. `before` and `after` are raised around the effect, one a call."""

    name = "call"
    summary = "Call."
    params = NoParams
    undo_failed = False

    def __init__(self, repeat: Repeat, undo: Undo = Undo.COMPENSATING) -> None:
        self.repeat, self.undo = repeat, undo
        self.inverse: dict[str, Any] | None = {"by": -1}
        self.count = 0
        self.asked = 0
        self.before: list[BaseException | None] = []
        self.after: list[BaseException | None] = []
        self.tells: Callable[[], bool | None] = lambda: self.count > 0
        self.answer = FIXED
        self.results: Any = None

    async def plan(self, context: Any, params: Any) -> Plan:
        change = Change(
            ref=PEER, operation=Operation.CALL, call={"by": 1}, inverse_call=self.inverse, summary="call the peer"
        )
        return Plan(
            action=self.name,
            summary="call the peer",
            changes=(change,),
            repeat=self.repeat,
            undo=self.undo,
            undo_failed=self.undo_failed,
        )

    async def perform(self, context: Any, change: Change) -> dict[str, Any]:
        if self.before and (error := self.before.pop(0)) is not None:
            raise error
        self.count += change.call["by"]
        if self.after and (error := self.after.pop(0)) is not None:
            raise error
        return {"count": self.count, "password": "hunter2", "log": "x" * 10_000}

    async def done(self, context: Any, change: Change) -> bool | None:
        self.asked += 1
        return self.tells()

    async def verify(self, context: Any, plan: Plan, params: Any) -> Verification:
        self.results = context.results
        return self.answer


def bench_of(peer: Peer) -> Bench:
    bench = Bench()
    bench.actions["call"] = peer
    bench.add(runbook(steps=[{"action": "call"}]))
    return bench


async def test_a_call_is_made_once_and_its_result_is_kept_bounded_and_without_credentials() -> None:
    peer = Peer(Repeat.NEVER)
    bench = bench_of(peer)
    assert await bench.run() == SUCCEEDED
    (applied,) = [entry for entry in bench.entries() if entry.kind == kinds.APPLIED]
    result = applied.data["result"]
    assert (result["count"], result["password"]) == (1, "[redacted]")
    assert len(result["log"]) < 5000
    assert peer.results == (result,), "verify sees what is kept"


@pytest.mark.parametrize(
    ("repeat", "end", "count"),
    [(Repeat.SAFE, SUCCEEDED, 2), (Repeat.DETECTABLE, SUCCEEDED, 1), (Repeat.NEVER, LOST, 1)],
)
@pytest.mark.parametrize("error", [OutcomeUnknown("cut"), KubeReplyLost("cut"), KeyError("bug"), TimeoutError()])
async def test_a_lost_end_is_made_again_asked_for_or_unknown_as_declared(
    repeat: Repeat, end: Any, count: int, error: Exception
) -> None:
    """Fault 28."""
    peer = Peer(repeat)
    peer.after = [error]
    assert await bench_of(peer).run() == end
    assert peer.count == count


@pytest.mark.parametrize(
    ("repeat", "end", "count"),
    [(Repeat.SAFE, SUCCEEDED, 2), (Repeat.DETECTABLE, SUCCEEDED, 1), (Repeat.NEVER, LOST, 1)],
)
async def test_killed_after_the_call_and_before_the_journal(repeat: Repeat, end: Any, count: int) -> None:
    """Fault 4."""
    peer = Peer(repeat)
    bench = bench_of(peer)
    peer.after = [Killed()]
    with pytest.raises(Killed):
        await bench.run()
    assert await bench.run() == end
    assert peer.count == count
    assert bench.view().escalated is (repeat is Repeat.NEVER)


async def test_an_action_that_cannot_tell_whether_it_was_done_is_not_repeated() -> None:
    peer = Peer(Repeat.DETECTABLE)
    peer.after, peer.tells = [OutcomeUnknown("cut")], lambda: None
    assert await bench_of(peer).run() == LOST
    assert peer.count == 1


async def test_an_action_that_can_tell_that_it_was_not_done_is_repeated() -> None:
    peer = Peer(Repeat.DETECTABLE)
    peer.before = [OutcomeUnknown("cut"), OutcomeUnknown("cut")]
    assert await bench_of(peer).run() == SUCCEEDED
    assert (peer.count, peer.asked) == (1, 2)


@pytest.mark.parametrize("repeat", list(Repeat))
async def test_what_was_not_begun_is_tried_again_whatever_is_declared(repeat: Repeat) -> None:
    peer = Peer(repeat)
    peer.before = [TemporaryError("busy", delay=60.0), KubeUnavailable("no connection"), None]
    assert await bench_of(peer).run() == SUCCEEDED
    assert (peer.count, peer.asked) == (1, 0)


async def test_a_servers_own_error_does_not_say_that_nothing_happened() -> None:
    peer = Peer(Repeat.NEVER)
    peer.after = [KubeUnavailable("internal error", status=500)]
    assert await bench_of(peer).run() == LOST
    assert peer.count == 1


@pytest.mark.parametrize("error", [PermanentError("refused"), InvalidInput("not allowed")])
async def test_what_is_refused_has_failed_and_is_not_unknown(error: Exception) -> None:
    peer = Peer(Repeat.NEVER)
    peer.before = [error]
    bench = bench_of(peer)
    outcome, _ = await bench.run()
    assert (outcome, peer.count) == (Outcome.FAILED, 0)


async def test_a_call_that_stays_in_doubt_ends_as_unknown_after_a_bounded_number_of_tries() -> None:
    peer = Peer(Repeat.SAFE)
    peer.after = [OutcomeUnknown("cut")] * 1000
    assert await bench_of(peer).run() == LOST


async def test_a_call_that_hangs_is_unknown() -> None:
    """Fault 23."""
    peer = Peer(Repeat.NEVER)
    bench = Bench(perform=0.01)
    bench.actions["call"] = peer

    async def hang(context: Any, change: Change) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    peer.perform = hang  # type: ignore[method-assign]
    bench.add(runbook(steps=[{"action": "call"}]))
    assert await bench.run() == LOST


async def test_a_call_that_did_not_help_is_undone_by_its_inverse() -> None:
    peer = Peer(Repeat.NEVER)
    peer.undo_failed, peer.answer = True, NOT_FIXED
    bench = bench_of(peer)
    assert await bench.run() == (Outcome.UNDONE, Reason.NOT_FIXED)
    assert peer.count == 0


async def test_killed_in_the_midst_of_undoing_a_call_that_must_not_be_repeated_it_is_unknown() -> None:
    """Fault 4."""
    peer = Peer(Repeat.NEVER)
    peer.undo_failed, peer.answer = True, NOT_FIXED
    peer.after = [None, Killed()]
    bench = bench_of(peer)
    with pytest.raises(Killed):
        await bench.run()
    assert (await bench.run())[0] is Outcome.UNKNOWN
    assert peer.count == 0, "undone once, and not again"


async def test_a_temporary_call_is_undone_by_itself() -> None:
    peer = Peer(Repeat.DETECTABLE)
    bench = Bench()
    bench.actions["call"] = peer
    bench.add(runbook(steps=[{"action": "call", "until": "5m"}]))
    assert await bench.run() == SUCCEEDED
    bench.clock.advance(301)
    await bench.work.promote()
    peer.tells = lambda: peer.count == 0
    assert await bench.run(undo_id("r1", step_key(place_of("only"), 0))) == (Outcome.UNDONE, Reason.TEMPORARY_ENDED)
    assert peer.count == 0


async def test_a_call_that_nothing_undoes_cannot_be_temporary() -> None:
    """Said before it is made, and not when its time is over."""
    peer = Peer(Repeat.SAFE)
    peer.inverse = None
    bench = Bench()
    bench.actions["call"] = peer
    bench.add(runbook(steps=[{"action": "call", "until": "5m"}]))
    assert await bench.run() == (Outcome.FAILED, Reason.PLAN_FAILED)
    assert peer.count == 0


def test_a_result_is_bounded_however_large_it_is() -> None:
    rows = [{"name": f"n{number}", "text": "y" * 3000} for number in range(1000)]
    result = kept({"exit_code": 0, "rows": rows, "deep": _deep(50), "inf": float("inf")})
    assert result["exit_code"] == 0
    assert result["truncated"] is True
    assert len(str(result)) < 40_000


def _deep(levels: int) -> Any:
    return {"x": _deep(levels - 1)} if levels else 1
