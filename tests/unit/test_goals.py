"""Goals for what remediations come to: which they are about, and whether they are met."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from bridge import printing
from bridge.model.goals import Goal, goals_met
from bridge.model.remediation import Outcome, RemediationView, State
from bridge.model.report import Times
from bridge.model.telling import SeveritySpec
from tests.support.api_fakes import NOW, view

SCALE = SeveritySpec.model_validate({"scales": [{"runbooks": "omnimesh/*", "names": {"P9": "low"}}]})


def run(
    runbook: str, severity: str, times: Times | None = None, *, reason: str = "verified", **more: Any
) -> tuple[RemediationView, Times]:
    made = view("r", State.DONE, outcome=Outcome.SUCCEEDED, reason=reason, finished_at=NOW)
    changed = msgspec.structs.replace(made.remediation, runbook=runbook, labels={"severity": severity}, **more)
    return msgspec.structs.replace(made, remediation=changed), times or Times()


def met(goal: dict[str, Any], *runs: tuple[RemediationView, Times]) -> dict[str, tuple[Any, Any]]:
    (found,) = goals_met([Goal.model_validate(goal)], SCALE, runs)
    return {figure.name: (figure.found, figure.met) for figure in found.figures}


def test_a_goal_for_a_time_is_about_the_mean() -> None:
    runs = [run("omnimesh/a", "P9", Times(to_resolve=600)), run("omnimesh/b", "P9", Times(to_resolve=2400))]
    assert met({"resolve": "25m"}, *runs) == {"resolve": (1500, True)}
    assert met({"resolve": "24m"}, *runs) == {"resolve": (1500, False)}


def test_a_goal_of_which_nothing_was_measured_is_neither_met_nor_missed() -> None:
    assert met({"detect": "2m"}) == {"detect": (None, None)}
    assert met({"respond": "2m"}, run("omnimesh/a", "P9", Times(to_detect=1))) == {"respond": (None, None)}


def test_a_goal_is_about_its_runbooks_and_severities_in_the_words_of_the_organisation() -> None:
    runs = [run("omnimesh/a", "P9", Times(to_detect=10)), run("omendb/a", "low", Times(to_detect=1000))]
    assert met({"runbooks": "omnimesh/*", "detect": "2m"}, *runs) == {"detect": (10, True)}
    assert met({"severity": "low", "detect": "2m"}, *runs) == {"detect": (505, False)}
    assert met({"severity": "critical", "detect": "2m"}, *runs) == {"detect": (None, None)}


def test_what_was_a_false_alarm_counts_for_its_share_and_for_no_time_to_resolve() -> None:
    runs = [run("omnimesh/a", "P9", Times(to_resolve=100)) for _ in range(19)]
    false = run("omnimesh/a", "P9", Times(to_resolve=1), reason="nothing_to_do")
    goal = {"resolve": "2m", "false_positives": 0.05}
    assert met(goal, *runs, false) == {"resolve": (100, True), "false_positives": (0.05, True)}
    assert met(goal, *runs, false, false)["false_positives"] == (0.0952, False)


def test_an_undo_is_no_remediation_of_its_own() -> None:
    assert met({"detect": "2m"}, run("omnimesh/a", "P9", Times(to_detect=9000), undo_of="r1")) == {
        "detect": (None, None)
    }


@pytest.mark.parametrize("goal", [{}, {"resolve": "0s"}, {"false_positives": 2}, {"resolved": "2m"}])
def test_a_goal_that_asks_for_nothing_or_nonsense_is_refused(goal: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Goal.model_validate(goal)


def test_the_command_says_what_is_met_and_shouts_what_is_missed() -> None:
    goal = Goal.model_validate({"runbooks": "omnimesh/*", "detect": "2m", "respond": "5m", "false_positives": 0.05})
    runs = [run("omnimesh/a", "P9", Times(to_detect=600)), run("omnimesh/a", "P9", reason="nothing_to_do")]
    found = msgspec.to_builtins(goals_met([goal], SCALE, runs))
    empty = {"count": 0}
    figures = {"remediations": 0, "open": 0, "outcomes": {}, "escalated": 0, "false_positives": 0, "runbooks": []}
    spreads = {f"time_to_{name}": empty for name in ("detect", "respond", "resolve")}
    text = printing.stats({"since": None, "stats": {**figures, **spreads, "success_rate": None}, "goals": found})
    assert "GOAL MISSED: omnimesh/*: mean time to detect 10m (at most 2m, of 1)" in text
    assert "goal not measured: omnimesh/*: mean time to respond (at most 5m, of 0)" in text
    assert "GOAL MISSED: omnimesh/*: false positives 50.0% (at most 5.0%, of 2)" in text
