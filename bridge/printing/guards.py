"""What `alertbridge guards` prints: what is paused, stopped or lowered, the budget's use, and what waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.printing import age, pauses, span, table

Json = Mapping[str, Any]


def guards(of: Json) -> str:
    """Return one table for each part that has anything to tell, and a line where all is well."""
    parts = [
        "HALTED: too much was to be disturbed in a short time; `alertbridge resume` goes on." if of["halted"] else "",
        pauses(of["paused"]),
        _trust(of),
        _budget(of["budget"]),
        _waiting(of),
    ]
    return "\n\n".join(filter(None, parts))


def _trust(of: Json) -> str:
    rows = [
        (one["runbook"], "-", "stopped", f"the last {one['runs']} runs did not help", age(one["since"]))
        for one in of["stopped"]
    ]
    rows += [
        (one["runbook"], one["alertname"], one["mode"], f"{one['helped']} of {one['runs']} helped", age(one["since"]))
        for one in of["lowered"]
    ]
    if not rows:
        return "No runbook is stopped or lowered."
    shown = table(("RUNBOOK", "ALERT", "MODE", "WHY", "SINCE"), rows)
    return f"{shown}\n`alertbridge resume --scope runbook:NAME` trusts one again."


def _budget(budget: Json) -> str:
    rows = [
        (
            one["scope"],
            _of(one["targets"], one["targets_limit"]),
            _of(one["nodes"], one["nodes_limit"]),
            _of(f"{one['percent']:g}", one["percent_limit"]),
            one["under_way"],
            one["runs"] - one["under_way"],
        )
        for one in budget["scopes"]
    ]
    halts = "" if budget["halt_after"] is None else f", everything halts above {budget['halt_after']}"
    line = f"{budget['wanted']} targets were to be disturbed in the last {span(budget['window_seconds'])}{halts}."
    return "\n".join([table(("BUDGET", "TARGETS", "NODES", "PERCENT", "RUNNING", "ENDED"), rows), line])


def _of(used: object, limit: object) -> str:
    return f"{used}/{'-' if limit is None else limit}"


def _waiting(of: Json) -> str:
    rows = [(one["alerts"], ", ".join(one["guards"]), one["reason"], one["text"]) for one in of["waiting"]]
    return table(("ALERTS WAIT", "GUARD", "REASON", "WHICH IS"), rows) if rows else ""
