"""What `alertbridge plan` prints: the findings, the scenario, and the plans as `kubectl diff` shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.api.plans import planned_of
from bridge.engine.rehearse import Rehearsal
from bridge.engine.routing import BY_HAND
from bridge.model import kinds
from bridge.model.text import printable
from bridge.printing import journal, target

_TOLD = {kinds.EVIDENCE, kinds.SCENARIO, kinds.TRYING, kinds.PLANNED, kinds.FORESEEN, kinds.GUARD}


def document(found: Rehearsal) -> dict[str, Any]:
    """Return a rehearsal as plain JSON, as the API tells it."""
    told: dict[str, Any] = msgspec.to_builtins(planned_of(found))
    return told


def text(shown: Mapping[str, Any]) -> str:
    """Return what people read."""
    lines = [f"{printable(shown['runbook'])} for {printable(target(shown['target']))}", ""]
    told = [entry for entry in shown["journal"] if entry["kind"] in _TOLD]
    lines += journal(told, told[0]["at"] if told else None)
    lines.append("")
    if shown["report"]:
        lines += [*(f"  {printable(line)}" for line in shown["report"].splitlines()), ""]
    if shown["planned"]:
        lines.append(f"Nothing was changed. {_mode(shown)}")
    else:
        refused = any(entry["kind"] == kinds.PLANNED for entry in told)
        why = f"{shown['reason']}: {shown['detail']}"
        lines.append(printable(f"It would not be made: {why}" if refused else f"No plan: {why}"))
        if shown["advice"] and shown["reason"] == "left_to_a_person":
            lines.append(printable(f"What a person is told: {shown['advice']}"))
    return "\n".join(lines)


def _mode(shown: Mapping[str, Any]) -> str:
    if shown["route"] == BY_HAND:
        return "No route leads to it with these labels (alertname?): it was planned as when it is started by hand."
    excepted = f" It may change protected {', '.join(names)}." if (names := shown["allow_namespaces"]) else ""
    return f"Its route's mode is {shown['mode']}.{excepted}"
