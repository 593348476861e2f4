"""A proof that looks back: a good repair is not called bad for what was before it, a bad one is not waited on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from bridge.engine.parts import Parts
from bridge.errors import TemporaryError
from bridge.evidence.promql import Promql
from bridge.model.decay import Recorded, Rule, duration
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, RemediationView
from tests.support.bench import Bench, Reach, runbook

pytestmark = pytest.mark.usefixtures("quiet_log")

GROUP_INTERVAL = 300.0
RULE = Rule(name="HighErrorRate", query="rate(errors_total[10m]) > 0.05", interval=15.0)
LABELS = {"alertname": "HighErrorRate", "job": "web"}


class World(Bench):
    """Errors happen until the value is right, or for ever; the rule looks back on ten minutes of them."""

    def __init__(self, *, helps: bool = True) -> None:
        super().__init__()
        self.helps = helps
        self.mended_at: float | None = None
        self.known: Rule | Exception | None = RULE
        self.records: dict[str, Recorded] = {}
        self.asked: list[str] = []
        self.began = self.clock.now()
        taken = self.work.get

        async def get(name: str) -> RemediationView | None:
            view = await taken(name)
            if view is not None and self._quiet(600.0 + GROUP_INTERVAL):
                return msgspec.structs.replace(view, open_incidents=())
            return view

        self.work.get = get  # type: ignore[method-assign]

    def parts(self) -> Parts:
        prometheus: Mapping[str, Any] = {"facts": self.facts, "promql": Promql()}
        return msgspec.structs.replace(super().parts(), rules=self, prometheus=True, collectors=prometheus)

    def _reach(self, cluster: str) -> Reach:
        reach = super()._reach(cluster)

        async def promql(query: str) -> list[Any]:
            self.asked.append(query)
            found = re.search(r"\[(\w+)\]", query)
            over = self._quiet(duration(found[1]) if found is not None else 600.0)
            if "> 0.05" in query:
                return [] if over else [({"job": "web"}, 1.0)]
            return [({"job": "web"}, 0.0 if over else 1.0)]

        reach.promql = promql  # type: ignore[method-assign]
        return reach

    def _quiet(self, seconds: float) -> bool:
        """Whether there were no errors for so long."""
        if self.mended_at is None and self.helps and self.value() == 7:
            self.mended_at = self.clock.now()
        return self.mended_at is not None and self.clock.now() - self.mended_at >= seconds

    async def rule(self, labels: Mapping[str, str]) -> Rule | None:
        assert labels == LABELS
        if isinstance(self.known, Exception):
            raise self.known
        return self.known

    async def recorded(self) -> Mapping[str, Recorded]:
        return self.records

    async def group_interval(self) -> float:
        return GROUP_INTERVAL

    def fire(self, fixed: str = "alert.resolved", **verify: Any) -> None:
        steps = [{"action": "set", "with": {"value": 7}}]
        query = {"collect": "promql", "with": {"query": "rate(errors_total[10m])"}}
        spec = {"fixed": fixed, "within": "2m", "evidence": {"errors": query}, **verify}
        self.add(runbook(steps=steps, verify=spec), labels=LABELS)

    @property
    def took(self) -> float:
        return self.clock.now() - self.began


async def test_a_good_repair_is_not_called_not_fixed_while_its_rule_looks_back() -> None:
    world = World()
    world.fire()
    assert await world.run() == (Outcome.SUCCEEDED, Reason.VERIFIED)
    assert 900 <= world.took < 1020
    assert world.writes == [7], "it is not made again meanwhile"
    begun = [entry for entry in world.entries() if entry.kind == "verifying" and "own" in entry.data]
    assert "its rule looks back 600 s" in begun[0].text


async def test_a_bad_repair_is_found_out_when_its_own_time_is_over() -> None:
    world = World(helps=False)
    world.fire()
    assert await world.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert 120 <= world.took < 200
    assert "since the repair alone" in world.view().detail
    assert any(re.search(r"\[1[2-9]\ds\]", query) for query in world.asked)


async def test_a_query_that_looks_back_is_waited_for_as_well() -> None:
    world = World()
    world.fire("evidence.errors.value < 0.05")
    assert await world.run() == (Outcome.SUCCEEDED, Reason.VERIFIED)
    assert 600 <= world.took < 720
    worse = World(helps=False)
    worse.fire("evidence.errors.value < 0.05")
    assert await worse.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert worse.took < 200


async def test_without_samples_since_the_repair_nobody_says_not_fixed_before_the_end() -> None:
    world = World()
    world.known = msgspec.structs.replace(RULE, query="absent(rate(other_total[10m])) > 0.05")
    world.fire()
    assert (await world.run())[0] is Outcome.SUCCEEDED


async def test_beyond_the_bound_of_the_wait_it_is_not_known() -> None:
    """A good repair is not called bad since its rule looks back further than it may be waited for."""
    world = World()
    world.fire(decay="3m")
    assert await world.run() == (Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN)
    assert 300 <= world.took < 400
    assert "longer than `verify.decay: 180s`" in world.view().detail
    assert world.writes == [7]


async def test_where_no_rule_is_known_the_proof_has_its_own_time() -> None:
    world = World()
    world.known = None
    world.fire()
    assert await world.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert 120 <= world.took < 200


async def test_where_nobody_can_say_for_how_long_an_alert_goes_on_it_is_not_called_not_fixed() -> None:
    world = World()
    world.known = TemporaryError("Prometheus: no answer")
    world.fire()
    assert await world.run() == (Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN)
    assert 120 <= world.took < 200
    assert "Prometheus: no answer" in world.view().detail
    assert world.writes == [7], "nothing is put back, nothing tried besides"


async def test_a_rule_that_is_known_again_before_the_end_still_counts() -> None:
    world = World()
    world.known = TemporaryError("Prometheus: no answer")
    world.fire()
    while world.took < 100:
        view = await world.stretch()
        assert view.due_at is not None
        world.clock.advance(max(0.0, view.due_at - world.clock.now()))
    world.known = RULE
    assert await world.run() == (Outcome.SUCCEEDED, Reason.VERIFIED)
    assert 900 <= world.took < 1020


@pytest.mark.parametrize("helps", [True, False])
async def test_what_is_recorded_of_the_time_before_calls_no_good_repair_bad(helps: bool) -> None:
    """The recording rule's own range cannot be cut: it is waited until all of it is of the time since."""
    world = World(helps=helps)
    recorded = {"job:errors:rate10m": Recorded("rate(errors_total[10m])", 60.0)}
    world.known = msgspec.structs.replace(RULE, query="job:errors:rate10m > 0.05", recorded=recorded)
    world.fire()
    ended = (Outcome.SUCCEEDED, Reason.VERIFIED) if helps else (Outcome.FAILED, Reason.NOT_FIXED)
    assert await world.run() == ended
    assert world.took >= (900 if helps else 660)


async def test_evidence_that_is_recorded_is_waited_for_as_well() -> None:
    world = World()
    world.records = {"job:errors:rate10m": Recorded("rate(errors_total[10m])", 60.0)}
    query = {"collect": "promql", "with": {"query": "job:errors:rate10m"}}
    world.fire("evidence.errors.value < 0.05", evidence={"errors": query})
    assert await world.run() == (Outcome.SUCCEEDED, Reason.VERIFIED)
    assert 600 <= world.took < 720


async def test_an_alert_that_goes_on_although_all_is_well_since_is_neither() -> None:
    """A resolve that was lost: the rule no longer fires, and the alert is not over."""
    world = World()
    taken = world.work.get

    async def get(name: str) -> RemediationView | None:
        view = await taken(name)
        return None if view is None else msgspec.structs.replace(view, open_incidents=("am/0000000000000001/1",))

    world.work.get = get  # type: ignore[method-assign]
    world.fire()
    assert await world.run() == (Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN)
    assert "since the repair alone it is well" in world.view().detail


async def test_decay_can_be_left_out() -> None:
    world = World()
    world.fire(decay="0s")
    assert await world.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert world.took < 200
    assert world.asked.count(RULE.query) == 0
