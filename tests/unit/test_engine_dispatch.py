"""Each alert is decided on by itself, recorded with its reason, and settled before its entry is acknowledged."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from bridge.engine.assign import ClusterMap, Wish
from bridge.engine.dispatch import Dispatcher, Muted
from bridge.errors import StoreUnavailable
from bridge.model.alert import NEVER_ACT, Alert
from bridge.model.intake import IntakeEntry, Seen, Transition
from bridge.model.mode import Mode
from bridge.model.runbook import Runbook
from bridge.telemetry import Metrics
from tests.support.clock import START, FakeClock
from tests.support.memory_intake import MemoryIntake

pytestmark = pytest.mark.usefixtures("quiet_log")

RUNBOOK = Runbook.model_validate(
    {
        "name": "test/down",
        "summary": "Mend it.",
        "target": {"namespace": "${labels.namespace}", "name": "${labels.deployment}"},
        "scenarios": [{"name": "only", "otherwise": True, "steps": [{"action": "restart"}]}],
    }
)
WISH = Wish(runbook=RUNBOOK, path="route.routes[0]", mode=Mode.AUTO)
MUTED = Muted("route.routes[1]", "outside of office hours")
AWAY = StoreUnavailable("redis is away")


class Table:
    """Implements dispatch.Routing with what a test says; `poison` names alerts whose look-up fails."""

    clusters = ClusterMap(names={"prod": "prod"})

    def __init__(self, *wishes: Wish | Muted) -> None:
        self.answer: Sequence[Wish | Muted] = wishes
        self.poison: set[str] = set()
        self.asked: list[str] = []

    def wishes(self, alert: Alert, *, now: float) -> list[Wish | Muted]:
        self.asked.append(alert.fingerprint)
        if alert.fingerprint in self.poison:
            raise RecursionError("a label that nobody thought of")
        return list(self.answer)


class World:
    def __init__(self, *wishes: Wish | Muted) -> None:
        self.clock = FakeClock(auto=True)
        self.queue = MemoryIntake(self.clock)
        self.table = Table(*wishes)
        self.metrics = Metrics("test")
        ids = itertools.count(1)
        self.dispatcher = Dispatcher(
            self.queue,
            lambda: self.table,
            name="d1",
            clock=self.clock,
            metrics=self.metrics,
            new_id=lambda: f"r{next(ids)}",
            side_by_side=4,
        )

    def counted(self, line: str) -> bool:
        return line in self.metrics.render()[0].decode()

    @property
    def reasons(self) -> list[list[str]]:
        return [[decision.reason for decision in each.decisions] for each in self.queue.dispatched]


def transition(name: str = "a", *, seq: int = 1, seen: Seen = Seen.NEW, **labels: str) -> Transition:
    labels = {"alertname": "Down", "namespace": "shop", "deployment": "web", **labels}
    alert = Alert(
        source="am",
        fingerprint=name,
        status="resolved" if seen is Seen.RESOLVED else "firing",
        starts_at=int(START * 1e6),
        labels=labels,
    )
    return Transition(alert=alert, seq=seq, seen=seen, received_at=START)


def entry(*transitions: Transition, name: str = "1-0", deliveries: int = 1) -> IntakeEntry:
    return IntakeEntry(id=name, transitions=transitions, deliveries=deliveries)


# -- decisions


async def test_an_alert_becomes_what_each_of_its_routes_asks_for() -> None:
    world = World(WISH, WISH)
    await world.dispatcher.dispatch(transition())
    (made,) = world.queue.dispatched
    assert [assignment.remediation.id for assignment in made.assignments] == ["r1", "r2"]
    assert (made.wait, made.decisions) == ("", ())
    assert world.counted('alertbridge_decisions_total{reason="created"} 2.0')


@pytest.mark.parametrize("name", sorted(NEVER_ACT))
@pytest.mark.parametrize("runbook", ["", "test/down"], ids=["routed", "by hand"])
async def test_a_senders_own_alerts_never_act_and_are_recorded(name: str, runbook: str) -> None:
    world = World(WISH)
    labels = transition(alertname=name).alert.labels
    alert = Alert(source="am", fingerprint="a", status="firing", starts_at=1, labels=labels, runbook=runbook)
    await world.dispatcher.dispatch(Transition(alert=alert, seq=1, seen=Seen.NEW, received_at=START))
    (made,) = world.queue.dispatched
    assert made.assignments == ()
    assert world.reasons == [["test_alert"]]
    assert world.table.asked == []


async def test_an_alert_without_a_route_waits_for_one() -> None:
    """Decision 1: a reload may bring one while it still fires."""
    world = World()
    await world.dispatcher.dispatch(transition())
    (made,) = world.queue.dispatched
    assert (made.wait, made.wait_until, made.assignments) == ("no_route", None, ())
    assert world.reasons == [["no_route"]]


async def test_a_muted_alert_waits_for_the_end_of_its_interval() -> None:
    world = World(MUTED)
    await world.dispatcher.dispatch(transition())
    (made,) = world.queue.dispatched
    assert made.wait == "muted"
    assert made.decisions[0].detail == "outside of office hours"
    assert made.decisions[0].route == MUTED.path


async def test_a_muted_route_does_not_mute_the_others() -> None:
    world = World(MUTED, WISH)
    await world.dispatcher.dispatch(transition())
    (made,) = world.queue.dispatched
    assert len(made.assignments) == 1
    assert made.wait == ""
    assert world.reasons == [["muted"]]


async def test_a_target_that_cannot_be_made_is_recorded_pages_and_waits_for_another_configuration() -> None:
    """Fault 41."""
    world = World(WISH)
    await world.dispatcher.dispatch(transition(deployment="../etc"))
    (made,) = world.queue.dispatched
    (assignment,) = made.assignments
    assert (assignment.remediation.refused, made.wait) == ("invalid_target", "")
    assert "../etc" in assignment.remediation.refusal
    assert assignment.remediation.target.name == "(not known)"


async def test_an_unknown_cluster_is_denied_whatever_the_route_says() -> None:
    """Decision 5."""
    world = World(WISH)
    await world.dispatcher.dispatch(transition(cluster="staging"))
    (assignment,) = world.queue.dispatched[0].assignments
    assert (assignment.remediation.refused, assignment.remediation.target.cluster) == ("unknown_cluster", "")


async def test_whoever_asks_by_hand_for_what_cannot_be_made_wakes_nobody() -> None:
    world = World(WISH)
    asked = transition(cluster="staging")
    asked = msgspec.structs.replace(asked, alert=msgspec.structs.replace(asked.alert, requested_by="ann"))
    await world.dispatcher.dispatch(asked)
    assert (world.queue.dispatched[0].assignments, world.reasons) == ((), [["unknown_cluster"]])


async def test_a_resolve_is_recorded_and_asks_no_route() -> None:
    world = World(WISH)
    await world.dispatcher.dispatch(transition(seen=Seen.RESOLVED))
    assert world.reasons == [["resolved"]]
    assert world.table.asked == []


async def test_an_older_transition_changes_nothing_and_counts_nothing() -> None:
    """Decision 3."""
    world = World(WISH)
    await world.dispatcher.dispatch(transition(seq=2))
    result = await world.dispatcher.dispatch(transition(seq=1))
    assert result.stale
    assert len(world.queue.dispatched) == 1
    assert world.counted('alertbridge_decisions_total{reason="created"} 1.0')


async def test_the_routing_table_of_now_decides() -> None:
    world = World()
    await world.dispatcher.dispatch(transition(seq=1))
    world.table = Table(WISH)
    await world.dispatcher.dispatch(transition(seq=2))
    assert [len(made.assignments) for made in world.queue.dispatched] == [0, 1]


# -- entries


async def test_an_entry_is_acknowledged_when_all_its_alerts_are_settled() -> None:
    world = World(WISH)
    world.queue.pending["1-0"] = entry()
    await world.dispatcher.settle(entry(*(transition(f"a{n}") for n in range(50))))
    assert len(world.queue.dispatched) == 50
    assert world.queue.pending == {}


async def test_one_poison_alert_costs_no_sibling() -> None:
    """Decision 3."""
    world = World(WISH)
    world.table.poison = {"a1"}
    group = entry(*(transition(f"a{n}") for n in range(3)))
    world.queue.pending["1-0"] = group
    await world.dispatcher.settle(group)
    assert sorted(made.transition.alert.fingerprint for made in world.queue.dispatched) == ["a0", "a2"]
    assert [(place, index) for place, index, _ in world.queue.dead] == [("1-0", 1)]
    assert "RecursionError" in world.queue.dead[0][2]
    assert world.queue.pending == {}
    assert world.counted('alertbridge_dead_letters_total{what="alert"} 1.0')


async def test_an_alert_that_kills_its_dispatchers_is_set_aside_and_its_siblings_run() -> None:
    """Fault 56: the count of tries is the store's, and survives every death."""
    world = World(WISH)
    killer, sibling = transition("killer"), transition("sibling")
    for _ in range(3):
        await world.queue.begin_alert("1-0", 0)
    await world.dispatcher.settle(entry(killer, sibling, deliveries=5))
    assert [made.transition.alert.fingerprint for made in world.queue.dispatched] == ["sibling"]
    assert [index for _, index, _ in world.queue.dead] == [0]


async def test_an_alert_that_a_version_of_ours_cannot_read_is_counted_as_set_aside() -> None:
    world = World(WISH)
    await world.dispatcher.settle(IntakeEntry(id="1-0", transitions=(transition(),), undecodable=2))
    assert world.counted('alertbridge_dead_letters_total{what="alert"} 2.0')


async def test_a_store_that_is_away_settles_nothing_and_loses_nothing() -> None:
    world = World(WISH)
    group = entry(transition("a0"), transition("a1"))
    world.queue.pending["1-0"] = group
    world.queue.broken["a1"] = AWAY
    with pytest.raises(StoreUnavailable):
        await world.dispatcher.settle(group)
    assert (world.queue.dead, list(world.queue.pending)) == ([], ["1-0"])
    world.queue.broken.clear()
    await world.dispatcher.recover()
    assert sorted(made.transition.alert.fingerprint for made in world.queue.dispatched) == ["a0", "a1"]
    assert world.queue.pending == {}


async def test_alerts_of_an_entry_go_side_by_side_within_a_bound() -> None:
    world = World(WISH)
    out, most = 0, 0
    dispatch = world.queue.dispatch

    async def slow(decision: Any) -> Any:
        nonlocal out, most
        out += 1
        most = max(most, out)
        await asyncio.sleep(0)
        out -= 1
        return await dispatch(decision)

    world.queue.dispatch = slow  # type: ignore[method-assign]
    await world.dispatcher.settle(entry(*(transition(f"a{n}") for n in range(40))))
    assert most == 4


async def test_entries_that_come_together_are_settled_together_and_one_alerts_transitions_in_order() -> None:
    world = World(WISH)
    group = [
        entry(transition("a0", seq=1), name="1-0"),
        entry(transition("a1", seq=2), name="2-0"),
        entry(transition("a0", seq=3, seen=Seen.RESOLVED), name="3-0"),
        entry(name="4-0"),
    ]
    world.queue.pending = {one.id: one for one in group}
    await world.dispatcher.settle(*group)
    assert [made.transition.seq for made in world.queue.dispatched] == [1, 2, 3]
    assert world.queue.pending == {}


async def test_what_was_settled_before_the_store_went_away_does_not_come_again() -> None:
    world = World(WISH)
    group = [entry(transition(f"a{n}"), name=f"{n}-0") for n in range(8)]
    world.queue.pending = {one.id: one for one in group}
    world.queue.broken["a5"] = AWAY
    with pytest.raises(StoreUnavailable):
        await world.dispatcher.settle(*group)
    assert list(world.queue.pending) == ["4-0", "5-0", "6-0", "7-0"]


async def test_alerts_that_come_again_go_one_by_one() -> None:
    """Fault 56: whoever dies with one of them has no sibling under way that would be counted with it."""
    world = World(WISH)
    world.queue.broken["a1"] = AWAY
    with pytest.raises(StoreUnavailable):
        await world.dispatcher.settle(entry(*(transition(f"a{n}") for n in range(3)), deliveries=2))
    assert world.queue.tries == {("1-0", 0): 1, ("1-0", 1): 1}


async def test_it_gives_way_before_every_few_alerts() -> None:
    world = World(WISH)
    at: list[int] = []

    async def give_way() -> None:
        at.append(len(world.queue.dispatched))

    world.dispatcher._give_way = give_way
    await world.dispatcher.settle(entry(*(transition(f"a{n}") for n in range(10))))
    assert at == [0, 4, 8]


# -- loops


async def running(world: World) -> asyncio.Task[None]:
    return asyncio.create_task(world.dispatcher.run())


async def until(condition: Any) -> None:
    for _ in range(10000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")


async def test_it_dispatches_what_comes_until_it_is_stopped() -> None:
    world = World(WISH)
    task = await running(world)
    world.queue.new = [entry(transition("a0")), entry(transition("a1"), name="2-0")]
    await until(lambda: len(world.queue.dispatched) == 2)
    world.dispatcher.stop()
    await task
    assert world.queue.pending == {}


@pytest.mark.parametrize("error", [AWAY, TypeError("a mistake of ours")], ids=["store away", "own mistake"])
async def test_nothing_ends_the_loop_that_all_alerts_depend_on(error: Exception) -> None:
    world = World(WISH)
    world.queue.error = error
    task = await running(world)
    await until(lambda: world.clock.slept.count(1.0) > 3)
    assert not task.done()
    world.queue.error = None
    world.queue.new = [entry(transition())]
    await until(lambda: world.queue.dispatched)
    world.dispatcher.stop()
    await task


async def test_what_waits_is_looked_at_again_and_a_poison_one_costs_no_other() -> None:
    """Decision 1."""
    world = World(WISH)
    world.table.poison = {"a1"}
    world.queue.waiting = [transition(f"a{n}") for n in range(3)]
    assert await world.dispatcher.look_again() == 3
    assert [made.transition.alert.fingerprint for made in world.queue.dispatched] == ["a0", "a2"]


async def test_looking_again_stops_when_the_store_is_away() -> None:
    world = World(WISH)
    world.queue.waiting = [transition("a0"), transition("a1")]
    world.queue.broken["a0"] = AWAY
    with pytest.raises(StoreUnavailable):
        await world.dispatcher.look_again()


def test_what_was_asked_for_by_hand_long_ago_is_not_begun_by_a_reload() -> None:
    """No resolve ever ends it: a trigger that was only observed at night would act in the morning."""
    world = World(WISH)
    told = transition()
    by_hand = msgspec.structs.replace(told, alert=msgspec.structs.replace(told.alert, requested_by="ann"))
    assert len(world.dispatcher.decide(by_hand).assignments) == 1
    world.clock.advance(3601)
    late = world.dispatcher.decide(by_hand)
    assert (late.assignments, late.wait, late.decisions[0].reason) == ((), "", "out_of_date")
    assert len(world.dispatcher.decide(told).assignments) == 1, "an alert that still fires is"
