"""One remediation for several targets, as the dispatcher's store promises it, on every version of Redis."""

from __future__ import annotations

from bridge.model.alert import Alert
from bridge.model.intake import Assignment, Dispatch, Dispatched
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, State
from bridge.stores import Stores
from tests.support.alerts import claimed, firing, grouped, resolve, resolved, step, transitions
from tests.support.redis import OpenStores


async def ask(stores: Stores, wanted: Assignment, alert: Alert | None = None) -> Dispatched:
    """One alert about the wish's target asks for it; say which alert when it is not the target's first."""
    await stores.intake.accept([alert or firing(deployment=wanted.remediation.target.name)])
    (transition,) = await transitions(stores)
    return await stores.intake_queue.dispatch(Dispatch(transition=transition, assignments=(wanted,)))


async def targets(stores: Stores, remediation: str) -> list[str]:
    view = await stores.work.get(remediation)
    assert view is not None
    return [target.name for target in view.remediation.targets]


async def test_alerts_of_one_group_join_one_remediation_and_each_adds_its_target(opened: OpenStores) -> None:
    stores = await opened.open()
    first = grouped("web")
    assert (await ask(stores, first)).created == (first.remediation.id,)
    for name in ("worker", "api"):
        assert (await ask(stores, grouped(name))).joined == (first.remediation.id,)
    assert await targets(stores, first.remediation.id) == ["api", "web", "worker"]
    (view,) = await stores.work.list(limit=10)
    assert (view.remediation.target.name, len(view.open_incidents)) == ("web", 3)


async def test_a_second_alert_about_a_target_adds_none(opened: OpenStores) -> None:
    stores = await opened.open()
    first = grouped("web", most=1)
    await ask(stores, first)
    done = await ask(stores, grouped("web", most=1), firing(deployment="web", pod="2"))
    assert done.joined == (first.remediation.id,)
    assert await targets(stores, first.remediation.id) == ["web"]


async def test_more_targets_than_allowed_become_a_further_remediation_behind_the_first(opened: OpenStores) -> None:
    stores = await opened.open()
    wishes = [grouped(name, most=2) for name in ("a", "b", "c", "d")]
    for wanted in wishes:
        await ask(stores, wanted)
    first, further = wishes[0].remediation.id, wishes[2].remediation.id
    assert await targets(stores, first) == ["a", "b"]
    assert await targets(stores, further) == ["c", "d"]
    assert (await claimed(stores)).remediation == first
    assert await stores.work.claim("other", block=0) is None, "two runs of one group do not meet"
    late = await ask(stores, grouped("a", most=2), firing(deployment="a", pod="2"))
    assert late.joined == (first,), "an alert about a target goes to the one that has it"


async def test_none_joins_with_a_further_target_once_the_first_write_has_begun(opened: OpenStores) -> None:
    stores = await opened.open()
    first, late = grouped("web"), grouped("api")
    await ask(stores, first)
    claim = await claimed(stores)
    await stores.journal.append(claim, step("applying"), writing=True)
    assert (await ask(stores, late)).created == (late.remediation.id,)
    again = await ask(stores, grouped("web"), firing(deployment="web", pod="2"))
    assert again.joined == (first.remediation.id,)
    assert await targets(stores, first.remediation.id) == ["web"]
    end = step("finished")
    await stores.work.finish(claim, Outcome.SUCCEEDED, Reason.VERIFIED, end, escalated=False)
    assert (await claimed(stores)).remediation == late.remediation.id
    assert (await ask(stores, grouped("worker"))).joined == (late.remediation.id,)


async def test_a_target_whose_alerts_resolved_goes_until_the_first_write_and_stays_after_it(
    opened: OpenStores,
) -> None:
    stores = await opened.open()
    first = grouped("web")
    await ask(stores, first)
    await ask(stores, grouped("web"), firing(deployment="web", pod="2"))
    await ask(stores, grouped("api"))
    await resolve(stores, resolved(deployment="web"))
    assert await targets(stores, first.remediation.id) == ["api", "web"], "another alert is about it"
    await resolve(stores, resolved(deployment="web", pod="2"))
    assert await targets(stores, first.remediation.id) == ["api"]
    await ask(stores, grouped("web"), firing(deployment="web", pod="3"))
    claim = await claimed(stores)
    await stores.journal.append(claim, step("applying"), writing=True)
    await resolve(stores, resolved(deployment="api"))
    assert await targets(stores, first.remediation.id) == ["api", "web"]


async def test_it_is_cancelled_when_the_last_alert_of_all_its_targets_resolves(opened: OpenStores) -> None:
    stores = await opened.open()
    first = grouped("web")
    await ask(stores, first)
    await ask(stores, grouped("api"))
    assert await resolve(stores, resolved(deployment="web")) == ()
    assert await resolve(stores, resolved(deployment="api")) == (first.remediation.id,)
    view = await stores.work.get(first.remediation.id)
    assert view is not None
    assert (view.state, view.reason) == (State.DONE, "resolved")
    anew = grouped("api")
    assert (await ask(stores, anew, firing(deployment="api", pod="2"))).created == (anew.remediation.id,)


async def test_attempts_of_several_targets_count_for_their_group(opened: OpenStores) -> None:
    stores = await opened.open()
    first, other, elsewhere = grouped("web"), grouped("api"), grouped("web", group="group||zone=c")
    await ask(stores, first)
    await stores.journal.append(await claimed(stores), step("applying"), writing=True)
    assert len((await stores.guardbook.facts(first.remediation)).attempts) == 1
    assert len((await stores.guardbook.facts(other.remediation)).attempts) == 1
    assert (await stores.guardbook.facts(elsewhere.remediation)).attempts == ()
