"""A run whose workers were all down between two of its steps: is what is left of it still right?"""

from __future__ import annotations

from typing import Any

import pytest

from bridge.model import kinds
from bridge.model.plan import Repeat
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from tests.support.bench import AWAY, FACTS, FIXED, NOT_FIXED, SUCCEEDED, Bench, SetField, runbook
from tests.support.deaths import Killed, kill

pytestmark = pytest.mark.usefixtures("quiet_log")

HOUR = 3600.0
STEPS = [{"action": "set"}, {"action": "set", "with": {"value": 7, "names": ["worker"]}}]
STILL = {"name": "only", "when": "evidence.facts.value > 0", "steps": STEPS}
PROVED = {"fixed": "evidence.facts.well == true", "within": "10s"}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def two_steps(**fields: Any) -> Any:
    return runbook(**{"evidence": FACTS, "scenarios": [STILL], "verify": PROVED, **fields})


async def left_alone(bench: Bench, seconds: float = 6 * HOUR, *, book: Any = None, at: str = "") -> None:
    """Make the first step, die right before the second, and let nobody work on it for so long."""
    bench.facts.facts = {"value": 1, "well": False}
    kill(bench, 1 if at else 2, at or "before planned")
    bench.add(book or two_steps())
    with pytest.raises(Killed):
        await bench.stretch()
    assert bench.writes == [5]
    bench.clock.advance(seconds)


def said(bench: Bench) -> list[str]:
    return [entry.text for entry in bench.entries() if entry.kind == kinds.LOOKED_AGAIN]


async def test_what_still_applies_is_looked_at_again_and_then_carried_on(bench: Bench) -> None:
    """Fault 69."""
    await left_alone(bench)
    looks = bench.facts.count
    bench.facts.facts = {"value": 2, "well": True}
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 7]
    assert bench.facts.count > looks
    (text,) = said(bench)
    assert text == "nobody worked on it for 360 min: what called for it is still so"
    taken_up = [entry.text for entry in bench.entries() if entry.kind == kinds.STARTED]
    assert taken_up == ["taken up", "taken up, after nobody worked on it for 360 min"]


async def test_a_short_gap_changes_nothing(bench: Bench) -> None:
    await left_alone(bench, HOUR - 60)
    bench.facts.facts = {"value": 0, "well": True}
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 7]
    assert said(bench) == []


async def test_when_the_scenario_applies_no_more_the_rest_is_left_and_what_is_so_now_is_proved(bench: Bench) -> None:
    """Fault 69."""
    await left_alone(bench)
    bench.facts.facts = {"value": 0, "well": True}
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5]
    assert "only does not apply any more" in said(bench)[0]
    assert "its remaining steps are not made" in bench.entries()[-1].text


async def test_when_every_alert_resolved_meanwhile_nothing_more_is_written(bench: Bench) -> None:
    """Fault 69."""
    await left_alone(bench)
    bench.work.resolve("r1")
    bench.facts.facts = {"value": 2, "well": True}
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5]
    assert "every alert that asked for it resolved meanwhile" in said(bench)[0]


async def test_what_is_left_half_way_and_not_well_is_put_back_and_goes_to_a_person(bench: Bench) -> None:
    """Fault 69. A resolve says that nobody complains, not that half of a repair is right."""
    bench.actions["set"] = bench.action = SetField(undo_failed=True)
    await left_alone(bench)
    bench.work.resolve("r1")
    assert await bench.run() == (Outcome.UNDONE, Reason.NOT_FIXED)
    assert bench.writes == [5, 1]
    assert bench.view().escalated


async def test_without_a_proof_of_its_own_the_rest_goes_to_a_person(bench: Bench) -> None:
    """Fault 69. That a scenario applies no more is no proof that all is well with half of its steps."""
    await left_alone(bench, book=two_steps(verify=None))
    bench.facts.facts = {"value": 0}
    assert await bench.run() == (Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN)
    assert bench.writes == [5]
    assert bench.view().escalated


async def test_what_cannot_be_looked_at_is_not_carried_on(bench: Bench) -> None:
    """Fault 69."""
    await left_alone(bench)
    bench.facts.facts = AWAY
    assert await bench.run() == (Outcome.UNKNOWN, Reason.EVIDENCE_MISSING)
    assert bench.writes == [5]


async def test_whoever_takes_it_up_and_dies_leaves_the_look_to_the_next(bench: Bench) -> None:
    """Fault 69. The second one finds it worked on a second ago: by one that never looked."""
    await left_alone(bench)
    bench.facts.facts = {"value": 0, "well": True}
    kill(bench, 1, "after started")
    with pytest.raises(Killed):
        await bench.stretch()
    bench.clock.advance(1)
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5]


async def test_what_was_left_stays_left_whoever_takes_it_up(bench: Bench) -> None:
    await left_alone(bench)
    bench.facts.facts = {"value": 0, "well": False}
    kill(bench, 1, "before verifying")
    with pytest.raises(Killed):
        await bench.stretch()
    bench.facts.facts = {"value": 1, "well": True}
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5]


async def test_a_plan_that_was_made_before_the_gap_is_made_anew(bench: Bench) -> None:
    """The guards looked at it six hours ago."""
    await left_alone(bench, at="after applied")
    assert bench.kinds().count(kinds.PLANNED) == 1
    bench.facts.facts = {"value": 2, "well": True}
    kill(bench, 1, "after planned")
    with pytest.raises(Killed):
        await bench.stretch()
    plans = bench.action.plans
    bench.clock.advance(6 * HOUR)
    assert await bench.run() == SUCCEEDED
    assert bench.action.plans > plans
    assert len(said(bench)) == 2


async def test_a_plan_that_was_begun_is_finished(bench: Bench) -> None:
    """Fault 69. Half made is no state to leave a plan in; each change still has its own preconditions."""
    kill(bench, 1, "after applied")
    bench.add(runbook(steps=[{"action": "set", "with": {"names": ["web", "worker"]}}], verify=None))
    with pytest.raises(Killed):
        await bench.stretch()
    bench.clock.advance(6 * HOUR)
    bench.work.resolve("r1")
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 5]


async def test_a_write_whose_fate_is_not_known_is_settled_first(bench: Bench) -> None:
    """Faults 4 and 69."""
    bench.actions["set"] = bench.action = SetField(repeat=Repeat.SAFE)
    await left_alone(bench, at="after patch")
    bench.work.resolve("r1")
    bench.facts.facts = {"value": 2, "well": True}
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5]


async def test_no_further_attempt_is_made_when_the_rest_is_left(bench: Bench) -> None:
    bench.action.answers = [FIXED, NOT_FIXED, FIXED]
    tries = [
        {"name": "first", "steps": STEPS},
        {"name": "second", "steps": [{"action": "set", "with": {"value": 9}}]},
    ]
    book = two_steps(scenarios=[{"name": "only", "when": "evidence.facts.value > 0", "try": tries}])
    await left_alone(bench, book=book)
    bench.work.resolve("r1")
    outcome, reason = await bench.run()
    assert (outcome, reason) == (Outcome.FAILED, Reason.NOT_FIXED)
    assert bench.writes == [5]


async def test_a_wait_that_a_runbook_asks_for_is_no_downtime(bench: Bench) -> None:
    steps = [STEPS[0], {"wait": {"for": "5h"}}, STEPS[1]]
    bench.facts.facts = {"value": 1, "well": True}
    bench.add(runbook(evidence=FACTS, scenarios=[{**STILL, "steps": steps}], verify=PROVED))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 7]
    assert said(bench) == []
