"""The runbooks shipped for netweave, with less patience between two looks: tests wait for conditions, not people."""

from __future__ import annotations

import re
from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[2] / "config" / "runbooks" / "netweave"


def shipped_runbooks() -> dict[str, str]:
    """Return the texts of config/runbooks by file name; only how often and how long they look is changed."""
    found = {}
    for path in sorted(_FOLDER.rglob("*.yml")):
        text = re.sub(r"(?m)^(  every): \w+$", r"\1: 200ms", path.read_text())
        found[path.name] = re.sub(r"(?m)^(  settle): \w+$", r"\1: 500ms", text)
    return found
