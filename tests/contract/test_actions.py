"""What every action promises, held against what it declares, at a simulated cluster or a real one.

The cases are in action_cases, a file for each family. One that a family cannot spoil or count is left out there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from pydantic import BaseModel, ValidationError

from bridge.actions.permits import plural_of
from bridge.actions.registry import actions
from bridge.errors import (
    InvalidInput,
    KubeError,
    KubeNotFound,
    LeaseLost,
    OutcomeUnknown,
    PermanentError,
    PlanStale,
    TargetReplaced,
    TemporaryError,
)
from bridge.kube.client import KubeCluster
from bridge.kube.connection import ClusterConnection
from bridge.model.mode import Mode
from bridge.model.plan import Change, Made, Operation, Plan, Repeat, Undo, read_pointer
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from tests.contract.action_cases import Case, Env, Scene, all_cases
from tests.support.asked import beyond
from tests.support.cluster import Site, open_site
from tests.support.rig import Killed, Rig

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("quiet_log")]

WRITES = "PATCH|POST|PUT|DELETE"
BAD_NAMES = ("..", ".", "a/b", "%2e%2e", "Upper", "new\nline", "-x", "x" * 254)
BAD_SELECTORS: tuple[Any, ...] = ({}, {"app": "a,b in (x)"}, {"a in (x),b": "c"}, {"": "x"})
LITERALS = ("--kubeconfig=/x", ";rm -rf /")
WAITING = {"rollout_status"}
"""They change nothing, and are held to waiting in tests/flow/test_rollouts.py."""
NAMES = ("name", "namespace")
SELECTORS = ("labels", "selector")
ARGUMENTS = ("arguments", "command")


class Trial:
    """One case on its site."""

    def __init__(self, case: Case, site: Site, scene: Scene) -> None:
        self.case = case
        self.site = site
        self.scene = scene
        action = case.make() if case.make is not None else actions()[case.action]
        self.rig = Rig(site, action, scene.params, scene.about, reach=scene.reach, planned_at=scene.planned_at)
        self.action = action

    async def effects(self) -> int:
        """How often what the action does has taken place."""
        if self.scene.effects is not None:
            return await self.scene.effects()
        return len(self.site.proxy.applied())

    def writes(self, plan: Plan) -> int:
        return len(plan.changes) if self.scene.writes is None else self.scene.writes

    async def undo(self, plan: Plan, made: list[Made]) -> None:
        """Put back what was made, as the engine does it."""
        done = msgspec.structs.replace(plan, changes=tuple(each.change for each in made))
        for change in done.inverses:
            await self.rig.make(done, change)

    async def look(self, ref: ObjectRef) -> dict[str, Any] | None:
        try:
            return await self.site.cluster.get(ref)
        except KubeNotFound:
            return None

    def lose(self, *, reply: bool) -> None:
        """Let the next write lose its reply, or itself."""
        if self.scene.lose is None:
            pytest.skip("nothing can be lost on its way here")
        if self.scene.lose(reply) is NotImplemented:
            self.site.proxy.faults.cut(method=WRITES, after=reply)

    @property
    def calls(self) -> bool:
        """Whether the action makes calls: what cannot be read back at an API server."""
        return type(self.action).perform is not _NO_CALLS


_NO_CALLS = type(actions()["scale"]).perform


@pytest.fixture(params=all_cases(), ids=lambda case: case.id)
async def trial(request: pytest.FixtureRequest) -> AsyncIterator[Trial]:
    case: Case = request.param
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(open_site())
        await site.needs(*case.needs)
        scene = await case.prepare(Env(site, stack, request.getfixturevalue))
        site.proxy.clear()
        yield Trial(case, site, scene)


def test_every_action_has_a_case() -> None:
    assert set(actions()) - {case.action for case in all_cases()} - WAITING == set()


# -- planning


async def test_a_plan_only_reads_and_is_the_same_when_it_is_made_again(trial: Trial) -> None:
    """Fault 70. An approval binds to the changes' hash: it has to survive a second look at an unchanged cluster."""
    plan = await trial.rig.plan()
    again = await trial.rig.plan()
    assert plan.hash == again.hash
    assert trial.site.proxy.mutating(dry_runs=True) == []
    assert await trial.effects() == 0


async def test_a_plan_is_what_the_action_declares(trial: Trial) -> None:
    plan, action = await trial.rig.plan(), trial.action
    assert (plan.action, plan.repeat, plan.undo, plan.undo_failed) == (
        trial.case.action,
        action.repeat,
        action.undo,
        action.undo_failed,
    )
    assert plan.summary
    assert all(change.summary for change in plan.changes)
    for change in plan.changes:
        assert change.external or change.ref.uid or change.operation is Operation.CREATE, change
    if plan.undo is Undo.NONE:
        assert plan.inverses == ()
    if plan.undo is Undo.EXACT:
        assert len(plan.inverses) == len(plan.changes)
    stored = msgspec.json.decode(msgspec.json.encode(plan), type=Plan)
    assert (stored, stored.hash) == (plan, plan.hash)


async def test_observing_leaves_no_trace(trial: Trial) -> None:
    """Fault 70."""
    trial.rig.mode = Mode.OBSERVE
    view = await trial.rig.run()
    assert view.outcome is Outcome.OBSERVED, trial.rig.told()
    assert trial.site.proxy.mutating(dry_runs=True) == []
    assert await trial.effects() == 0


def _refused(trial: Trial, params: dict[str, Any]) -> BaseModel | None:
    """Return the parameters when their model takes them."""
    try:
        return trial.action.params.model_validate(params)
    except ValidationError:
        return None


def _fields(trial: Trial, given: tuple[str, ...] | None, usual: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in usual if name in trial.action.params.model_fields) if given is None else given


def _bad_params(trial: Trial) -> Iterator[dict[str, Any]]:
    for name in _fields(trial, trial.case.names, NAMES):
        yield from ({**trial.scene.params, name: bad} for bad in BAD_NAMES)
    for name in _fields(trial, trial.case.selectors, SELECTORS):
        yield from ({**trial.scene.params, name: bad} for bad in BAD_SELECTORS)


async def test_names_and_selectors_that_could_widen_a_request_never_leave(trial: Trial) -> None:
    """Faults 41, 42."""
    for params in _bad_params(trial):
        typed = _refused(trial, params)
        if typed is not None:
            with pytest.raises((InvalidInput, PermanentError)):
                await trial.action.plan(trial.rig.context, typed)
        assert trial.site.proxy.requests == [], params


async def test_a_target_with_a_bad_name_never_leaves(trial: Trial) -> None:
    """Fault 41. Names from labels are checked when a target is made of them; an action doesn't rely on that."""
    if trial.scene.params.get("name") or "name" not in trial.action.params.model_fields:
        pytest.skip("it is not about the target's own object")
    for bad in (*BAD_NAMES, ""):
        target = msgspec.structs.replace(trial.rig.target, name=bad)
        with pytest.raises((InvalidInput, PermanentError)):
            await trial.action.plan(msgspec.structs.replace(trial.rig.context, target=target), trial.rig.params)
        assert trial.site.proxy.requests == []


async def test_an_argument_stays_one_argument(trial: Trial) -> None:
    """Fault 43. There is no shell anywhere: it is refused, or passed on as it is."""
    fields = _fields(trial, trial.case.arguments, ARGUMENTS)
    if not fields:
        pytest.skip("it takes no arguments")
    for name in fields:
        given = {**trial.scene.params, name: [*(trial.scene.params.get(name) or []), *LITERALS]}
        if (typed := _refused(trial, given)) is None:
            continue
        try:
            plan = await trial.action.plan(trial.rig.context, typed)
        except (InvalidInput, PermanentError):
            continue
        texts = [text for change in plan.changes for text in _texts(change.call)]
        assert set(LITERALS) <= set(texts)
    assert trial.site.proxy.mutating(dry_runs=True) == []


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


# -- making it


async def test_it_sees_that_it_worked_and_asks_for_no_more_than_it_declares(trial: Trial) -> None:
    """Its permissions cover every request of plan, write, verification and a compensating undo."""
    plan = await trial.rig.plan()
    if not trial.scene.blind:
        early = await trial.action.verify(trial.rig.after([]), plan, trial.rig.params)
        assert early.answer is not Answer.FIXED, "it takes what is there before the write for success"
    made = await trial.rig.make_all(plan)
    assert (await trial.rig.verified(plan, made)).answer is Answer.FIXED
    if plan.undo is Undo.COMPENSATING:
        if trial.scene.settled is not None:
            await trial.scene.settled()
        await trial.undo(plan, made)
        if trial.scene.undone is not None:
            await trial.scene.undone()
    _assert_allowed(trial)


async def test_an_exact_undo_puts_back_what_the_plan_changed(trial: Trial) -> None:
    """Before its effect is waited for: what follows from it by itself is nobody's to undo."""
    plan = await trial.rig.plan()
    if plan.undo is not Undo.EXACT:
        pytest.skip(f"its undo is {plan.undo.value}")
    refs = [change.ref for change in plan.changes if not change.external]
    before = {ref: await trial.look(ref) for ref in refs}
    made = await trial.rig.make_all(plan)
    if trial.scene.settled is not None:
        await trial.scene.settled()
    await trial.undo(plan, made)
    for change in plan.changes:
        if not change.external and change.operation is not Operation.CALL:
            _assert_as_before(change, before[change.ref], await trial.look(change.ref))
    if trial.scene.undone is not None:
        await trial.scene.undone()
    _assert_allowed(trial)


def _assert_allowed(trial: Trial) -> None:
    """Nothing was asked of the API server beyond what the action declares."""
    params = trial.rig.params.model_dump(mode="json", exclude_unset=True)
    leave = trial.action.permissions(trial.scene.about.kind, params)
    namespace = str(params.get("namespace") or trial.scene.about.namespace)
    assert beyond(trial.site.proxy.requests, leave, namespace) == []


def _assert_as_before(change: Change, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
    """An exact undo restores what the plan changed."""
    if change.operation is Operation.CREATE:
        assert after is None or after["metadata"].get("deletionTimestamp"), f"{change.ref} is still there"
    elif change.operation is Operation.DELETE:
        assert before is not None
        assert after is not None, f"{change.ref} is not there again"
        held = [key for key in before if key not in ("metadata", "status")]
        assert {key: after.get(key) for key in held} == {key: before[key] for key in held}
    else:
        for field in change.fields:
            if field.change:
                assert read_pointer(after, field.pointer) == read_pointer(before, field.pointer), field.pointer


async def test_made_twice_is_made_once(trial: Trial) -> None:
    """Fault 4. The second process knows that a first one had begun, and not how far it came."""
    plan = await trial.rig.plan()
    made = await trial.rig.make_all(plan)
    assert [each.wrote for each in made] == [True] * len(plan.changes)
    assert await trial.effects() == trial.writes(plan)
    if plan.repeat is Repeat.NEVER:
        with pytest.raises(OutcomeUnknown):
            await trial.rig.make_all(plan, doubtful=True)
    else:
        assert [each.wrote for each in await trial.rig.make_all(plan, doubtful=True)] == [True] * len(plan.changes)
    assert await trial.effects() == trial.writes(plan)


async def test_a_lost_reply_is_settled_by_reading_back_or_said_to_be_unknown(trial: Trial) -> None:
    """Fault 28."""
    plan = await trial.rig.plan()
    trial.lose(reply=True)
    if plan.repeat is Repeat.NEVER and trial.calls:
        with pytest.raises(OutcomeUnknown):
            await trial.rig.make_all(plan)
        assert await trial.effects() == 1
    else:
        assert [each.wrote for each in await trial.rig.make_all(plan)] == [True] * len(plan.changes)
        assert await trial.effects() == trial.writes(plan)


async def test_a_request_that_never_arrived_is_made_once_or_said_to_be_unknown(trial: Trial) -> None:
    """Fault 28."""
    plan = await trial.rig.plan()
    trial.lose(reply=False)
    try:
        made = await trial.rig.make_all(plan)
    except (OutcomeUnknown, TemporaryError):
        assert plan.repeat is Repeat.NEVER
        assert trial.calls
        assert await trial.effects() == 0
    else:
        assert [each.wrote for each in made] == [True] * len(plan.changes)
        assert await trial.effects() == trial.writes(plan)


async def test_a_conflict_is_read_again_and_checked_again(trial: Trial) -> None:
    """Fault 20."""
    plan = await trial.rig.plan()
    if any(change.operation is Operation.CALL for change in plan.changes):
        pytest.skip("a call meets no conflict of versions")
    trial.site.proxy.faults.answer(409, method=WRITES, times=2)
    assert [each.wrote for each in await trial.rig.make_all(plan)] == [True] * len(plan.changes)
    assert await trial.effects() == trial.writes(plan)


async def test_a_plan_that_no_longer_fits_is_refused(trial: Trial) -> None:
    """Fault 20."""
    if trial.scene.meddle is None:
        pytest.skip("nobody can get in its way")
    plan = await trial.rig.plan()
    await trial.scene.meddle()
    trial.site.proxy.clear()
    before = await trial.effects()
    with pytest.raises((PlanStale, PermanentError)):
        await trial.rig.make_all(plan)
    # What is made anew is sent without a look before; the server says that it is there.
    assert trial.site.proxy.applied() == []
    assert await trial.effects() == before


async def test_an_object_that_was_made_again_is_left_alone(trial: Trial) -> None:
    """Fault 27."""
    plan = await trial.rig.plan()
    change = next((each for each in plan.changes if not each.external and each.ref.uid), None)
    if change is None or not trial.scene.remade or change.operation is Operation.CALL:
        pytest.skip("no object of it can be made again")
    await _remake(trial, change.ref)
    trial.site.proxy.clear()
    if change.ref.kind == "Pod" and change.operation in (Operation.DELETE, Operation.EVICT):
        # The pod of the plan is gone, which is what the plan is for; its successor stays.
        assert not (await trial.rig.make(plan, change)).wrote
    else:
        with pytest.raises(TargetReplaced):
            await trial.rig.make(plan, change)
    assert trial.site.proxy.mutating() == []


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


async def test_an_undo_does_not_trample_what_somebody_changed_since(trial: Trial) -> None:
    meddle = trial.scene.trample or trial.scene.meddle
    plan = await trial.rig.plan()
    if meddle is None or plan.undo is not Undo.EXACT:
        pytest.skip("nothing of it can be trampled")
    made = await trial.rig.make_all(plan)
    await meddle()
    done = msgspec.structs.replace(plan, changes=tuple(each.change for each in made))
    refused: list[str] = []
    for change in done.inverses:
        before = await trial.effects()
        try:
            await trial.rig.make(done, change)
        except (PlanStale, PermanentError) as error:
            refused.append(str(error))
            assert await trial.effects() == before
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


async def test_killed_after_a_write_that_must_not_be_repeated_it_is_not_repeated(trial: Trial) -> None:
    """Fault 4."""
    if trial.action.repeat is not Repeat.NEVER:
        pytest.skip("it may be repeated")

    async def die(point: str) -> None:
        if point == "before applied":
            raise Killed(point)

    trial.rig.work.point = die
    view = await trial.rig.run()
    assert (view.outcome, view.reason) == (Outcome.UNKNOWN, Reason.WRITE_UNKNOWN.value), trial.rig.told()
    assert view.escalated
    assert await trial.effects() == 1


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


async def test_a_hung_look_ends_at_our_deadline_and_claims_nothing(trial: Trial) -> None:
    """Fault 23."""
    plan = await trial.rig.plan()
    made = await trial.rig.make_all(plan)
    trial.site.proxy.clear()
    await trial.action.verify(trial.rig.after(made), plan, trial.rig.params)
    if not any(request.verb == "GET" for request in trial.site.proxy.requests) or trial.scene.reach is not None:
        pytest.skip("it does not look at the cluster")
    trial.site.proxy.faults.hang(method="GET", times=None)
    connection = ClusterConnection(
        name=trial.site.cluster.name,
        url=trial.site.proxy.url,
        deadline=0.2,
        secret_namespaces=frozenset({trial.site.namespace}),
    )
    impatient = KubeCluster(connection)
    reach = Reach(impatient, trial.rig.clock, Outside(OutsideSettings()))
    try:
        answer = await trial.action.verify(
            msgspec.structs.replace(trial.rig.after(made), reach=reach), plan, trial.rig.params
        )
    except (KubeError, TemporaryError):
        return
    finally:
        await impatient.close()
    assert answer.answer is Answer.UNKNOWN, json.dumps(unquote(str(answer)))
