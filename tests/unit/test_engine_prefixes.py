"""Wherever a run is cut off, another worker brings it to the same end: every prefix of a journal is a beginning."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.runbook import Runbook
from bridge.model.target import ObjectRef
from tests.support.bench import REF, Bench, SetField, runbook

pytestmark = pytest.mark.usefixtures("quiet_log")

NAMES = ("n1", "n2", "n3")
REFS = [ObjectRef("apps/v1", "Deployment", "shop", name, uid=f"uid-{name}") for name in NAMES]


class _Death(BaseException):
    """The worker's process is gone."""


def step(value: Any, *names: str, **more: Any) -> dict[str, Any]:
    return {"action": "set", "with": {"value": value, "names": list(names or ("web",))}, **more}


BOOK = runbook(
    evidence={"facts": {"collect": "facts"}},
    scenarios=[
        {
            "name": "broken",
            "otherwise": True,
            "on_not_fixed": "next",
            "try": [
                {"name": "wait", "steps": [{"id": "itself", "wait": {"for": "40s"}}, step(5)]},
                {"name": "nodes", "steps": [step(6, "${item}", for_each=list(NAMES), parallel=2), step(6)]},
            ],
        },
        {
            "name": "grow",
            "when": "evidence.facts.value == 1",
            "steps": [
                {"id": "off", **step(99, when="evidence.facts.value > 50")},
                step(
                    "${evidence.facts.value + 3}",
                    loop={"until": "evidence.facts.value >= 7", "at_most": 4, "every": "5s"},
                ),
                step(8, "n1", when="steps.off.skipped"),
            ],
        },
    ],
    verify={"fixed": "evidence.facts.value == 7", "within": "10s"},
)
WRITES = [5, 1, 6, 6, 6, 6, 1, 1, 1, 1, 4, 7, 8]


def stage() -> Bench:
    bench = Bench()
    for ref in REFS:
        bench.cluster.add(ref, spec={"value": 1})
    bench.actions["set"] = bench.action = SetField(undo_failed=True)

    async def facts() -> dict[str, Any]:
        return {"value": bench.value()}

    bench.facts.facts = facts
    return bench


async def ends(bench: Bench, deaths: set[int], book: Runbook = BOOK) -> int:
    """Run it to its end with workers that die at these places, counted over the whole run; return how many."""
    places = 0

    async def pass_by(_: str) -> None:
        nonlocal places
        places += 1
        if places in deaths:
            raise _Death

    bench.work.point = pass_by
    bench.add(book)
    for _ in range(len(deaths) + 1):
        try:
            assert await bench.run() == (Outcome.SUCCEEDED, Reason.VERIFIED)
        except _Death:
            continue
        return places
    raise AssertionError("it did not end")


async def test_a_run_with_everything_in_it_comes_to_its_end() -> None:
    bench = stage()
    assert await ends(bench, set()) > 100
    assert bench.writes == WRITES


async def test_every_place_at_which_a_worker_can_die_leads_to_the_same_end() -> None:
    """Faults 3 and 4, for every word."""
    places = await ends(stage(), set())
    for place in range(1, places):
        bench = stage()
        await ends(bench, {place})
        assert bench.writes == WRITES, place
        assert [bench.value(ref) for ref in (REF, *REFS)] == [7, 8, 1, 1], place


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(1, 150), max_size=6))
async def test_several_deaths_lead_to_the_same_end(deaths: set[int]) -> None:
    bench = stage()
    await ends(bench, deaths)
    assert bench.writes == WRITES
