"""What a run found, did, put back and proved, and what is left to people: for whoever is woken by it. Pure.

It is the incident report (bridge.model.report) in a few lines, without its time line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bridge.model import kinds
from bridge.model.remediation import Entry, Outcome, RemediationView
from bridge.model.report import Report, report
from bridge.model.text import printable

_MOST = 5
"""Lines of one part."""
_LONGEST = 300
_NOTHING_SAID = ("gathered nothing",)
_BY_WEIGHT = ("Impact", "Found", "Left to you")
_ALREADY_SAID = "find out why: "


def account(view: RemediationView, entries: Sequence[Entry], kept: Mapping[str, Any]) -> str:
    """Return the parts as paragraphs of their own; what there is nothing to say of is left out.

    `kept` is the evidence document of the remediation, or empty.
    """
    said = report(view, entries, kept)
    left = [line for line in said.left_to_people if not line.startswith(_ALREADY_SAID)]
    parts = [
        ("Impact", [line for line in said.impact if not line.startswith("0 of ")]),
        ("Found", [line for line in said.found if line not in _NOTHING_SAID]),
        ("Done", said.done or (["nothing was changed"] if view.escalated else [])),
        ("Put back", _put_back(view, said)),
        ("Proof", [line for line in said.proved if line not in view.detail]),
        ("Left to you", left if view.escalated else []),
    ]
    return "\n".join(line for name, lines in parts for line in _part(name, lines))


def stands(view: RemediationView, entries: Sequence[Entry]) -> bool:
    """Whether something that the run changed was not put back, and could be."""
    plans = (entry.data["plan"] for entry in entries if entry.kind == kinds.PLANNED and "plan" in entry.data)
    if all(plan.get("undo") == "none" for plan in plans):
        return False
    made = sum(entry.kind == kinds.APPLIED and bool(entry.data.get("wrote")) for entry in entries)
    back = sum(1 + int(entry.data.get("skipped", 0)) for entry in entries if entry.kind == kinds.UNDONE)
    return view.outcome in (Outcome.FAILED, Outcome.UNKNOWN) and made > back


def _put_back(view: RemediationView, said: Report) -> list[str]:
    if said.put_back or not said.done:
        return said.put_back
    return ["nothing: what was done stands"] if view.outcome in (Outcome.FAILED, Outcome.UNKNOWN) else []


def _part(name: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield one part; of what was done over time the last lines count, of the rest the first ones."""
    shown = [printable(" ".join(line.split())) for line in lines]
    shown = [line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…" for line in shown]
    if len(shown) > _MOST:
        more = len(shown) - _MOST
        begins = name in _BY_WEIGHT
        shown = [*shown[:_MOST], f"({more} more)"] if begins else [f"({more} more before)", *shown[-_MOST:]]
    if len(shown) == 1:
        yield f"{name}: {shown[0]}"
    elif shown:
        yield f"{name}:"
        yield from (f"- {line}" for line in shown)
