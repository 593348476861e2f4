"""What a schema cannot say about the scenarios of a runbook, their attempts and steps. Called by runbook_checks.

Names that an expression may use grow from step to step (`steps.ID`), and `item` is there under `for_each` alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from bridge.configuration.call_checks import Problem, Registry, call_problems
from bridge.configuration.cel_text import references
from bridge.configuration.document import Loc
from bridge.configuration.expressions import Template
from bridge.configuration.scope import Scope, condition_problems, lone_shape, template_problems, with_names
from bridge.configuration.shapes import ANYTHING, BOOL, Shape
from bridge.errors import InvalidInput
from bridge.model.runbook import Runbook, Scenario, Step

_MOVES = frozenset({"evidence", "alert", "steps", "now"})
"""What can change while something is waited for."""
_RESULT = {"skipped": BOOL, "changed": BOOL}


def scenario_problems(runbook: Runbook, scope: Scope, registry: Registry) -> Iterator[Problem]:
    """Yield place and sentence for what is wrong with the scenarios; `scope` is what is known when one is chosen."""
    seen: set[str] = set()
    ended = ""
    for at, scenario in enumerate(runbook.scenarios):
        here: Loc = ("scenarios", at)
        if scenario.name in seen:
            yield (*here, "name"), f"a scenario before it is called {scenario.name!r} too: rename one of them"
        seen.add(scenario.name)
        if ended:
            yield here, f"is never reached: {ended!r} before it says `otherwise`"
        if scenario.otherwise and scenario.on_not_fixed != "next":
            ended = scenario.name
        if scenario.on_not_fixed == "next" and at == len(runbook.scenarios) - 1 and not runbook.library:
            yield (*here, "on_not_fixed"), "there is no scenario after this one: say `escalate`, or add one"
        if scenario.when is not None:
            for text in condition_problems(scenario.when, scope):
                yield (*here, "when"), text
        yield from _attempt_problems(runbook, scenario, here, scope, registry)
    yield from _target_problems(runbook)


def _attempt_problems(
    runbook: Runbook, scenario: Scenario, here: Loc, scope: Scope, registry: Registry
) -> Iterator[Problem]:
    if not scenario.try_:
        need_not = [step.on_failed == "continue" for step in scenario.steps]
        if runbook.verify is None and need_not and all(need_not) and not runbook.library:
            told = "no step of these has to help, and the runbook has no `verify`: nothing would say whether it did"
            yield (*here, "steps"), told
        yield from steps_problems(scenario.steps, (*here, "steps"), scope, registry)
        return
    if runbook.verify is None and not runbook.library:
        yield (*here, "try"), "what helped is said by the runbook's `verify`, and it has none: add one"
    seen: set[str] = set()
    for at, attempt in enumerate(scenario.try_):
        place: Loc = (*here, "try", at)
        if attempt.name in seen or not attempt.name:
            said = (
                f"an attempt before it is called {attempt.name!r} too" if attempt.name else "an attempt needs a name"
            )
            yield (*place, "name"), said
        seen.add(attempt.name)
        if attempt.when is not None:
            for text in condition_problems(attempt.when, scope):
                yield (*place, "when"), text
        yield from steps_problems(attempt.steps, (*place, "steps"), scope, registry)


def steps_problems(steps: Sequence[Step], loc: Loc, scope: Scope, registry: Registry) -> Iterator[Problem]:
    known: dict[str, Shape] = {}
    for at, step in enumerate(steps):
        here: Loc = (*loc, at)
        if step.id in known:
            yield (*here, "id"), f"a step before it has the id {step.id!r} too"
        yield from _step_problems(step, here, with_names(scope, steps=dict(known)), registry)
        if step.id is not None:
            known[step.id] = _result(step)


def _result(step: Step) -> Shape:
    """Return what expressions may read of a step's result: what an action's call returns is its own business."""
    if step.wait is not None:
        return Shape("map", {**_RESULT, "met": BOOL})
    if step.for_each is not None:
        failed = {"failed": BOOL} if step.on_failed == "continue" else {}
        return Shape("map", {**_RESULT, **failed, "items": Shape("list", {}, ANYTHING)})
    return ANYTHING


def _step_problems(step: Step, here: Loc, scope: Scope, registry: Registry) -> Iterator[Problem]:
    if step.when is not None:
        for text in condition_problems(step.when, scope):
            yield (*here, "when"), text
    if step.wait is not None:
        if step.wait.until is not None:
            yield from _until_problems(step.wait.until, (*here, "wait", "until"), scope)
        return
    inside = scope
    if step.for_each is not None:
        yield from _list_problems(step, here, scope)
        inside = with_names(scope, item=_item(step.for_each, scope))
    if step.loop is not None:
        own = dict(_members(scope, "steps")) | ({step.id: Shape("map", None)} if step.id is not None else {})
        yield from _until_problems(step.loop.until, (*here, "loop", "until"), with_names(scope, steps=own))
    yield from call_problems("action", step.action, "action", step.with_, here, inside, registry.actions)


def _until_problems(expression: str, loc: Loc, scope: Scope) -> Iterator[Problem]:
    found = list(condition_problems(expression, scope))
    for text in found:
        yield loc, text
    if not found and not any(path[0] in _MOVES for path in references(expression)):
        yield loc, f"`{expression}` reads nothing that changes while it is waited for: let it read evidence"


# -- lists


def _list_problems(step: Step, here: Loc, scope: Scope) -> Iterator[Problem]:
    place: Loc = (*here, "for_each")
    yield from template_problems(step.for_each, scope, place)
    if isinstance(step.for_each, tuple):
        if len(step.for_each) > step.items_at_most:
            yield (
                place,
                f"there are {len(step.for_each)} items, and the step takes {step.items_at_most}: raise `at_most`",
            )
        return
    kind = _shape(step.for_each, scope).kind
    if _lone(step.for_each) is None:
        yield place, "expected a list, or one `${…}` that gives one, such as ${targets}"
    elif kind not in ("", "list"):
        yield place, f"`{step.for_each}` is of type {kind}: it has to give a list"
    if step.parallel is not None and step.parallel > step.items_at_most:
        yield (
            (*here, "parallel"),
            f"{step.parallel} at once are more than the step takes at all: {step.items_at_most}",
        )


def _lone(template: str | tuple[Any, ...] | None) -> str | None:
    """Return the expression of a text that is one template alone."""
    if not isinstance(template, str):
        return None
    try:
        found = Template(template).expressions
    except InvalidInput:
        return ""
    return found[0] if len(found) == 1 and template == f"${{{found[0]}}}" else None


def _shape(template: str | tuple[Any, ...] | None, scope: Scope) -> Shape:
    expression = _lone(template)
    return lone_shape(expression, scope) if expression else ANYTHING


def _item(template: str | tuple[Any, ...] | None, scope: Scope) -> Collection[str] | None:
    """Return what may follow `item`; None where that is not known."""
    each = _shape(template, scope).each
    return each.members if each is not None and each.kind == "map" else None


def _members(scope: Scope, name: str) -> Mapping[str, Shape]:
    found = scope.get(name)
    return found if isinstance(found, Mapping) else {}


# -- several targets


def _target_problems(runbook: Runbook) -> Iterator[Problem]:
    most = runbook.target.at_most
    if most is None or most == 1:
        return
    steps = [
        (("scenarios", at, *place), step)
        for at, scenario in enumerate(runbook.scenarios)
        for place, step in _places(scenario)
    ]
    over_targets = [(place, step) for place, step in steps if _lone(step.for_each) == "targets"]
    for place, step in over_targets:
        if step.items_at_most < most:
            yield (
                (*place, "for_each"),
                (
                    f"up to {most} targets may join (`target.at_most`), and the step takes {step.items_at_most}:"
                    " raise its `at_most`"
                ),
            )
    if not any(_reads_targets([step.for_each, step.with_]) for _, step in steps):
        yield (
            ("target", "at_most"),
            "alerts about other targets may join, but no step reads `targets`: only the first would be mended",
        )


def _places(scenario: Scenario) -> Iterator[tuple[Loc, Step]]:
    for at, step in enumerate(scenario.steps):
        yield ("steps", at), step
    for number, attempt in enumerate(scenario.try_):
        for at, step in enumerate(attempt.steps):
            yield ("try", number, "steps", at), step


def _reads_targets(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_reads_targets(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_reads_targets(item) for item in value)
    if not isinstance(value, str) or "${" not in value:
        return False
    try:
        return any(path[0] == "targets" for text in Template(value).expressions for path in references(text))
    except InvalidInput:
        return True
