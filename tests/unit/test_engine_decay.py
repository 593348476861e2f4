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
from bridge.model.decay import Rule, duration
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
            assert found is not None
            over = self._quiet(duration(found[1]))
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


async def test_the_wait_has_a_bound_of_its_own() -> None:
    world = World()
    world.fire(decay="3m")
    assert await world.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert 300 <= world.took < 400
    assert "left over from before the repair" in world.view().detail


@pytest.mark.parametrize("known", [None, TemporaryError("Prometheus: no answer")])
async def test_where_nothing_is_known_of_the_rule_the_proof_has_its_own_time(known: Any) -> None:
    world = World()
    world.known = known
    world.fire()
    assert await world.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert 120 <= world.took < 200


async def test_decay_can_be_left_out() -> None:
    world = World()
    world.fire(decay="0s")
    assert await world.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert world.took < 200
    assert world.asked.count(RULE.query) == 0
