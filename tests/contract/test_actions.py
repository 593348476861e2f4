"""What every action promises, held against what it declares, at a simulated cluster or a real one.

The cases are in action_cases, a file for each family. One that a family cannot spoil or count is left out there.
What it promises under faults is in test_actions_under_faults.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, ValidationError

from bridge.actions.registry import actions
from bridge.errors import (
    InvalidInput,
    OutcomeUnknown,
    PermanentError,
)
from bridge.model.mode import Mode
from bridge.model.plan import Change, Operation, Plan, Repeat, Undo, read_pointer
from bridge.model.remediation import Outcome
from bridge.model.verification import Answer
from bridge.ports import Action
from tests.contract.action_cases import all_cases
from tests.support.asked import beyond
from tests.support.trial import Trial, trials

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("quiet_log")]

BAD_NAMES = ("..", ".", "a/b", "%2e%2e", "Upper", "new\nline", "-x", "x" * 254)
BAD_SELECTORS: tuple[Any, ...] = ({}, {"app": "a,b in (x)"}, {"a in (x),b": "c"}, {"": "x"})
LITERALS = ("--kubeconfig=/x", ";rm -rf /")
WAITING = {"rollout_status", "promql_check", "http_check"}
"""They change nothing, and are held to waiting in tests/flow: test_rollouts.py, test_peers.py."""
NAMES = ("name", "namespace")
SELECTORS = ("labels", "selector")
ARGUMENTS = ("arguments", "command")

trial = trials()
exact = trials(lambda action: action.undo is Undo.EXACT)


def test_every_action_has_a_case() -> None:
    assert set(actions()) - {case.action for case in all_cases()} - WAITING == set()


# -- planning


async def test_a_plan_only_reads_and_is_what_the_action_declares_also_when_it_is_made_again(trial: Trial) -> None:
    """Fault 70. An approval binds to the changes' hash: it has to survive a second look at an unchanged cluster."""
    plan = await trial.rig.plan()
    again = await trial.rig.plan()
    assert plan.hash == again.hash
    assert trial.site.proxy.mutating(dry_runs=True) == []
    assert await trial.effects() == 0
    _assert_declared(plan, trial.action)


def _assert_declared(plan: Plan, action: Action) -> None:
    declared = (action.name, action.repeat, action.undo, action.undo_failed)
    assert (plan.action, plan.repeat, plan.undo, plan.undo_failed) == declared
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


async def test_names_selectors_and_arguments_cannot_widen_what_is_asked(trial: Trial) -> None:
    """Faults 41, 42, 43. What could is refused before any request; there is no shell anywhere."""
    for params in _bad_params(trial):
        typed = _refused(trial, params)
        if typed is not None:
            with pytest.raises((InvalidInput, PermanentError)):
                await trial.action.plan(trial.rig.context, typed)
        assert trial.site.proxy.requests == [], params
    if "name" in trial.action.params.model_fields and not trial.scene.params.get("name"):
        # Names from labels are checked when a target is made of them; an action doesn't rely on that.
        for bad in (*BAD_NAMES, ""):
            target = msgspec.structs.replace(trial.rig.target, name=bad)
            with pytest.raises((InvalidInput, PermanentError)):
                await trial.action.plan(msgspec.structs.replace(trial.rig.context, target=target), trial.rig.params)
            assert trial.site.proxy.requests == [], bad
    for name in _fields(trial, trial.case.arguments, ARGUMENTS):
        await _assert_literal(trial, name)


async def _assert_literal(trial: Trial, name: str) -> None:
    """Arguments are refused, or passed on one by one as they are."""
    typed = _refused(trial, {**trial.scene.params, name: [*(trial.scene.params.get(name) or []), *LITERALS]})
    if typed is None:
        return
    try:
        plan = await trial.action.plan(trial.rig.context, typed)
    except (InvalidInput, PermanentError):
        return
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


async def test_an_exact_undo_puts_back_what_the_plan_changed(exact: Trial) -> None:
    """Before its effect is waited for: what follows from it by itself is nobody's to undo."""
    plan = await exact.rig.plan()
    refs = [change.ref for change in plan.changes if not change.external]
    before = {ref: await exact.look(ref) for ref in refs}
    made = await exact.rig.make_all(plan)
    if exact.scene.settled is not None:
        await exact.scene.settled()
    await exact.undo(plan, made)
    for change in plan.changes:
        if not change.external and change.operation is not Operation.CALL:
            _assert_as_before(change, before[change.ref], await exact.look(change.ref))
    if exact.scene.undone is not None:
        await exact.scene.undone()
    _assert_allowed(exact)


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
