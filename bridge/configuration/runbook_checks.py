"""What a schema cannot say about a runbook: names, expressions and parameters have to fit. Called by the loader."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from bridge.configuration.call_checks import Problem, Registry, call_problems, parameter_problems
from bridge.configuration.document import Loc
from bridge.configuration.scope import (
    ALERT,
    Scope,
    before_evidence,
    condition_problems,
    template_problems,
    while_running,
)
from bridge.configuration.shapes import ANYTHING, Shape, shape_of
from bridge.configuration.step_checks import scenario_problems, steps_problems
from bridge.model.runbook import Collect, Runbook

__all__ = ["Problem", "Registry", "parameter_problems", "runbook_problems"]

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?(/[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)*\Z")


def runbook_problems(runbook: Runbook, registry: Registry) -> Iterator[Problem]:
    """Yield the place in the runbook, and a sentence, for everything that is wrong with it."""
    if not _NAME.match(runbook.name) or len(runbook.name) > 200:
        yield ("name",), f"{runbook.name!r} is no runbook's name: expected something such as netweave/all-pods-down"
    params = runbook.params
    for name, declared in params.items():
        for loc, text in template_problems(declared.default, ALERT):
            yield ("params", name, "default", *loc), text
        if declared.required and declared.default is not None:
            yield ("params", name), "has a default and is required: it can be one of both"
    for part in ("namespace", "name"):
        for loc, text in template_problems(getattr(runbook.target, part), before_evidence(params)):
            yield ("target", part, *loc), text
    yield from _collect_problems(runbook.evidence, ("evidence",), while_running(params, None), registry)
    gathered = _shapes(runbook.evidence, registry)
    told = {"report": ()} if runbook.report else {}
    yield from scenario_problems(runbook, {**while_running(params, gathered, steps={}), **told}, registry)
    said: list[tuple[Loc, str]] = [(("escalate",), runbook.escalate), (("report",), runbook.report)]
    said += [(("scenarios", at, "escalate"), each.escalate) for at, each in enumerate(runbook.scenarios)]
    for place, advice in said:
        for _, text in template_problems(advice, while_running(params, gathered)):
            yield place, text
    if runbook.verify is not None:
        yield from _collect_problems(
            runbook.verify.evidence, ("verify", "evidence"), while_running(params, gathered), registry
        )
        proof = while_running(params, {**gathered, **_shapes(runbook.verify.evidence, registry)})
        for text in condition_problems(runbook.verify.fixed, proof):
            yield ("verify", "fixed"), text
        trying = while_running(params, gathered, steps={})
        yield from steps_problems(runbook.verify.steps, ("verify", "steps"), trying, registry)


def _shapes(wanted: Mapping[str, Collect], registry: Registry) -> dict[str, Shape]:
    """Return what expressions may read of each piece of evidence."""
    models = {name: registry.results.get(item.collect) for name, item in wanted.items()}
    return {name: shape_of(model) if model else ANYTHING for name, model in models.items()}


def _collect_problems(wanted: Mapping[str, Collect], loc: Loc, scope: Scope, registry: Registry) -> Iterator[Problem]:
    for name, item in wanted.items():
        here = (*loc, name)
        if not name.isidentifier():
            yield here, "a name of evidence is a word, so that expressions can use it"
        yield from call_problems("collector", item.collect, "collect", item.with_, here, scope, registry.collectors)
