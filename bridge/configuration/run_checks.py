"""Whether the runbooks that steps run are there, with the parameters that they are given. Called by the loader."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from bridge.configuration.call_checks import Problem
from bridge.configuration.peer_checks import steps_of
from bridge.configuration.problems import nearest
from bridge.configuration.scope import has_template
from bridge.model.runbook import RUN, Runbook


def run_problems(runbook: Runbook, known: Mapping[str, Runbook], broken: Collection[str]) -> Iterator[Problem]:
    """Yield the place in the runbook, and a sentence; what is `broken` is there, but cannot be looked into."""
    for loc, step in steps_of(runbook):
        name, params = step.with_.get("runbook"), step.with_.get("params")
        if step.action != RUN or not isinstance(name, str) or has_template(name) or name in broken:
            continue
        other = known.get(name)
        if other is None:
            yield (*loc, "with", "runbook"), f"no runbook is called {name!r}{nearest(name, known)}"
            continue
        for key in params if isinstance(params, Mapping) else ():
            if key not in other.params:
                yield (*loc, "with", "params", key), f"{name} has no parameter {key!r}{nearest(key, other.params)}"
