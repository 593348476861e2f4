"""Nothing of the five sources is missing: each section has scenes, each runbook is in one, the table is current."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.need import need
from tests.support.scenes.rows import ONLY_LOOK, ROWS, row_of
from tests.support.scenes.scene import NAMESPACES, Scene
from tests.support.scenes.shipped import ROOT, alert_of, rules, shipped
from tests.support.scenes.table import scenes_of, table

SYSTEMS = sorted(ROWS)


def given(system: str) -> list[Scene]:
    found = [scene for _, scene in scenes_of(system)]
    if not found:
        pytest.skip(f"{system} has no scenes yet")
    return found


def test_the_table_is_current() -> None:
    assert (ROOT / "docs" / "runbook-table.md").read_text() == table(), (
        "python -m tests.support.scenes.table > docs/runbook-table.md"
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_section_of_a_source_heals_in_one_scene_and_in_another_not_at_first(system: str) -> None:
    found = given(system)
    for row in ROWS[system]:
        scenes = [scene for scene in found if row_of(system, scene.source) == row]
        assert scenes, f"{system}: there is no scene of {row}"
        if (system, row) not in ONLY_LOOK:
            assert any(len(s.scenarios) > 1 or s.ends in ("escalated", "undone", "denied") for s in scenes), (
                f"{system}: there is no scene of {row} in which the first mend does not help"
            )
            healing = [scene for scene in scenes if scene.ends == "healed"]
            assert healing or all(not s.actions for s in scenes), f"{system}: there is no scene in which {row} helps"


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_runbook_and_each_of_its_scenarios_is_in_a_scene(system: str) -> None:
    played = {name for scene in given(system) for name in scene.scenarios}
    for name, runbook in shipped().runbooks.items():
        if name.startswith(f"{system}/"):
            titles = {each.name for each in runbook.scenarios}
            seen = {name.partition(" > ")[0] for name in played}
            assert titles <= seen, f"{name}: no scene chooses {', '.join(sorted(titles - seen))}"


@pytest.mark.parametrize("system", SYSTEMS)
def test_beside_the_routes_of_the_other_systems_each_alert_takes_its_own(system: str) -> None:
    for scene in given(system):
        if scene.alert:
            labels, _ = alert_of(system, scene.alert, {"namespace": scene.namespace, **scene.labels}, {})
            found = [match.runbook for match in shipped().table.match(labels)]
            assert scene.runbook in found, f"{scene.name}: {labels} leads to {found}"


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_rule_that_ships_is_routed_to_a_runbook_of_its_system_and_says_how_bad_it_is(system: str) -> None:
    for scene in given(system):
        assert not scene.alert or scene.alert in rules(system) or "severity" in scene.labels
    for name, rule in rules(system).items():
        labels = {key: text for key, text in rule["labels"].items() if "{{" not in text}
        namespace = next((scene.namespace for scene in given(system) if scene.alert == name), NAMESPACES[system])
        matches = shipped().table.match({"alertname": name, "namespace": namespace, **labels})
        assert any(match.runbook.startswith(f"{system}/") for match in matches), f"{name} leads nowhere"
        assert all(match.mode is not None for match in matches), f"the route of {name} says no mode"


@pytest.mark.parametrize("file", sorted((ROOT / "deploy" / "prometheus").glob("*.yml")), ids=lambda path: path.stem)
def test_the_rules_that_ship_are_right(file: Path) -> None:
    if file.stem == "scrape":
        pytest.skip("no rules")
    done = subprocess.run(
        [need("promtool"), "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
