"""What `alertbridge plan` prints: the findings, the scenario, and the plans as `kubectl diff` shows them."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.api.schemas import entry_of
from bridge.engine.ending import Finish
from bridge.engine.rehearse import Rehearsal
from bridge.engine.routing import BY_HAND
from bridge.model import kinds
from bridge.model.text import printable
from bridge.printing import journal, target

_TOLD = {kinds.EVIDENCE, kinds.SCENARIO, kinds.TRYING, kinds.PLANNED, kinds.FORESEEN, kinds.GUARD}


def document(found: Rehearsal) -> dict[str, Any]:
    """Return a rehearsal as plain JSON, with what is secret in it masked as the API masks it."""
    entries = [msgspec.to_builtins(entry_of(entry)) for entry in found.entries]
    kept = msgspec.json.decode(gzip.decompress(found.evidence)) if found.evidence else {}
    ending = found.ending
    finished = ending if isinstance(ending, Finish) else None
    return {
        "runbook": found.remediation.runbook,
        "target": msgspec.to_builtins(found.remediation.target),
        "params": found.remediation.params,
        "route": found.remediation.route,
        "mode": found.remediation.mode.value,
        "allow_namespaces": list(found.remediation.allow_namespaces),
        "planned": finished is not None and finished.outcome.value == "observed",
        "outcome": finished.outcome.value if finished else "unknown",
        "reason": finished.reason.value if finished else "",
        "detail": finished.detail if finished else str(getattr(ending, "detail", "")),
        "advice": finished.advice if finished else "",
        "report": finished.report if finished else "",
        "evidence": kept.get("evidence", {}),
        "missing": kept.get("missing", {}),
        "journal": entries,
    }


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
