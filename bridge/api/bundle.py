"""One remediation as a tar.gz that a person can read: what was found, planned and done. Called by remediations.py.

Pure: the same record gives the same bytes. Nothing in it is more than what the API shows, so no credential either;
names of files are made here alone, and every part of it is bounded.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bridge.api.bundle_index import index
from bridge.api.schemas import JournalEntry, RemediationDetail, entry_of, item_of
from bridge.model.plan_text import plan_lines, yaml_lines
from bridge.model.redact import mask
from bridge.model.remediation import Entry, RemediationView

MOST_ENTRIES = 2000
"""Journal entries in the bundle: the first quarter and the last three of them."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 80
_FOLDERS = {"first": "evidence-before-the-first-write", "": "evidence", "proof": "evidence-of-the-proof"}
"""Folders by where the pieces stand in what is kept."""


def bundle(view: RemediationView, entries: Sequence[Entry], kept: Mapping[str, Any]) -> bytes:
    """Return the archive; `kept` is what the journal keeps as evidence, empty when nothing is."""
    made = view.remediation
    told, left_out = _bounded(entries)
    detail = RemediationDetail(item_of(view), made.params, made.annotations, made.config_hash, made.runbook_doc)
    files = _Files()
    files.add("remediation.json", _json(mask(msgspec.to_builtins(detail))))
    files.add("runbook.yml", "\n".join(yaml_lines(mask(made.runbook_doc), sort=False)) + "\n")
    files.add("journal.json", _json(mask(msgspec.to_builtins(told))))
    for number, entry in enumerate((e for e in told if "plan" in e.data), 1):
        plan = entry.data["plan"]
        if isinstance(plan, Mapping):
            name = f"plans/{number:02}-{_safe(str(plan.get('action') or 'plan'))}.diff"
            files.add(name, "\n".join([f"# {plan.get('summary', '')}", *plan_lines(plan)]) + "\n")
    for where, folder in _FOLDERS.items():
        for path, content in _pieces(_section(kept, where), folder):
            files.add(path, content)
    files.add("index.md", index(detail, told, left_out, kept, _FOLDERS, files.names))
    return _packed(
        f"alertbridge-{_safe(made.id)}", files, int(view.finished_at or view.updated_at or made.created_at)
    )


def _section(kept: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    found = kept.get(where, {}) if where else kept
    return found if isinstance(found, Mapping) else {}


def _bounded(entries: Sequence[Entry]) -> tuple[list[JournalEntry], int]:
    """Return the entries as the API shows them, and how many from the middle are left out."""
    left_out = max(0, len(entries) - MOST_ENTRIES)
    first = MOST_ENTRIES // 4
    chosen = [*entries[:first], *entries[first + left_out :]] if left_out else entries
    return [entry_of(entry) for entry in chosen], left_out


def _pieces(section: Mapping[str, Any], folder: str) -> Iterator[tuple[str, str]]:
    """Yield a file for each piece of evidence, and one for each log in it."""
    for name, piece in sorted((section.get("evidence") or {}).items()):
        shown = mask(piece)
        logs = list(_logs(shown))
        yield f"{folder}/{_safe(name)}.json", _json(_without_logs(shown) if logs else shown)
        for pod, container, text in logs:
            yield f"{folder}/{_safe(name)}/{_safe(f'{pod}-{container}')}.log", text + "\n"


def _logs(piece: Any) -> Iterator[tuple[str, str, str]]:
    """Yield pod, container and text of what is a log in a piece."""
    items = piece.get("items") if isinstance(piece, Mapping) else None
    for item in items if isinstance(items, list) else []:
        if isinstance(item, Mapping) and {"pod", "container", "text"} <= item.keys() and item["text"]:
            yield str(item["pod"]), str(item["container"]), str(item["text"])


def _without_logs(piece: Mapping[str, Any]) -> dict[str, Any]:
    """Return the piece with a word in place of the texts that have a file of their own."""
    items = [{**item, "text": "(in its .log file)"} if item.get("text") else item for item in piece["items"]]
    return {**piece, "items": items, "text": "(in the .log files)"}


class _Files:
    """The archive's files by name, in order; a name that is taken gets a number."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    @property
    def names(self) -> list[str]:
        return sorted(self._files)

    def add(self, name: str, text: str) -> None:
        stem, dot, ending = name.rpartition(".")
        for number in range(1, len(self._files) + 2):
            free = name if number == 1 else f"{stem}-{number}{dot}{ending}"
            if free not in self._files:
                self._files[free] = text.encode("utf-8", "backslashreplace")
                return

    def items(self) -> list[tuple[str, bytes]]:
        return sorted(self._files.items())


def _packed(folder: str, files: _Files, mtime: int) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), max(0, mtime), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


def _safe(name: str) -> str:
    """Return a name that is one harmless part of a path on every system."""
    return _UNSAFE.sub("-", name).strip(".-")[:_LONGEST_NAME] or "unnamed"
