"""The JSON Schema that editors read: it is what the loader checks with, and the file in docs/ is its newest state."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from bridge.catalogue import catalogue
from bridge.configuration.runbook_schema import runbook_schema

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "runbook.schema.json"
RUNBOOKS = sorted((ROOT / "config" / "runbooks").rglob("*.yml"))


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    known = catalogue()
    return runbook_schema(
        {name: one.params for name, one in known.actions.items()},
        {name: one.params for name, one in known.collectors.items()},
    )


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.validator_for(schema)


def test_the_file_in_docs_is_what_the_command_prints(schema: dict[str, Any]) -> None:
    assert json.loads(FILE.read_text()) == schema, "run `alertbridge actions --schema > docs/runbook.schema.json`"


@pytest.mark.parametrize("file", RUNBOOKS, ids=lambda file: file.stem)
def test_every_shipped_runbook_fits_it(validator: Any, file: Path) -> None:
    document = YAML(typ="safe").load(file.read_text())
    assert [error.message for error in validator.iter_errors(document)] == []


GOOD: dict[str, Any] = {
    "summary": "Scale.",
    "target": {"name": "${labels.deployment}", "namespace": "shop"},
    "evidence": {"pods": {"collect": "pods", "timeout": "5s"}},
    "scenarios": [
        {
            "name": "load",
            "when": "evidence.pods.ready > 0",
            "steps": [{"action": "scale", "with": {"by": "${params.more}"}, "verify_within": "5m"}],
        }
    ],
}


def changed(*path: Any, to: Any) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    node: Any = document
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = to
    return document


def test_a_file_need_not_name_itself_and_may_hold_templates_everywhere(validator: Any) -> None:
    assert validator.is_valid(GOOD)


@pytest.mark.parametrize(
    "wrong",
    [
        changed("scenarios", 0, "steps", 0, "action", to="sclae"),
        changed("scenarios", 0, "steps", 0, "with", to={"bye": 2}),
        changed("scenarios", 0, "steps", 0, "with", to={"by": "two"}),
        changed("scenarios", 0, "steps", 0, "verify_within", to="5 minutes"),
        changed("evidence", "pods", "collect", to="pots"),
        changed("target", to={"nam": "web"}),
        changed("scenarios", to=[]),
    ],
    ids=["action", "parameter", "type", "duration", "collector", "target", "scenarios"],
)
def test_a_mistake_is_red(validator: Any, wrong: dict[str, Any]) -> None:
    assert not validator.is_valid(wrong)


def test_every_parameter_and_every_key_has_a_description(schema: dict[str, Any]) -> None:
    silent = [
        f"{name}.{key}"
        for name, definition in schema["$defs"].items()
        for key, field in definition.get("properties", {}).items()
        if not field.get("description")
    ]
    assert silent == []
