"""A runbook that does not help stops by itself, or asks first, and only a person ends that."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from bridge.guards.effectiveness import EffectivenessGuard
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, State
from bridge.model.trust import TrustSettings
from tests.support.bench import NOT_FIXED, Bench
from tests.support.memory_trust import MemoryTrustbook


def bench_with(*helped: bool) -> tuple[Bench, MemoryTrustbook]:
    """Return a bench whose runbook helped so in its last runs."""
    bench = Bench()
    book = MemoryTrustbook(bench.clock)
    for each in helped:
        book.ended("test/web", "WebDown", helped=each)
    bench.trust = book
    bench.entry_guards = [EffectivenessGuard()]
    return bench, book


async def test_runbook_that_did_not_help_stops_and_says_so_once() -> None:
    bench, book = bench_with(*[False] * 5)
    for name in ("r1", "r2"):
        bench.add(name=name, labels={"alertname": "WebDown"})
        assert await bench.run(name) == (Outcome.DENIED, Reason.RUNBOOK_STOPPED)
    assert not bench.writes
    assert "last 5 runs did not help" in bench.view("r1").detail
    assert "alertbridge resume --scope runbook:test/web" in bench.view("r1").detail
    assert [bench.view(name).escalated for name in ("r1", "r2")] == [True, False]
    await book.restore("test/web")
    bench.add(name="r3", labels={"alertname": "WebDown"})
    assert await bench.run("r3") == (Outcome.SUCCEEDED, Reason.VERIFIED)


async def test_runbook_that_seldom_helped_asks_a_person() -> None:
    bench, _ = bench_with(True, True, False, False, False)
    bench.add(labels={"alertname": "WebDown"})
    view = await bench.stretch()
    assert view.state is State.PARKED
    assert not bench.writes


async def test_runbook_that_hardly_ever_helped_only_looks() -> None:
    bench, _ = bench_with(False, False, False, True, False, False)
    bench.add(labels={"alertname": "WebDown"})
    assert await bench.run() == (Outcome.OBSERVED, Reason.OBSERVE_ONLY)
    bench.add(name="r2", labels={"alertname": "WebSlow"})
    assert await bench.run("r2") == (Outcome.SUCCEEDED, Reason.VERIFIED)


async def test_who_asks_by_hand_is_not_held_up() -> None:
    bench, _ = bench_with(*[False] * 5)
    bench.action.answers = [NOT_FIXED]
    bench.add(labels={"alertname": "WebDown"}, requested_by="ann")
    assert await bench.run() == (Outcome.FAILED, Reason.NOT_FIXED)


@pytest.mark.parametrize("wrong", [{"approve_below": 0.1}, {"at_least": 11}, {"stop_after": 0}])
def test_policy_that_contradicts_itself_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        TrustSettings.model_validate(wrong)
