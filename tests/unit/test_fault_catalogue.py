"""Every fault that this system has to survive is provoked by a test: their numbers stand in the tests' docstrings."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CATALOGUE = range(1, 71)
NOT_YET = {
    58: "a long soak: it takes hours, and comes with the proof of how it performs",
}
"""Faults without a test, and why."""

_SAID = re.compile(r"\b[Ff]aults? (\d+(?:(?:, | and |, and | to )\d+)*)")
_RANGE = re.compile(r"(\d+) to (\d+)")


def numbers(text: str) -> set[int]:
    """Return the faults that a docstring names: `Fault 3`, `Faults 3, 4 and 9`, `Faults 3 to 5 and 57`."""
    found: set[int] = set()
    for said in _SAID.findall(text):
        found |= {int(number) for number in re.findall(r"\d+", said)}
        for first, last in _RANGE.findall(said):
            found |= set(range(int(first), int(last) + 1))
    return found


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield the name and the docstring of every test, of whatever kind."""
    for file in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield f"{file.relative_to(TESTS)}::{node.name}", ast.get_docstring(node) or ""


def provoked() -> dict[int, list[str]]:
    found = defaultdict(list)
    for name, text in docstrings():
        for number in numbers(text):
            found[number].append(name)
    return found


@pytest.fixture(scope="module")
def tested() -> dict[int, list[str]]:
    return provoked()


@pytest.mark.parametrize("number", CATALOGUE)
def test_each_fault_of_the_catalogue_is_provoked_by_a_test(number: int, tested: dict[int, list[str]]) -> None:
    if number in NOT_YET:
        assert number not in tested, f"it is tested now: take it off the list ({tested[number]})"
        return
    assert tested.get(number), f"no test says that it provokes fault {number}"


def test_no_test_names_a_fault_that_is_not_in_the_catalogue(tested: dict[int, list[str]]) -> None:
    unknown = {number: names for number, names in tested.items() if number not in CATALOGUE}
    assert unknown == {}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Fault 9: 503 meanwhile.", {9}),
        ("Faults 18, 2 and 55: the reply is lost.", {2, 18, 55}),
        ("Faults 3 to 5 and 57, as a storm.", {3, 4, 5, 57}),
        ("Faults 41, 42, 43. What could is refused.", {41, 42, 43}),
        ("By default 503; error 409 is no fault.", set()),
    ],
)
def test_the_numbers_are_read_as_people_write_them(text: str, named: set[int]) -> None:
    assert numbers(text) == named


if __name__ == "__main__":
    for number, names in sorted(provoked().items()):
        print(f"{number:3} {len(names):3}  {names[0]}")
