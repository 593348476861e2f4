"""The index of a bundle: what a person reads first. Markdown in which no label is anything but text. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bridge.api.schemas import JournalEntry, RemediationDetail, RemediationItem
from bridge.model.redact import redact
from bridge.model.text import printable

# An underscore within a word, and an ampersand that begins no entity, are what they are.
_SPECIAL = re.compile(r"([\\`*\[\]<|~]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|^[#>+-])")
_LONGEST_CELL = 240
_MOST_FACTS = 8
_MOST_LINES = 300
_HEADINGS = {
    "first": "What was found before the first write",
    "": "What was found",
    "proof": "What the last look of the proof saw",
}


def index(
    detail: RemediationDetail,
    entries: Sequence[JournalEntry],
    left_out: int,
    kept: Mapping[str, Any],
    folders: Mapping[str, str],
    files: Sequence[str],
) -> str:
    """Return the page; `folders` says where the pieces of each gathering are, `files` what else there is."""
    lines = [*_head(detail)]
    for where, folder in folders.items():
        section = kept.get(where, {}) if where else kept
        if isinstance(section, Mapping) and (section.get("evidence") or section.get("missing")):
            lines += _gathered(_HEADINGS[where], section, folder)
    if not kept:
        lines += ["## What was found", "", "No evidence is kept of it.", ""]
    lines += _happened(entries, left_out)
    lines += ["## Files", "", *(f"- [{_text(name)}]({name})" for name in files), ""]
    return "\n".join(lines)


def _head(detail: RemediationDetail) -> Iterator[str]:
    item = detail.remediation
    yield f"# {_text(item.id)}: {_text(item.runbook)}"
    yield ""
    rows = {
        "Alert": item.labels.get("alertname", ""),
        "Labels": ", ".join(f"{name}={value}" for name, value in sorted(item.labels.items())),
        "Target": _target(item),
        "Mode": item.mode.value,
        "Outcome": _outcome(item),
        "Reason": ": ".join(filter(None, (item.reason, item.detail))),
        "Asked for by": " - ".join(filter(None, (item.requested_by, item.why))),
        "Route": item.route,
        "Incidents": ", ".join(item.incidents),
        "Created": _moment(item.created_at),
        "Finished": _moment(item.finished_at),
        "Configuration": detail.config_hash,
    }
    yield "| | |"
    yield "|---|---|"
    for name, value in rows.items():
        if value:
            yield f"| {name} | {_cell(redact(value, longest=2000))} |"
    yield ""


def _target(item: RemediationItem) -> str:
    target = item.target
    place = "/".join(part for part in (target.kind.lower(), target.namespace, target.name) if part)
    return f"{target.cluster}: {place}" if target.cluster else place


def _outcome(item: RemediationItem) -> str:
    said = item.outcome.value if item.outcome else f"none yet: {item.state.value}"
    return f"{said}, escalated" if item.escalated else said


def _gathered(heading: str, section: Mapping[str, Any], folder: str) -> Iterator[str]:
    at = section.get("at")
    when = f", {_moment(datetime.fromtimestamp(at, UTC))}" if isinstance(at, int | float) and at else ""
    yield f"## {heading}{when}"
    yield ""
    found = section.get("evidence") or {}
    if found:
        yield f"In `{folder}/`:"
        yield ""
        yield "| piece | what it says |"
        yield "|---|---|"
        for name, piece in sorted(found.items()):
            yield f"| {_cell(name)} | {_cell(_facts(piece))} |"
        yield ""
    missing = section.get("missing") or {}
    if missing:
        yield "Missing, and why:"
        yield ""
        yield from (
            f"- {_cell(name)}: {_cell(redact(str(why), longest=1000))}" for name, why in sorted(missing.items())
        )
        yield ""
    cut = section.get("cut") or {}
    if cut:
        yield "Cut, because it was too large to be kept as a whole:"
        yield ""
        yield from (f"- {_cell(path)}: {_cell(str(what))}" for path, what in sorted(cut.items())[:50])
        yield ""


def _facts(piece: Any) -> str:
    """Return what a piece's top level says in one line: what is not empty, 0 or false, in its order."""
    if not isinstance(piece, Mapping):
        return redact(str(piece), longest=_LONGEST_CELL)
    facts = [
        f"{name} {_shown(value)}"
        for name, value in piece.items()
        if isinstance(value, str | int | float) and value not in ("", 0, False) and "\n" not in str(value)
    ]
    return redact(", ".join(facts[:_MOST_FACTS]), longest=2000) or "nothing of note"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes"
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def _happened(entries: Sequence[JournalEntry], left_out: int) -> Iterator[str]:
    yield "## What happened"
    yield ""
    if left_out:
        yield f"{left_out} entries of the journal's middle are left out."
        yield ""
    yield "| when (UTC) | what | |"
    yield "|---|---|---|"
    for entry in entries[:_MOST_LINES]:
        when = entry.at.strftime("%Y-%m-%d %H:%M:%S") if entry.at else ""
        yield f"| {when} | {_cell(entry.kind)} | {_cell(redact(entry.text or entry.reason, longest=2000))} |"
    if len(entries) > _MOST_LINES:
        yield f"| | | and {len(entries) - _MOST_LINES} more, in journal.json |"
    yield ""


def _moment(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""


def _cell(text: str) -> str:
    line = printable(" ".join(text.split()))
    return _text(line if len(line) <= _LONGEST_CELL else f"{line[: _LONGEST_CELL - 1]}…")


def _text(text: str) -> str:
    """Return a text in which nothing means anything to Markdown, and an address is no link."""
    return _SPECIAL.sub(r"\\\1", printable(text)).replace("://", ":&#47;&#47;")
