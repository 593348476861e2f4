"""Put the scenarios of other runbooks where a runbook says `use:`, with what they read. Called by the loader.

What comes out is a runbook as if it had been written in one file: the engine, and the record of a run, know no other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from bridge.configuration.call_checks import Problem
from bridge.configuration.cel_text import references
from bridge.configuration.document import Loc
from bridge.configuration.expressions import Template
from bridge.configuration.problems import key_path, nearest
from bridge.errors import InvalidInput
from bridge.model.mode import strictest
from bridge.model.runbook import Collect, Parameter, Runbook, Scenario, Step, Use

Find = Callable[[str], Runbook | None]
"""A runbook by its name; None where it is wrong itself. Raises InvalidInput where it cannot be used."""


class Borrowed(NamedTuple):
    """What one `use:` brought along."""

    at: int
    """Its index in the file's list."""
    of: str
    evidence: Mapping[str, Collect]
    params: Mapping[str, Parameter]


class Composed(NamedTuple):
    """A runbook's value with nothing left to be used."""

    value: dict[str, Any]
    origins: list[int]
    """For each scenario the index in the file's list that it comes from."""
    borrowed: list[Borrowed]
    whole: bool
    """False where something that is used is wrong itself, and told there."""


def uses_others(value: Any) -> bool:
    """Whether a runbook's value has anything to be put together."""
    scenarios = value.get("scenarios") if isinstance(value, dict) else None
    return isinstance(scenarios, list) and any(isinstance(item, dict) and "use" in item for item in scenarios)


def compose(value: Mapping[str, Any], uses: Mapping[int, Use], find: Find) -> tuple[Composed, list[Problem]]:
    """Return the value with each of `uses` (by its index) in place, and what keeps some of them out."""
    scenarios: list[Any] = []
    origins: list[int] = []
    borrowed: list[Borrowed] = []
    problems: list[Problem] = []
    evidence = dict(value.get("evidence") or {})
    own = value.get("params") or {}
    params, approvers, whole = dict(own), value.get("approvers", 1), True
    for at, item in enumerate(value["scenarios"]):
        use = uses.get(at)
        if use is None:
            scenarios.append(item)
            origins.append(at)
            continue
        try:
            other = find(use.use)
            if other is None:
                whole = False
                continue
            picked = _picked(use, other)
            needed = _needed(use, other, picked, own)
        except InvalidInput as error:
            whole = False
            problems.append((("scenarios", at), str(error)))
            continue
        borrowed.append(Borrowed(at, other.name, *needed))
        for scenario in picked:
            scenarios.append(_placed(scenario, use, other))
            origins.append(at)
        evidence = {**{name: _written(each) for name, each in needed[0].items()}, **evidence}
        params = {**{name: _written(each) for name, each in needed[1].items()}, **params}
        approvers = max(approvers, other.approvers) if isinstance(approvers, int) else approvers
    if origins and origins[-1] in uses and scenarios[-1].get("on_not_fixed") == "next":
        # Elsewhere others follow it; here it is the last.
        del scenarios[-1]["on_not_fixed"]
    more = {"scenarios": scenarios, "evidence": evidence, "params": params, "approvers": approvers}
    return Composed({**value, **more}, origins, borrowed, whole), problems


def clashes(runbook: Runbook, borrowed: list[Borrowed], own_params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what one name means twice: in the runbook and in what it uses, or in two things that it uses."""
    for each in borrowed:
        for name, collect in each.evidence.items():
            if runbook.evidence.get(name, collect) != collect:
                yield (
                    ("scenarios", each.at),
                    f"the evidence {name!r} is gathered otherwise by {each.of}: give one of them another name, "
                    "or let both say the same",
                )
        for name, parameter in each.params.items():
            if name not in own_params and runbook.params.get(name, parameter).default != parameter.default:
                yield (
                    ("scenarios", each.at),
                    f"the parameter {name!r} has another default in {each.of} than in what is used before it: "
                    "declare it in `params` of this runbook",
                )


def at_use(
    runbook: Runbook, borrowed: list[Borrowed], problem: Problem, loc: Loc, troubled: Collection[str]
) -> Problem | None:
    """Return a problem as one of the place that uses what it is in; None where it is told in its own file.

    `loc` is its place in the runbook, that of `problem` in the file; `troubled` are the runbooks with problems.
    """
    place, text = problem
    root, name = (*loc, "", "")[:2]
    if root == "scenarios" and isinstance(name, int) and (of := runbook.scenarios[name].of):
        return None if of in troubled else (place[:2], f"of {of}: {key_path(loc[2:])}: {text}")
    for each in borrowed:
        if root == "evidence" and name in each.evidence and each.of in troubled:
            return None
        if root == "params" and name in each.params:
            return None if each.of in troubled else (("scenarios", each.at, "with", name), text)
    return problem


def _picked(use: Use, other: Runbook) -> list[Scenario]:
    if use.scenario is None:
        return list(other.scenarios)
    picked = [scenario for scenario in other.scenarios if scenario.name == use.scenario]
    if not picked:
        names = [scenario.name for scenario in other.scenarios]
        raise InvalidInput(f"{other.name} has no scenario {use.scenario!r}{nearest(use.scenario, names)}")
    return picked


def _needed(
    use: Use, other: Runbook, picked: list[Scenario], own: Mapping[str, Any]
) -> tuple[dict[str, Collect], dict[str, Parameter]]:
    """Return the evidence and the parameters that the scenarios read; raise InvalidInput for a wrong `with`."""
    read = [path for scenario in picked for path in _paths(scenario)]
    evidence = {name: other.evidence[name] for name in _named("evidence", read, other.evidence)}
    read += [path for collect in evidence.values() for path in _of_template(collect.with_)]
    params = {name: other.params[name] for name in _named("params", read, other.params)}
    for name in use.with_:
        if name not in other.params:
            raise InvalidInput(f"{other.name} has no parameter {name!r}{nearest(name, other.params)}")
        if name in own:
            raise InvalidInput(
                f"the parameter {name!r} is declared by this runbook, which counts for what it uses as well: "
                "leave it out of `with`"
            )
        params[name] = other.params[name].model_copy(update={"default": use.with_[name], "required": False})
    return evidence, params


def _named(root: str, paths: list[tuple[str, ...]], known: Mapping[str, Any]) -> list[str]:
    """Return which of the known names are read; all of them where something reads the whole."""
    if (root,) in paths:
        return list(known)
    read = {path[1] for path in paths if path[0] == root and len(path) > 1}
    return [name for name in known if name in read]


def _paths(scenario: Scenario) -> Iterator[tuple[str, ...]]:
    """Yield what the expressions of a scenario read."""
    conditions = [scenario.when, *(attempt.when for attempt in scenario.attempts)]
    for step in scenario.all_steps:
        conditions += [step.when, step.wait.until if step.wait else None, step.loop.until if step.loop else None]
        yield from _of_template([step.with_, step.for_each])
    for condition in conditions:
        yield from references(condition or "")
    yield from _of_template(scenario.escalate)


def _of_template(value: Any) -> Iterator[tuple[str, ...]]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _of_template(item)
    elif isinstance(value, str) and "${" in value:
        try:
            expressions = Template(value).expressions
        except InvalidInput:
            # Told where it is written.
            return
        for expression in expressions:
            yield from references(expression)


def _placed(scenario: Scenario, use: Use, other: Runbook) -> dict[str, Any]:
    """Return a scenario as this runbook has it: narrowed, named by its origin, as careful as where it comes from."""
    conditions = [f"({each})" for each in (use.when, scenario.when) if each is not None]
    narrowed = scenario.model_copy(
        update={
            "when": " && ".join(conditions) if len(conditions) > 1 else use.when or scenario.when,
            "otherwise": not conditions,
            "on_not_fixed": use.on_not_fixed or scenario.on_not_fixed,
            "of": scenario.of or other.name,
            "steps": tuple(_careful(step, other) for step in scenario.steps),
            "try_": tuple(
                attempt.model_copy(update={"steps": tuple(_careful(step, other) for step in attempt.steps)})
                for attempt in scenario.try_
            ),
        }
    )
    return _written(narrowed)


def _careful(step: Step, other: Runbook) -> Step:
    """Let a step go no further than its own runbook goes."""
    mode = strictest(step.mode, other.mode) if step.mode or other.mode else None
    return step.model_copy(update={"mode": mode})


def _written(model: Collect | Parameter | Scenario) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
