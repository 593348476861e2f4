"""Print docs/runbook-table.md: `python -m tests.support.scenes.table > docs/runbook-table.md`, from the scenes."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.scenes.rows import ROWS, row_of
from tests.support.scenes.scene import Scene

FOLDER = Path(__file__).resolve().parents[2] / "flow" / "runbooks"
_HEAD = (
    "# From the written runbooks to those that ship\n\n"
    "Every section of the five organisations' runbooks, the shipped runbook that carries it out, the scenario that"
    " the scene brings about, and the test (in `tests/flow/runbooks`) that fires its alert and sees its steps take"
    " effect. Made from those tests by `python -m tests.support.scenes.table`; a test checks that it is current, and"
    " that nothing is missing. How to adopt one: [write a runbook](runbooks.md); its routes and peers are in"
    " `config/systems`, its alert rules in `deploy/prometheus`.\n"
)


def scenes_of(system: str) -> Sequence[tuple[str, Scene]]:
    """Return the scenes of a system with their test files; none where there is no file yet."""
    found = []
    for file in sorted(FOLDER.glob(f"test_{system.replace('-', '_')}*.py")):
        module = importlib.import_module(f"tests.flow.runbooks.{file.stem}")
        found += [(file.name, scene) for scene in module.SCENES]
    return found


def table() -> str:
    """Return the page."""
    return "\n".join([_HEAD, *(line for system in ROWS for line in _of(system))]) + "\n"


def _of(system: str) -> Iterator[str]:
    scenes = scenes_of(system)
    if not scenes:
        return
    yield f"## {system}"
    yield "| source | runbook | scenario | ends | test |"
    yield "|---|---|---|---|---|"
    for row, title in ROWS[system].items():
        for file, scene in scenes:
            if row_of(system, scene.source) == row:
                about = scene.source if scene.source != row else f"{row}: {title}"
                chosen = " → ".join(scene.scenarios) or "(none)"
                mode = "" if scene.mode == "auto" else f", {scene.mode}"
                yield f"| {about} | `{scene.runbook}` | {chosen} | {scene.ends}{mode} | `{file}`: {scene.name} |"
    yield ""


if __name__ == "__main__":
    print(table(), end="")
