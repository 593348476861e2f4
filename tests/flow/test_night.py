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
from pathlib import Path

import pytest

from bridge.demo.objects import Obj, dig
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, RemediationView, State
from bridge.model.sentences import story
from tests.support.night.house import BUDGETS, Moment, Write
from tests.support.night.monitoring import Rule
from tests.support.night.night import Night, Plan, open_night
from tests.support.night.people import L1, L2, L3, OMENDB_L1
from tests.support.night.script import MINUTE, Trouble, the_night
from tests.support.night.world import KYC, NETWEAVE, OMENDB, OMNIMESH, PYTHON

pytestmark = pytest.mark.usefixtures("quiet_log")

WINDOW = 600.0
LATE = 2 * MINUTE
"""How long a message may take: people are told once a minute, and a channel may have to be tried again."""


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
    for rule in night.monitoring.rules:
        calls = night.calls_about(runs, rule)
        if rule.trouble.end != "person":
            assert calls == [], f"somebody was called about {rule.trouble.name}, which needed nobody"
            continue
        assert any(call.channel == rule.trouble.answers for call in calls), f"nobody heard of {rule.trouble.name}"
        needed = [view for view in runs if dict(view.remediation.labels) == rule.labels and view.escalated]
        assert needed, rule.trouble.name
        for view in needed:
            ended = view.finished_at or 0.0
            (first, *more) = [call for call in calls if call.run == view.remediation.id]
            within = LATE if first.channel in (L1, OMENDB_L1) else 5 * MINUTE
            assert 0 <= first.at - ended <= within, (rule.trouble.name, first)
            for level, call in zip((L2, L3), more, strict=False):
                assert call.channel == level


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


# -- the nights


async def test_a_night_in_ten_minutes(tmp_path: Path) -> None:
    """Sixty alerts, one that flaps, a wrong runbook, a silent channel, Redis killed, a worker killed."""
    troubles = the_night()
    assert len(troubles) == 60
    assert {trouble.labels["namespace"] for trouble in troubles} >= {NETWEAVE, OMENDB, KYC, PYTHON, OMNIMESH}
    async with a_night(tmp_path, troubles) as night:
        await check(night)
