"""Nothing is written, decided or said that the trail does not tell: wherever a worker dies."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bridge.api.audit import AuditRecord, TrailTeller
from bridge.model import kinds
from bridge.model.plan import Repeat
from bridge.model.remediation import Outcome, State
from tests.support.bench import FACTS, NOT_FIXED, TWO_STEPS, Bench, SetField, runbook
from tests.support.deaths import Killed, kill
from tests.support.memory_audit import MemoryAudit

pytestmark = pytest.mark.usefixtures("quiet_log")


async def told(bench: Bench) -> list[AuditRecord]:
    teller = TrailTeller(bench.work, bench.work)
    audit = MemoryAudit(bench.clock, bench.work)
    return [one async for one in teller.tell(audit, 0.0, math.inf)]


def written(bench: Bench) -> list[tuple[str, Any, Any]]:
    """Return each write that changed something: object, before, after."""
    values: dict[str, Any] = {}
    found = []
    for sent in bench.cluster.effective:
        after = sent.body["spec"]["value"]
        found.append((sent.ref.name, values.get(sent.ref.name, 1), after))
        values[sent.ref.name] = after
    return found


def recorded(records: list[AuditRecord]) -> list[tuple[str, Any, Any]]:
    return [
        (one.object.rsplit("/", 1)[-1], one.before["/spec/value"], one.after["/spec/value"])
        for one in records
        if one.object
    ]


@pytest.mark.parametrize("helps", [True, False])
async def test_every_write_is_told_once_with_before_and_after_wherever_a_worker_dies(helps: bool) -> None:
    """Faults 3 and 4: between the write and its record another worker reads back, and records it."""
    for at in range(1, 500):
        bench = Bench()
        bench.actions["set"] = bench.action = SetField(undo_failed=True)
        if not helps:
            bench.action.answers = [NOT_FIXED]
        kill(bench, at)
        bench.add(runbook(evidence=FACTS, steps=TWO_STEPS, verify=None))
        killed = False
        try:
            await bench.run()
        except Killed:
            killed = True
            if bench.view().state is not State.DONE:
                await bench.run()
        records = await told(bench)
        assert recorded(records) == written(bench), f"killed at point {at}: {bench.kinds()}"
        assert len(written(bench)) >= 2
        assert records[-1].kind == kinds.FINISHED
        assert all(one.why for one in records if one.object)
        if not killed:
            break
    assert at > 30


async def test_a_write_whose_fate_nobody_knows_is_told_as_announced_and_the_end_says_so() -> None:
    """Fault 4: what must not be repeated is not looked for; what was about to be written stands in the trail."""
    bench = Bench()
    bench.actions["set"] = bench.action = SetField(repeat=Repeat.NEVER)
    kill(bench, 1, "after patch")
    bench.add()
    with pytest.raises(Killed):
        await bench.stretch()
    outcome, _ = await bench.run()
    assert outcome is Outcome.UNKNOWN
    records = await told(bench)
    kinds_told = [one.kind for one in records]
    assert kinds_told[-1] == kinds.FINISHED
    announced = records[kinds_told.index(kinds.APPLYING)]
    assert "web" in announced.text
    assert "must not be repeated" in records[-1].text
