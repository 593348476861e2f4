"""The order of the guards and what they say no with is one thing: in the code, in docs/guards.md and in the API."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from bridge import guards
from bridge.configuration import load
from bridge.model.guards_now import GUARD_REASONS
from bridge.model.reason import Reason
from bridge.wiring import entry_guards, plan_guards
from tests.support.clock import FakeClock
from tests.support.memory_budgets import MemoryBudgets

ROOT = Path(__file__).resolve().parents[2]

_CELL = re.compile(r"`([a-z_]+)`")


@pytest.fixture
def wired(tmp_path: Path) -> list[Any]:
    """The guards as they are put together for a process."""
    file = tmp_path / "bridge.yml"
    file.write_text("alerts: {}\n")
    configuration = load(file)
    budgets = MemoryBudgets(FakeClock())
    return [*entry_guards(lambda: configuration), *plan_guards(configuration, {}, budgets)]


def table() -> list[list[str]]:
    """Return the cells of the first table of the page, without its head."""
    lines = (ROOT / "docs" / "guards.md").read_text().partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return rows[2:]


def test_the_page_lists_the_guards_in_the_order_in_which_they_are_asked(wired: list[Any]) -> None:
    assert [row[1] for row in table()] == [guard.name for guard in wired]
    assert [row[1] for row in table() if row[0]] == ["pause", "protected"], "where the two groups begin"


def test_the_page_and_the_api_name_the_reasons_of_each_guard() -> None:
    assert {row[1]: tuple(_CELL.findall(row[3])) for row in table()} == {
        name: tuple(reason.value for reason in reasons) for name, reasons in GUARD_REASONS.items()
    }


def test_each_guard_says_no_with_its_reasons_and_no_others(wired: list[Any]) -> None:
    assert [guard.name for guard in wired] == list(GUARD_REASONS)
    for guard in wired:
        module = inspect.getmodule(type(guard))
        assert module is not None
        said = set(re.findall(r"(?:deny|defer)\(\s*Reason\.([A-Z_]+)", inspect.getsource(module)))
        assert said == {reason.name for reason in GUARD_REASONS[guard.name]}, guard.name


def test_the_packages_charter_tells_the_same_order(wired: list[Any]) -> None:
    text = guards.__doc__ or ""
    places = [re.search(rf"\b{guard.name}\b[,.]", text) for guard in wired]
    assert all(places)
    assert [place.start() for place in places if place] == sorted(place.start() for place in places if place)


def test_whoever_is_denied_by_what_only_a_person_can_end_has_a_person_told() -> None:
    waits = {reason for reasons in GUARD_REASONS.values() for reason in reasons if not reason.pages}
    assert waits == {
        Reason.PAUSED,
        Reason.MAINTENANCE,
        Reason.SILENCED,
        Reason.SILENCES_UNKNOWN,
        Reason.HOLD_OFF,
        Reason.OUT_OF_DATE,
        Reason.COOLDOWN,
        Reason.ROLLOUT_IN_PROGRESS,
        Reason.BUDGET_SPENT,
    }, "all of these end by themselves, or by whoever began them"
