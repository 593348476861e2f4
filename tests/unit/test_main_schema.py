"""The JSON Schema and the page of `bridge.yml` are what the loader checks with, and every shipped file fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from bridge.cli import main
from bridge.configuration.main_schema import main_schema
from tests.support.configuration_page import PAGE, page

ROOT = Path(__file__).parents[2]
MAINS = [ROOT / "config/bridge.yml", *sorted(ROOT.glob("deploy/**/bridge.yml"))]
SYSTEMS = sorted((ROOT / "config/systems").glob("*.yml"))


def errors(schema: dict[str, Any], document: Any) -> list[str]:
    return [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(document)]


def plain(file: Path) -> Any:
    """Return a file as JSON has it: times of a maintenance window as texts."""
    return json.loads(json.dumps(YAML(typ="safe").load(file.read_text()), default=str))


@pytest.mark.parametrize("file", MAINS, ids=lambda file: file.parent.name)
def test_every_shipped_configuration_fits_it(file: Path) -> None:
    assert errors(main_schema(), plain(file)) == []


@pytest.mark.parametrize("file", SYSTEMS, ids=lambda file: file.stem)
def test_every_systems_file_fits_that_of_an_included_one(file: Path) -> None:
    assert errors(main_schema(included=True), plain(file)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"mod": "auto"},
        {"mode": "automatic"},
        {"listen": {"prt": 1}},
        {"route": {"cooldown": "ten minutes"}},
        {"route": {"routes": [{"runbok": "a/b"}]}},
        {"credentials": [{"name": "a", "type": "token"}]},
    ],
    ids=lambda wrong: json.dumps(wrong)[:30],
)
def test_a_mistake_is_red(wrong: dict[str, Any]) -> None:
    assert errors(main_schema(), wrong)


def test_the_command_prints_it() -> None:
    for which in ("main", "included"):
        done = CliRunner().invoke(main, ["check-config", "--schema", which])
        assert json.loads(done.stdout) == main_schema(included=which == "included")


def test_the_page_is_current_and_names_every_key() -> None:
    """`python -m tests.support.configuration_page` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page()
    for key in main_schema()["properties"]:
        assert f"## `{key}`" in page()


def test_no_key_lacks_an_explanation() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |")] == []
    assert any(row.startswith("| `clusters.connections.KEY.kubeconfig`") for row in rows)


def test_neither_does_one_of_an_included_file() -> None:
    schema = main_schema(included=True)
    assert [key for key, field in schema["properties"].items() if not field.get("description")] == []
