"""Each shipped runbook can be shown by `alertbridge plan` on the simulated cluster, and nothing is written for it."""

from __future__ import annotations

import pytest

from bridge.printing.rehearsal import document, text
from bridge.rehearsal import rehearse_runbook
from tests.support.scenes.rows import ROWS
from tests.support.scenes.scene import Scene
from tests.support.scenes.shipped import shipped
from tests.support.scenes.table import scenes_of
from tests.support.scenes.theatre import Theatre


def simplest() -> dict[str, Scene]:
    """Return a scene for each runbook: one that it heals, and that needs nothing done before, where there is one."""
    scenes = [scene for system in ROWS for _, scene in scenes_of(system) if scene.scenarios]
    scenes.sort(key=lambda scene: (scene.first is not None, bool(scene.before), scene.ends != "healed"))
    return {scene.runbook: scene for scene in reversed(scenes)}


SIMPLEST = simplest()


def test_no_shipped_runbook_is_left_out() -> None:
    assert SIMPLEST.keys() == shipped().runbooks.keys()


@pytest.mark.parametrize("scene", SIMPLEST.values(), ids=list(SIMPLEST))
async def test_a_runbook_is_planned_without_one_write(scene: Scene, theatre: Theatre) -> None:
    async with theatre.opened(scene) as playing:
        labels, _ = theatre.alert(scene)
        found = await rehearse_runbook(playing.stage._configuration, scene.runbook, labels)
        shown = text(document(found))
        # What only a person can do has no plan.
        assert document(found)["planned"] or scene.ends == "escalated", shown
        assert scene.scenarios[0].partition(" > ")[0] in shown
        assert playing.stage.writes == []
