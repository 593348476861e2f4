"""README and docs/: their links lead somewhere, their YAML and their keys are right, and decisions are short."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.configuration import load
from bridge.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
_BLOCK = re.compile(r"^( *)```yaml[^\n]*\n(.*?)^ *```", re.S | re.M)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.M)
_OURS = set(json.loads((ROOT / "docs" / "runbook.schema.json").read_text())["properties"])


def blocks(page: Path) -> list[str]:
    return [textwrap.dedent(text) for _, text in _BLOCK.findall(page.read_text())]


ALL = [(page, text) for page in PAGES for text in blocks(page)]
IDS = [f"{page.name}-{number}" for number, (page, _) in enumerate(ALL)]


@pytest.mark.parametrize(("page", "text"), ALL, ids=IDS)
def test_a_yaml_block_is_yaml(page: Path, text: str) -> None:
    assert yaml.safe_load(text), page.name


def of_the_configuration(text: str) -> bool:
    """Whether a block shows keys of bridge.yml, and is no runbook, Alertmanager's, Grafana's or kustomize's file."""
    value: Any = yaml.safe_load(text)
    if not isinstance(value, dict) or {"receivers", "apiVersion", "bases", "steps"} & value.keys():
        return False
    return not (_OURS & value.keys()) or "alerts" in value


OURS = [(page, text) for page, text in ALL if of_the_configuration(text)]


def test_the_pages_show_the_configuration() -> None:
    assert len(OURS) >= 12


@pytest.mark.parametrize(("page", "text"), OURS, ids=[f"{page.name}-{n}" for n, (page, _) in enumerate(OURS)])
def test_a_block_of_the_configuration_has_no_unknown_key_and_no_wrong_value(
    page: Path, text: str, tmp_path: Path
) -> None:
    value: dict[str, Any] = yaml.safe_load(text)
    (tmp_path / "bridge.yml").write_text(
        ("" if "runbooks" in value else f"runbooks: [{ROOT / 'config' / 'runbooks'}]\n")
        + ("" if "credentials" in value or "listen" not in value else "credentials: []\n")
        + text
    )
    try:
        load(tmp_path / "bridge.yml", env={"ALERTMANAGER_TOKEN": "a" * 32, "GRAFANA_HMAC": "b" * 32})
    except ConfigurationError as error:
        # Files with secrets and plug-ins are the reader's own.
        wrong = [line for line in error.problems if "cannot be read" not in line and "no file is there" not in line]
        assert wrong == [], page.name


def anchor(heading: str) -> str:
    """Return GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"`", "", heading).lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_a_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    prose = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.S | re.M)
    for link in _LINK.findall(prose):
        if link.startswith(("http://", "https://")):
            continue
        place, _, mark = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        if mark:
            assert mark in {anchor(heading) for heading in _HEADING.findall(target.read_text())}, link


def test_every_page_is_named_by_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert {page.name for page in (ROOT / "docs").glob("*.md") if f"docs/{page.name}" not in text} == set()


def test_decisions_have_numbers_of_their_own_and_are_short() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    numbers = Counter(page.name[:4] for page in pages)
    assert [int(number) for number in numbers] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text()
        assert text.startswith(f"# {int(page.name[:4])}. "), page.name
        assert len(text.split()) <= 700, page.name
