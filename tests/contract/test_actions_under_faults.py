"""What every action promises when something comes in between: lost replies, others who write, deaths, a hung server.

Over the same cases as test_actions.py.
"""

from __future__ import annotations

import asyncio
import json
from urllib.parse import unquote

import msgspec
import pytest

from bridge.actions.permits import plural_of
from bridge.errors import (
    KubeError,
    LeaseLost,
    OutcomeUnknown,
    PermanentError,
    PlanStale,
    TargetReplaced,
    TemporaryError,
)
from bridge.kube.client import KubeCluster
from bridge.kube.connection import ClusterConnection
from bridge.model.plan import Operation, Plan, Repeat, Undo
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer
from tests.support.rig import Killed
from tests.support.trial import WRITES, Trial, makes_calls, trials

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("quiet_log")]

trial = trials()
losing = trials(about="loss")
meddled = trials(about="meddle")
remade = trials(lambda action: not makes_calls(action), about="remade")
trampled = trials(lambda action: action.undo is Undo.EXACT, about="trample")
looking = trials(about="look")
about_objects = trials(lambda action: not makes_calls(action))
never = trials(lambda action: action.repeat is Repeat.NEVER)


async def test_a_lost_reply_is_settled_by_reading_back_or_said_to_be_unknown(losing: Trial) -> None:
    """Fault 28."""
    plan = await losing.rig.plan()
    losing.lose(reply=True)
    if plan.repeat is Repeat.NEVER and losing.calls:
        with pytest.raises(OutcomeUnknown):
            await losing.rig.make_all(plan)
        assert await losing.effects() == 1
    else:
        assert [each.wrote for each in await losing.rig.make_all(plan)] == [True] * len(plan.changes)
        assert await losing.effects() == losing.writes(plan)


async def test_a_request_that_never_arrived_is_made_once_or_said_to_be_unknown(losing: Trial) -> None:
    """Fault 28."""
    plan = await losing.rig.plan()
    losing.lose(reply=False)
    try:
        made = await losing.rig.make_all(plan)
    except (OutcomeUnknown, TemporaryError):
        assert plan.repeat is Repeat.NEVER
        assert losing.calls
        assert await losing.effects() == 0
    else:
        assert [each.wrote for each in made] == [True] * len(plan.changes)
        assert await losing.effects() == losing.writes(plan)


async def test_a_conflict_is_read_again_and_checked_again(about_objects: Trial) -> None:
    """Fault 20."""
    plan = await about_objects.rig.plan()
    about_objects.site.proxy.faults.answer(409, method=WRITES, times=2)
    assert [each.wrote for each in await about_objects.rig.make_all(plan)] == [True] * len(plan.changes)
    assert await about_objects.effects() == about_objects.writes(plan)


async def test_a_plan_that_no_longer_fits_is_refused(meddled: Trial) -> None:
    """Fault 20."""
    plan = await meddled.rig.plan()
    await meddled.needed("meddle", meddled.scene.meddle)()
    meddled.site.proxy.clear()
    before = await meddled.effects()
    with pytest.raises((PlanStale, PermanentError)):
        await meddled.rig.make_all(plan)
    # What is made anew is sent without a look before; the server says that it is there.
    assert meddled.site.proxy.applied() == []
    assert await meddled.effects() == before


async def test_an_object_that_was_made_again_is_left_alone(remade: Trial) -> None:
    """Fault 27."""
    plan = await remade.rig.plan()
    change = next((each for each in plan.changes if not each.external and each.ref.uid), None)
    await _remake(remade, remade.needed("remade", change).ref)
    remade.site.proxy.clear()
    if change.ref.kind == "Pod" and change.operation in (Operation.DELETE, Operation.EVICT):
        # The pod of the plan is gone, which is what the plan is for; its successor stays.
        assert not (await remade.rig.make(plan, change)).wrote
    else:
        with pytest.raises(TargetReplaced):
            await remade.rig.make(plan, change)
    assert remade.site.proxy.mutating() == []


async def _remake(trial: Trial, ref: ObjectRef) -> None:
    old = await trial.look(ref)
    assert old is not None
    group = f"/apis/{ref.api_version}" if "/" in ref.api_version else f"/api/{ref.api_version}"
    place = trial.site.path(plural_of(ref.kind), "", group)
    await trial.site.send("DELETE", f"{place}/{ref.name}")

    async def gone() -> bool:
        found = await trial.look(ref)
        return found is None or found["metadata"]["uid"] != ref.uid

    await trial.site.until(gone)
    if await trial.look(ref) is None:
        body = {key: value for key, value in old.items() if key not in ("metadata", "status")}
        labels = old["metadata"].get("labels") or {}
        await trial.site.send("POST", place, {**body, "metadata": {"name": ref.name, "labels": labels}})


async def test_an_undo_does_not_trample_what_somebody_changed_since(trampled: Trial) -> None:
    plan = await trampled.rig.plan()
    made = await trampled.rig.make_all(plan)
    await trampled.needed("trample", trampled.scene.trample or trampled.scene.meddle)()
    done = msgspec.structs.replace(plan, changes=tuple(each.change for each in made))
    refused: list[str] = []
    for change in done.inverses:
        before = await trampled.effects()
        try:
            await trampled.rig.make(done, change)
        except (PlanStale, PermanentError) as error:
            refused.append(str(error))
            assert await trampled.effects() == before
    assert refused
    assert all(any(change.ref.name in text for change in plan.changes) for text in refused)


# -- deaths


async def test_killed_between_the_write_and_the_journal_another_worker_carries_on_right(trial: Trial) -> None:
    """Faults 3, 4. At every change of the plan, first before the write and then after it."""
    for when in ("after applying", "before applied"):
        if await _killed(trial, when):
            return


async def _killed(trial: Trial, when: str) -> bool:
    """Kill the first worker there; return whether that was the end of it."""
    deaths = 0

    async def die(point: str) -> None:
        nonlocal deaths
        if point == when and not deaths:
            deaths += 1
            raise Killed(point)

    trial.rig.work.point = die
    if when == "after applying":
        # Only up to the death: the rest is the other case's.
        with pytest.raises(Killed):
            await trial.rig.stretch("first")
        assert await trial.effects() == 0
        return await _never(trial)
    view = await trial.rig.run()
    assert deaths == 1, trial.rig.told()
    (plan,) = [entry.data["plan"] for entry in trial.rig.work.rows["rem-1"].entries if entry.kind == "planned"][:1]
    assert await trial.effects() == trial.writes(msgspec.convert(plan, Plan)), trial.rig.told()
    assert view.outcome is Outcome.SUCCEEDED, trial.rig.told()
    return True


async def _never(trial: Trial) -> bool:
    """What must not be repeated ends as unknown at the first interruption, and nothing is done."""
    if trial.action.repeat is not Repeat.NEVER:
        return False
    view = await trial.rig.run()
    assert (view.outcome, view.reason) == (Outcome.UNKNOWN, Reason.WRITE_UNKNOWN.value), trial.rig.told()
    assert view.escalated
    assert await trial.effects() == 0
    return True


async def test_killed_after_a_write_that_must_not_be_repeated_it_is_not_repeated(never: Trial) -> None:
    """Fault 4."""

    async def die(point: str) -> None:
        if point == "before applied":
            raise Killed(point)

    never.rig.work.point = die
    view = await never.rig.run()
    assert (view.outcome, view.reason) == (Outcome.UNKNOWN, Reason.WRITE_UNKNOWN.value), never.rig.told()
    assert view.escalated
    assert await never.effects() == 1


async def test_frozen_past_its_claim_and_thawed_it_writes_nothing_more(trial: Trial) -> None:
    """Fault 5. The frozen one had announced its write; meanwhile another worker took the remediation over."""
    thawed, frozen = asyncio.Event(), asyncio.Event()

    async def freeze(point: str) -> None:
        if point == "after applying" and not frozen.is_set():
            frozen.set()
            await thawed.wait()

    trial.rig.work.point = freeze
    first = asyncio.ensure_future(trial.rig.stretch("first"))
    async with asyncio.timeout(trial.site.patience):
        await frozen.wait()
    view = await trial.rig.run()
    done = await trial.effects()
    thawed.set()
    with pytest.raises(LeaseLost):
        await first
    assert await trial.effects() == done
    wanted = Outcome.UNKNOWN if trial.action.repeat is Repeat.NEVER else Outcome.SUCCEEDED
    assert view.outcome is wanted, trial.rig.told()


async def test_a_hung_look_ends_at_our_deadline_and_claims_nothing(looking: Trial) -> None:
    """Fault 23."""
    plan = await looking.rig.plan()
    made = await looking.rig.make_all(plan)
    looking.site.proxy.clear()
    await looking.action.verify(looking.rig.after(made), plan, looking.rig.params)
    looks = [request for request in looking.site.proxy.requests if request.verb == "GET"]
    looking.needed("look", looks or None)
    looking.site.proxy.faults.hang(method="GET", times=None)
    connection = ClusterConnection(
        name=looking.site.cluster.name,
        url=looking.site.proxy.url,
        deadline=0.2,
        secret_namespaces=frozenset({looking.site.namespace}),
    )
    impatient = KubeCluster(connection)
    reach = looking.rig.reach.over(impatient)
    try:
        answer = await looking.action.verify(
            msgspec.structs.replace(looking.rig.after(made), reach=reach), plan, looking.rig.params
        )
    except (KubeError, TemporaryError):
        return
    finally:
        await impatient.close()
    assert answer.answer is Answer.UNKNOWN, json.dumps(unquote(str(answer)))
