"""A plan whose parts rest on one another refuses its undo as a whole; what a server filled in counts as made."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.engine.apply import ChangeApplier
from bridge.errors import KubeForbidden, PlanStale, UndoBlocked
from bridge.model import kinds
from bridge.model.plan import Change, Field, Operation, Plan, Repeat, holds
from bridge.model.remediation import Outcome
from tests.support.bench import OTHER, REF, Bench, runbook
from tests.support.flaky_cluster import Fault
from tests.unit.test_engine_half import THIRD, Killed, SetAll, ready, values

pytestmark = pytest.mark.usefixtures("quiet_log")


class Resting(SetAll):
    """Sets a field, makes a call whose undo is refused, and sets another field, which fails."""

    async def plan(self, context: Any, params: Any) -> Plan:
        first = Change(ref=REF, fields=(Field("/spec/value", 1, 5),), summary="set web")
        call = Change(ref=OTHER, operation=Operation.CALL, call={"a": 1}, inverse_call={"a": 2}, summary="call")
        last = Change(ref=THIRD, fields=(Field("/spec/value", 1, 5),), summary="set third")
        return Plan(action=self.name, summary="rest", changes=(first, call, last), repeat=Repeat.SAFE)

    async def perform(self, context: Any, change: Change) -> dict[str, Any]:
        if change.call == {"a": 2}:
            raise self._more["refusal"]
        return {}

    async def done(self, context: Any, change: Change) -> bool | None:
        return None


def resting(refusal: Exception) -> Bench:
    action = Resting()
    bench = ready(action)
    action._more = {"refusal": refusal}
    bench.cluster.between = [lambda: None, lambda: bench.cluster.faults.append(Fault("patch", KubeForbidden("no")))]
    return bench


async def test_what_was_built_on_since_is_not_put_back_in_part() -> None:
    bench = resting(UndoBlocked("a newer one is there"))
    assert (await bench.run())[0] is Outcome.FAILED
    assert values(bench) == [5, 1, 1]
    assert "a newer one is there" in bench.view().detail


async def test_another_refusal_leaves_the_rest_to_be_put_back() -> None:
    bench = resting(PlanStale("changed"))
    assert (await bench.run())[0] is Outcome.FAILED
    assert values(bench) == [1, 1, 1]


@pytest.mark.parametrize("where", [f"after {kinds.UNDONE}", f"before {kinds.FINISHED}"])
async def test_after_a_death_it_is_still_refused_as_a_whole(where: str) -> None:
    """Fault 3."""
    bench = resting(UndoBlocked("a newer one is there"))
    deaths = 0

    async def die(point: str) -> None:
        nonlocal deaths
        if point == where and not deaths:
            deaths += 1
            raise Killed

    bench.work.point = die
    with pytest.raises(Killed):
        await bench.run()
    assert (await bench.run())[0] is Outcome.FAILED
    assert deaths == 1
    assert values(bench) == [5, 1, 1]


async def test_a_value_that_the_server_filled_in_is_made_and_goes_back_exactly() -> None:
    bench = Bench()
    bench.add(runbook())
    wanted = {"a": {"b": 1}, "empty": []}
    change = Change(ref=REF, fields=(Field("/spec/more", None, wanted, filled=True),), summary="fill")
    applier = ChangeApplier(bench.cluster)
    await applier.apply(change, remediation="r")
    bench.cluster.edit(REF, {"spec": {"more": {"a": {"b": 1, "default": 7}}}})
    found = await ChangeApplier(bench.cluster).apply(change, remediation="r")
    assert not found.wrote
    assert found.change.fields[0].after["a"] == {"b": 1, "default": 7}
    back = found.change.inverse
    assert back is not None
    assert (await applier.apply(back, remediation="r")).wrote


@pytest.mark.parametrize(
    ("found", "wanted", "same"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": {}}, True),
        ({"a": 2}, {"a": 1}, False),
        ([{"a": 1, "b": 2}], [{"a": 1}], True),
        ([{"a": 1}, {"a": 1}], [{"a": 1}], False),
        (True, 1, False),
        (None, [], True),
        (None, "x", False),
        ("x", {"a": 1}, False),
    ],
)
def test_what_counts_as_filled_in(found: Any, wanted: Any, same: bool) -> None:
    assert holds(found, wanted) is same
