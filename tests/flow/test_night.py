"""A night in ten minutes: sixty alerts of five systems, and everything that can happen to alertbridge meanwhile.

On the stage are the product's own parts on one clock that jumps, a real Redis that is killed and started again on its
disk, a real worker that is killed in the midst of its work, a simulated cluster, Prometheus, a pair of Alertmanagers,
and people who answer their pagers, or do not. See tests/support/night; `night.told()` is the time line, and stands in
the output of a test that fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bridge.demo.objects import Obj, dig
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, RemediationView, State
from bridge.model.sentences import story
from bridge.model.telling import TellAgain
from bridge.notify.again import cause_of
from tests.support.night.house import BUDGETS, Moment, Write
from tests.support.night.night import Night, Plan, open_night
from tests.support.night.people import L1, L2, L3, L4, OMENDB_L1
from tests.support.night.script import EVENING, MINUTE, Trouble, an_evening, the_night
from tests.support.night.world import KYC, NETWEAVE, OMENDB, OMNIMESH, PYTHON

pytestmark = pytest.mark.usefixtures("quiet_log")

WINDOW = 600.0
LATE = 2 * MINUTE
"""How long a message may take: people are told once a minute, and a channel may have to be tried again."""


AGAIN = TellAgain().every
"""Within this time nobody is called twice for the same cause, but as a further level."""


@asynccontextmanager
async def a_night(folder: Path, troubles: Sequence[Trouble], **how: object) -> AsyncIterator[Night]:
    """Let a night pass; what happened in it stands in the output of a test that fails."""
    async with open_night(folder, troubles, **how) as night:  # type: ignore[arg-type]
        try:
            await night.run()
            yield night
        finally:
            print(night.told(), night.channels.counts(), night.monitoring.sent, sep="\n")


# -- what has to be so after every night, whatever happened in it


async def check(night: Night) -> None:
    runs = await night.runs()
    await _everything_is_explained(night)
    _nothing_was_disturbed_beyond_the_budget(night.proxy.writes)
    _the_right_people_were_called_in_time(night, runs)
    await _everything_has_ended(night, runs)


async def _everything_is_explained(night: Night) -> None:
    for rule in night.monitoring.rules:
        decisions = await night.decisions(rule)
        assert decisions, f"nobody knows why nothing was done about {rule.trouble.name}"
        told = story(decisions)
        assert len(told) == len(decisions)
        assert all(Reason.of(each.reason) for each in decisions)
        if rule.trouble.end != "nobody":
            assert "resolved" in [each.reason for each in decisions], (rule.trouble.name, told)


def _nothing_was_disturbed_beyond_the_budget(writes: Iterable[Write]) -> None:
    """Read off the writes alone: whose pods that were ready were disturbed when, but by what was put back."""
    disturbed: list[tuple[float, str, str]] = []
    left: dict[tuple[str, str], list[Obj]] = {}
    for write in writes:
        if not write.before or not write.after or "template" not in write.after.get("spec", {}):
            continue
        before, after = (each["spec"]["template"]["spec"] for each in (write.before, write.after))
        place = (write.after["metadata"]["namespace"], write.after["metadata"]["name"])
        again = before == after and write.before["spec"]["template"] != write.after["spec"]["template"]
        back = after in left.get(place, []) and not again
        fewer = write.after["spec"]["replicas"] < write.before["spec"]["replicas"]
        ready = int(dig(write.before, "status", "readyReplicas", default=0))
        if ready and not back and (before != after or again or fewer):
            disturbed.append((write.at, *place))
        left.setdefault(place, []).append(before)
    assert disturbed
    for at, _, _ in disturbed:
        window = [each for each in disturbed if at - WINDOW < each[0] <= at]
        assert len({each[1:] for each in window}) <= BUDGETS["cluster"]["targets"], window  # type: ignore[index]
        in_one = Counter(namespace for namespace, _ in {each[1:] for each in window})
        assert max(in_one.values()) <= BUDGETS["namespace"]["targets"], window  # type: ignore[index]


def _the_right_people_were_called_in_time(night: Night, runs: Sequence[RemediationView]) -> None:
    causes = {view.remediation.id: cause_of(view) for view in runs}
    for rule in night.monitoring.rules:
        calls = night.calls_about(runs, rule)
        if rule.trouble.end != "person":
            assert calls == [], f"somebody was called about {rule.trouble.name}, which needed nobody"
            continue
        assert any(call.channel == rule.trouble.answers for call in calls), f"nobody heard of {rule.trouble.name}"
        needed = [view for view in runs if dict(view.remediation.labels) == rule.labels and view.escalated]
        assert needed, rule.trouble.name
        for cause in {cause_of(view) for view in needed}:
            times = [call.at for call in calls if call.channel in (L1, OMENDB_L1) and causes[call.run] == cause]
            assert all(after - before >= AGAIN for before, after in pairwise(times)), (rule.trouble.name, times)
        for view in needed:
            ended = view.finished_at or 0.0
            (first, *more) = [call for call in calls if call.run == view.remediation.id] or [None]
            if first is None:
                before = [call.at for call in calls if causes[call.run] == cause_of(view) and call.at <= ended]
                assert before, f"nobody heard of {view.remediation.id}, nor of its like before"
                assert ended - before[-1] <= AGAIN
                continue
            within = LATE if first.channel in (L1, OMENDB_L1) else 5 * MINUTE
            # The store is a few milliseconds ahead: those that the call took.
            assert -1 <= first.at - ended <= within + 1, (rule.trouble.name, first)
            # A message may arrive twice, when its sender died or gave up before the answer came.
            further = dict.fromkeys(call.channel for call in more if call.channel != first.channel)
            for level, channel in zip((L2, L3), further, strict=False):
                assert channel == level


async def _everything_has_ended(night: Night, runs: Sequence[RemediationView]) -> None:
    assert list(night.world.temporary()) == [], "what was meant for a while is still so"
    assert [view for view in runs if view.state is not State.DONE] == []
    assert all(view.outcome is not None and view.reason for view in runs)
    for rule in night.monitoring.rules:
        assert rule.ended is not None, f"{rule.trouble.name} fires still"
        open_ones = [
            found
            for found in await night.house.stores.guardbook.incidents(rule.name)
            if str(found.get("open", "")) in ("1", "True")
        ]
        assert open_ones == [], rule.trouble.name
    depth = await night.house.stores.work.depth()
    assert not any(depth.values()), depth


TWICE = {
    "edge-a": "a higher limit did not help, the version before did",
    "reports": "the wrong runbook's change was put back",
    "netweave-config": "its entries last longer for a while only",
}
ONCE = "netweave-gateway onboarding-portal prod-omendb pricing ledger auth carts omendb-1 cache-a face-match status"
CHANGED = {**dict.fromkeys(ONCE.split(), 1), **dict.fromkeys(TWICE, 2)}
"""How often each object is written to in the evening (`status`: of the certificate that is renewed)."""


# -- the nights


async def test_a_night_in_ten_minutes(tmp_path: Path) -> None:
    """Sixty alerts, one that flaps, a wrong runbook, a silent channel, Redis killed, a worker killed."""
    troubles = the_night()
    assert len(troubles) == 60
    assert {trouble.labels["namespace"] for trouble in troubles} >= {NETWEAVE, OMENDB, KYC, PYTHON, OMNIMESH}
    async with a_night(tmp_path, troubles) as night:
        await check(night)
        assert night.channels.counts() == {L1: 6, L2: 2, L3: 1, L4: 0, OMENDB_L1: 1}
        assert await ends_of(night, "python-services/slow-queries") == [
            (Outcome.UNDONE, "not_fixed"),
            (Outcome.UNDONE, "not_fixed"),
            (Outcome.DENIED, "runbook_stopped"),
        ]
        flap = [view for view in await night.runs() if view.remediation.labels["alertname"] == "OmenDBSlowQueries"]
        spent = [index for index, view in enumerate(flap) if view.reason == "attempts_spent"]
        assert any(view.reason == "verified" for view in flap[spent[0] :]), "its attempts were spent again and again"
        assert len(night.house.dead) == 1
        assert night.monitoring.sent[503] > 0, "while Redis was away nothing was taken that could have been lost"


async def ends_of(night: Night, runbook: str) -> list[tuple[Outcome | None, str]]:
    return [(view.outcome, view.reason) for view in await night.runs() if view.remediation.runbook == runbook]


def evening(**changes: object) -> Plan:
    """Return the plan of an hour and a half, in which Redis dies in the midst of the work."""
    plan = Plan(lasts=75, peak_ends=None, silent=None, maintenance=(90, 91), worker_dies=None)
    return replace(plan, **{"redis_dies": 20.5, "redis_returns": 22.0, **changes})  # type: ignore[arg-type]


def changed(night: Night) -> Counter[str]:
    """Return how often each object was written to."""
    return Counter(write.request.path.rpartition("/")[2] for write in night.proxy.writes)


@pytest.mark.parametrize(
    ("dies", "at", "workers"),
    [
        ("reading", 7, 1),
        ("before the write", 7, 4),
        ("after the write", 7, 1),
        ("proving", 24, 4),
    ],
)
async def test_whoever_dies_and_whenever_the_same_is_changed_and_the_same_people_are_called(
    tmp_path: Path, dies: Moment, at: float, workers: int
) -> None:
    async with a_night(tmp_path, an_evening(), workers=workers, plan=evening(worker_dies=at, dies=dies)) as night:
        assert len(night.house.dead) == 1
        await check(night)
        assert changed(night) == CHANGED
        assert night.channels.counts() == {L1: 2, L2: 0, L3: 0, L4: 0, OMENDB_L1: 0}


# To look for a smaller one takes as many nights again, and an order is never small.
@settings(max_examples=2, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(
    times=st.lists(st.integers(1, 40), min_size=len(EVENING), max_size=len(EVENING)), workers=st.sampled_from([1, 4])
)
async def test_in_whatever_order_they_come(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], workers: int
) -> None:
    folder = tmp_path_factory.mktemp("night")
    async with a_night(folder, an_evening(times), workers=workers, plan=evening(lasts=110)) as night:
        await check(night)
        assert changed(night) == CHANGED
