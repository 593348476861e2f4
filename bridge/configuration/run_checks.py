"""Whether the runbooks that steps and schedules run are there, with the parameters that they are given."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from bridge.configuration.call_checks import Problem
from bridge.configuration.document import Loc
from bridge.configuration.peer_checks import steps_of
from bridge.configuration.problems import nearest
from bridge.configuration.scope import ALERT, has_template, template_problems
from bridge.model.runbook import RUN, Runbook
from bridge.model.schedule import ScheduleSpec


def run_problems(runbook: Runbook, known: Mapping[str, Runbook], broken: Collection[str]) -> Iterator[Problem]:
    """Yield the place in the runbook, and a sentence; what is `broken` is there, but cannot be looked into."""
    for loc, step in steps_of(runbook):
        name, params = step.with_.get("runbook"), step.with_.get("params")
        if step.action != RUN or not isinstance(name, str) or has_template(name) or name in broken:
            continue
        yield from _of_run(name, params if isinstance(params, Mapping) else {}, known, (*loc, "with"))


def schedule_problems(
    schedule: ScheduleSpec, known: Mapping[str, Runbook], broken: Collection[str]
) -> Iterator[Problem]:
    """Yield the place in the schedule, and a sentence."""
    if schedule.runbook in broken:
        return
    yield from _of_run(schedule.runbook, schedule.params, known, ())
    yield from template_problems(schedule.params, ALERT, ("params",))
    for name, declared in known[schedule.runbook].params.items() if schedule.runbook in known else ():
        if declared.required and schedule.params.get(name) is None:
            yield ("params",), f"runbook {schedule.runbook} needs the parameter {name!r}"


def led_to(names: Collection[str], known: Mapping[str, Runbook]) -> set[str]:
    """Return these runbooks, as far as they are known, with those that their steps run."""
    found: set[str] = set()
    left = [name for name in names if name in known]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            run = [step.with_.get("runbook") for _, step in steps_of(known[name]) if step.action == RUN]
            left += [other for other in run if isinstance(other, str) and other in known]
    return found


def _of_run(name: str, params: Mapping[str, Any], known: Mapping[str, Runbook], loc: Loc) -> Iterator[Problem]:
    other = known.get(name)
    if other is None:
        yield (*loc, "runbook"), f"no runbook is called {name!r}{nearest(name, known)}"
        return
    for key in params:
        if key not in other.params:
            yield (*loc, "params", key), f"{name} has no parameter {key!r}{nearest(key, other.params)}"
