"""The page of promises: each line stands on tests that are there, under the names that it says."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "never.md"
LINK = re.compile(r"\[`(\w+)`\]\(([^)]+)\)")
LINES = [line for line in PAGE.read_text().splitlines() if line.startswith("- ")]
_SHELLS = {"create_subprocess_shell", "system", "popen", "getoutput", "getstatusoutput"}


@cache
def functions(path: Path) -> frozenset[str]:
    """Return the names of the functions that a test file defines."""
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_a_promise_names_the_tests_that_hold_it(line: str) -> None:
    links = LINK.findall(line)
    assert links, "a promise without a test"
    assert line.count("](") == len(links), "a link without the name of its test"
    for name, place in links:
        path = (PAGE.parent / place).resolve()
        assert path.is_file(), place
        assert name.startswith("test_")
        assert name in functions(path), f"{place} has no {name}"


def test_every_line_of_the_page_is_a_promise() -> None:
    assert len(LINES) > 30
    for line in LINES:
        assert re.match(r"- (It|A) .*\b(never|costs at most|loses no more)\b", line), line
    # Nothing but the head, its words and the promises.
    others = [line for line in PAGE.read_text().splitlines() if line and line not in LINES]
    assert all(line.startswith("#") for line in others[2:]), others


def test_the_page_is_found() -> None:
    assert "docs/never.md" in (ROOT / "README.md").read_text()
    assert "never.md" in (ROOT / "docs" / "guards.md").read_text()


def test_no_module_starts_a_shell() -> None:
    """Fault 43: by its source, beside the tests that pass a shell's words on."""
    found = []
    for path in (ROOT / "bridge").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            shell = any(
                word.arg == "shell" and not (isinstance(word.value, ast.Constant) and word.value.value is False)
                for word in node.keywords
            )
            if shell or name in _SHELLS:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
    assert found == []
