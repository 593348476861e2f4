"""What a run keeps of what it saw: what the first write rested on, what came after it, and what the proof saw."""

from __future__ import annotations

import gzip
from typing import Any

import msgspec
import pytest

from bridge.engine.gather import MOST
from bridge.errors import PermanentError
from bridge.model import kinds
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from tests.support.bench import FACTS, Bench, SetField, runbook

pytestmark = pytest.mark.usefixtures("quiet_log")


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.actions["set"] = bench.action = SetField(undo_failed=True)

    async def facts() -> dict[str, Any]:
        return {"value": bench.value(), "look": bench.facts.count}

    bench.facts.facts = facts
    return bench


async def kept(bench: Bench) -> dict[str, Any]:
    blob = await bench.work.evidence("r1")
    assert blob is not None
    return dict(msgspec.json.decode(gzip.decompress(blob)))


def step(value: int) -> list[dict[str, Any]]:
    return [{"action": "set", "with": {"value": value}}]


async def test_what_the_choice_rested_on_and_what_the_proof_saw_are_both_kept(bench: Bench) -> None:
    bench.add(runbook(evidence=FACTS, steps=step(7), verify={"fixed": "evidence.facts.value == 7", "within": "10s"}))
    assert await bench.run() == (Outcome.SUCCEEDED, Reason.VERIFIED)
    found = await kept(bench)
    assert found["evidence"]["facts"]["value"] == 1
    assert found["proof"]["evidence"]["facts"]["value"] == 7
    assert found["at"] <= found["proof"]["at"]
    assert "first" not in found


async def test_what_the_first_write_rested_on_outlives_what_is_gathered_after_it(bench: Bench) -> None:
    ways = [{"name": "a", "steps": step(5)}, {"name": "b", "when": "evidence.facts.value > 0", "steps": step(7)}]
    scenario = {"name": "broken", "otherwise": True, "try": ways}
    verify = {"fixed": "evidence.facts.value == 7", "within": "5s"}
    bench.add(runbook(evidence=FACTS, scenarios=[scenario], verify=verify))
    assert await bench.run() == (Outcome.SUCCEEDED, Reason.VERIFIED)
    found = await kept(bench)
    assert found["first"]["evidence"]["facts"]["look"] == 1
    assert found["evidence"]["facts"]["look"] > 1
    assert found["proof"]["evidence"]["facts"]["value"] == 7


async def test_evidence_without_end_is_cut_and_the_journal_says_what(bench: Bench) -> None:
    bench.facts.facts = {"value": 1, "text": "x" * (2 * MOST)}
    bench.add(runbook(evidence=FACTS))
    await bench.run()
    found = await kept(bench)
    assert len(msgspec.json.encode(found["evidence"])) <= MOST
    assert "facts.text" in found["cut"]
    entry = next(entry for entry in bench.entries() if entry.kind == kinds.EVIDENCE)
    assert "facts.text" in entry.data["cut"]


async def test_a_piece_that_cannot_be_cut_is_missing_with_the_reason(bench: Bench) -> None:
    bench.facts.facts = {str(number): number for number in range(MOST // 8)}
    bench.add(runbook(evidence=FACTS))
    await bench.run()
    found = await kept(bench)
    assert found["evidence"] == {}
    assert "too large" in found["missing"]["facts"]


async def test_what_an_action_only_tells_people_is_told_with_what_is_missing_named(bench: Bench) -> None:
    class Tell(SetField):
        texts = ("value",)

    bench.actions["set"] = Tell()
    step = {"action": "set", "with": {"value": "pods: ${evidence.gone.ready}, since ${alert.started}"}}
    bench.add(runbook(steps=[step]))
    await bench.run()
    assert bench.writes == ["pods: (not known), since 1970-01-01 00:00:00 UTC"]


async def test_a_proof_that_cannot_be_had_says_why(bench: Bench) -> None:
    async def away() -> dict[str, Any]:
        raise PermanentError("path '/query x' is not plain")

    bench.facts.facts = away
    verify = {"evidence": {"facts": {"collect": "facts"}}, "fixed": "evidence.facts.ok", "within": "5s"}
    bench.add(runbook(verify=verify))
    assert await bench.run() == (Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN)
    assert "facts is missing: path '/query x' is not plain" in bench.view().detail
    scenario = {"name": "a", "when": "evidence.facts.ok", "steps": [{"action": "set"}]}
    bench.add(runbook(evidence={"facts": {"collect": "facts"}}, scenarios=[scenario]), name="r2")
    assert await bench.run("r2") == (Outcome.UNKNOWN, Reason.EVIDENCE_MISSING)
    assert bench.view("r2").detail.endswith("; facts is missing: path '/query x' is not plain")
