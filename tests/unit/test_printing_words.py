"""What people read of runs with several targets and several items under way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridge import printing
from bridge.api.schemas import item_of
from bridge.model.mode import Mode
from bridge.model.remediation import Remediation, RemediationView, State
from bridge.model.target import Target


def item(*names: str, **made_with: Any) -> dict[str, Any]:
    targets = tuple(Target("", "Deployment", "shop", name) for name in names)
    several = targets if len(targets) > 1 else ()
    made = Remediation(id="r1", runbook="shop/web", target=targets[0], targets=several, mode=Mode.AUTO, **made_with)
    found: dict[str, Any] = msgspec.to_builtins(item_of(RemediationView(remediation=made, state=State.QUEUED)))
    return found


def test_a_list_says_how_many_targets_there_are_more() -> None:
    assert "deployment/shop/web and 2 more" in printing.remediations([item("web", "api", "db")])
    assert "more" not in printing.remediations([item("web")])


@pytest.mark.parametrize(
    ("made_with", "said"),
    [
        ({"labels": {"alertname": "GatewayDown"}}, "alert GatewayDown"),
        ({"requested_by": "ann", "labels": {"alertname": "GatewayDown"}}, "operator ann"),
        ({"requested_by": "schedule:daily", "route": "schedule:daily"}, "schedule daily"),
        ({"requested_by": "remediation r0", "parents": ("r9", "r0"), "route": "a step of shop/all"}, "run r0"),
        ({"requested_by": "ann", "undo_of": "r0", "route": "schedule:daily", "parents": ("r9",)}, "undo of r0"),
    ],
)
def test_a_list_says_who_asked(made_with: dict[str, Any], said: str) -> None:
    header, row = printing.remediations([item("web", **made_with)]).splitlines()
    at = header.index("ASKED BY")
    assert row[at : header.index("MODE")].strip() == said


def test_one_that_is_shown_names_every_target() -> None:
    shown = printing.remediation({"remediation": item("web", "api"), "params": {}}, [])
    assert "deployment/shop/web, deployment/shop/api" in shown


def test_a_line_of_the_journal_says_which_item_it_is_about() -> None:
    applying = {"kind": "applying", "text": "x", "reason": "", "data": {"step": "only/0[2]", "change": 1}}
    assert printing.brief(applying) == "item 3: change 2 of the plan"
    applied = {"kind": "applied", "text": "x", "reason": "", "data": {"step": "only/0#2", "wrote": True}}
    assert printing.brief(applied) == "written"
    old = {"kind": "applied", "text": "x", "reason": "", "data": {"step": 0, "wrote": False}}
    assert printing.brief(old) == "it was so already: nothing was written"
