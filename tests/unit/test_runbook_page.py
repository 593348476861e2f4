"""docs/runbooks.md says what is so: its example loads, and its tables have what there is, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from bridge.actions import registry as actions
from bridge.configuration import load
from bridge.configuration.expressions import Condition
from bridge.configuration.scope import while_running
from bridge.evidence import registry as evidence

PAGE = (Path(__file__).parents[2] / "docs" / "runbooks.md").read_text("utf-8")


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the first table under a heading, by the name in their first column."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {row[0].split("`")[1]: row[1:] for row in rows}


def names(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", text))


@pytest.mark.parametrize(
    ("heading", "known"),
    [("What the actions do", actions.parameters())],
)
def test_what_there_is_and_its_parameters_are_on_the_page_and_nothing_else(
    heading: str, known: Mapping[str, type[BaseModel]]
) -> None:
    rows = table(heading)
    assert rows.keys() == known.keys()
    for name, cells in rows.items():
        fields = {field.alias or key: field for key, field in known[name].model_fields.items()}
        assert fields.keys() <= names(cells[0]), name
        for parameter, default in re.findall(r"`([a-z_]+)` \((\d+|true|false)[);:]", cells[0]):
            assert str(fields[parameter].default).lower().removesuffix(".0") == default, (name, parameter)


def test_the_example_is_a_runbook(tmp_path: Path) -> None:
    example = PAGE.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "web.yml").write_text(example)
    (tmp_path / "bridge.yml").write_text("runbooks: [runbooks]\nalerts: {WebDown: shop/web-down}\n")
    found = load(tmp_path / "bridge.yml", actions=actions.parameters(), collectors=evidence.parameters())
    assert found.runbooks["shop/web-down"].verify is not None


WORDS = re.findall(r"```yaml words\n(.*?)```", PAGE, re.DOTALL)
BASE = """
name: test/words
summary: An example of the page.
evidence:
  rollout: {collect: rollout}
  pods: {collect: pods}
  hpa: {collect: hpa}
verify: {fixed: evidence.rollout.complete}
"""


@pytest.mark.parametrize("words", WORDS, ids=[re.findall(r"name: (.*)", words)[-1] for words in WORDS])
def test_the_example_of_each_word_loads(words: str, tmp_path: Path) -> None:
    target = "" if words.startswith("target:") else "target: {name: web}\n"
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "words.yml").write_text(f"{BASE}{target}{words}")
    allowed = "exec: {allow: [[kill, -USR1, '1']]}\nnotify: {channels: {reports: {url_env: REPORTS}}}"
    (tmp_path / "bridge.yml").write_text(f"runbooks: [runbooks]\nalerts: {{WebDown: test/words}}\n{allowed}\n")
    env = {"REPORTS": "json://reports.example"}
    load(tmp_path / "bridge.yml", actions=actions.parameters(), collectors=evidence.parameters(), env=env)


def test_every_word_has_an_example() -> None:
    keys = set(re.findall(r"([a-z_]+):", " ".join(WORDS)))
    told = {"try", "on_not_fixed", "wait", "when", "id", "loop", "for_each", "at_most", "parallel", "until", "hold"}
    assert told <= keys


def test_the_variables_are_those_that_expressions_may_use() -> None:
    rows = PAGE.partition("| variable |")[2].partition("\n\n")[0]
    told = {name for line in rows.splitlines()[2:] for name in names(line.split(" | ")[0])}
    scope = while_running(())
    assert told == scope.keys()
    for name, members in scope.items():
        cell = next(line for line in rows.splitlines() if f"`{name}`" in line.split(" | ")[0])
        assert set(members or ()) <= names(cell), name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alert.starts_at + 60 > now", None),
        ("alert.starts_at + 60.0 > now", True),
        ("alert.starts_at + double(params.seconds) > now", True),
        ("alert.starts_at > params.seconds", True),
        ("7 / 2 == 3", True),
        ("evidence.gone.x > 1", None),
        ("evidence.gone.x > 1 && false", False),
        ("true || evidence.gone.x > 1", True),
        ("params.seconds", None),
        ("params.nothing && true", None),
        ("'deployment' in labels", False),
        ("labels.deployment == 'web'", None),
        ("has(evidence.gone)", False),
    ],
)
def test_what_is_said_of_expressions_is_so(text: str, expected: bool | None) -> None:
    known: dict[str, Any] = {
        "labels": {},
        "params": {"seconds": 60, "nothing": None},
        "alert": {"starts_at": 1000.5},
        "evidence": {},
        "now": 1001.0,
    }
    assert Condition(text).evaluate(known) is expected
