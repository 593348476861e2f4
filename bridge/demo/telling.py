"""The demo's words for a remediation: what was found, planned, done and proved. Used by `story` as it happens."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from bridge import printing
from bridge.model import kinds
from bridge.model.text import printable

Json = Mapping[str, Any]

_WIDEST = 120
_MOST_FACTS = 7
_SKIPPED = {"text", "kind", "observed", "truncated", "previous", "uid", "name", "namespace", "message"}
_LABELS = {
    kinds.EVIDENCE: "found",
    kinds.SCENARIO: "so it is",
    kinds.PLANNED: "plan",
    kinds.APPLIED: "done",
    kinds.VERIFYING: "proof",
    kinds.VERIFIED: "",
    kinds.GUARD: "guard",
    kinds.RETRY: "again",
    kinds.PARKED: "waits",
    kinds.UNDOING: "undo",
    kinds.UNDONE: "undone",
}
"""Journal kinds that are told, and how; the others are for `alertbridge show`."""


def tell(entry: Json, evidence: Json) -> Iterator[str]:
    """Yield the lines for one journal entry; `evidence` is what was gathered, by name, once it was."""
    kind = entry["kind"]
    if kind not in _LABELS:
        return
    if kind == kinds.EVIDENCE and evidence:
        yield from _aligned(_LABELS[kind], [line for name, item in evidence.items() for line in _facts(name, item)])
        return
    text = printing.brief(entry).removeprefix("verifying: ").removeprefix("verifying ")
    answer = entry["data"].get("answer", "") if kind == kinds.VERIFIED else ""
    word = answer.replace("_", " ")
    for line in _aligned(_LABELS[kind], [f"{word}: {text}" if word else text]):
        yield line.replace(f" {word}: ", f" {printing.coloured(word, answer)}: ", 1) if word else line
    if kind == kinds.PLANNED:
        for line in printing.plan(entry["data"]["plan"]):
            yield f"              {line}"


def _aligned(label: str, lines: list[str]) -> Iterator[str]:
    """Yield lines beside their label, wrapped to the terminal."""
    width = min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST) - 14
    broken = [part for line in lines for part in _wrap(line, max(width, 40)) or [""]]
    for number, line in enumerate(broken):
        yield f"    {'' if number else label:<8}  {line}"


def _wrap(line: str, width: int) -> list[str]:
    return textwrap.wrap(printable(line), width, break_on_hyphens=False, break_long_words=False)


def _facts(name: str, item: Any) -> Iterator[str]:
    """Yield one line for a piece of evidence: the facts of its top level that say something, or its last log line."""
    if not isinstance(item, Mapping):
        return
    if isinstance(item.get("text"), str) and item["text"].strip() and "desired" not in item:
        yield f"{name.replace('_', ' ')}: {item['text'].strip().splitlines()[-1]}"
        return
    facts = [_fact(key, value) for key, value in item.items() if _worth_saying(key, value)]
    if facts:
        more = ", ..." if len(facts) > _MOST_FACTS else ""
        yield f"{name.replace('_', ' ')}: {', '.join(facts[:_MOST_FACTS])}{more}"


def _worth_saying(key: str, value: Any) -> bool:
    if key in _SKIPPED or key.endswith(("_at", "generation")) or not isinstance(value, str | int | float):
        return False
    return bool(value) or key == "ready"


def _fact(key: str, value: Any) -> str:
    words = key.replace("_", " ")
    if value is True:
        return words
    if key.endswith("_seconds"):
        return f"{words.removesuffix(' seconds')} {printing.span(value)}"
    return f"{words} {value:g}" if isinstance(value, float) else f"{words} {value}"
