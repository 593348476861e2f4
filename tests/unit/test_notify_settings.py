"""What `bridge.yml` says about people: the page's own example, and what is wrong is told with its place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.configuration.message_checks import template_problem
from bridge.model.notice import Severity
from bridge.model.telling import TEMPLATE_NAMES, AlertmanagerSpec, Notify
from bridge.settings import Settings
from tests.support.configuration import RUNBOOK, Folder

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.write("runbooks/shop/web.yml", RUNBOOK)
    return folder


def test_the_example_of_the_page_is_right(folder: Folder) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "people.md").read_text(), re.S)
    for name in ("team", "on-call", "lead", "manager", "vp"):
        folder.write(f"secrets/{name}", f"json://localhost/{name}")
    folder.write("bridge.yml", f"{example}\nalerts: {{A: shop/web}}\n")
    notify = folder.load().settings.notify
    assert notify.severity.of("onboarding-kyc/api", {"severity": "P0"}) is Severity.CRITICAL
    assert [level.within for level in notify.escalation[0].levels] == [900, 1800, 3600, 7200]


def test_the_page_names_what_a_template_may_name() -> None:
    page = (DOCS / "people.md").read_text()
    assert {name for name in TEMPLATE_NAMES if f"`{name}`" not in page} == set()


def test_the_page_about_alertmanager_holds_pages_as_it_says() -> None:
    page = (DOCS / "alertmanager.md").read_text()
    assert "hold_page:" in page
    spec = AlertmanagerSpec.model_validate({"url": "http://alertmanager:9093", "hold_page": {}}).hold_page
    assert spec is not None
    assert (spec.for_, spec.at_most) == (300, 900)


def test_a_template_is_checked_before_anybody_needs_it(folder: Folder) -> None:
    folder.write(
        "bridge.yml",
        """\
        notify:
          templates:
            done: {title: "${labels.x", text: "${secrets.token}"}
        alerts: {A: shop/web}
        """,
    )
    problems = folder.problems()
    assert any("notify.templates.done.title" in line for line in problems), problems
    assert any("there is no 'secrets' in a message" in line for line in problems), problems


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"rules": [{"on": "done", "channels": "nobody"}]}, "no channel is called 'nobody'"),
        (
            {"escalation": [{"levels": [{"name": "L1", "within": "15m", "channels": "x"}]}]},
            "no channel is called 'x'",
        ),
        ({"escalation": [{"levels": []}]}, "at least 1"),
        ({"rules": [{"on": "everything", "channels": "a"}]}, "started"),
        ({"update_every": "1s"}, "60"),
        ({"rules": [{"on": [], "channels": "a"}]}, "at least 1"),
    ],
)
def test_what_cannot_work_is_refused(said: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        Notify.model_validate({"channels": {"a": {"url_env": "X"}}, **said})


def test_nothing_is_told_and_no_page_is_held_by_default() -> None:
    settings = Settings()
    assert (settings.notify.rules, settings.notify.escalation, settings.alertmanager) == ((), (), None)
    assert AlertmanagerSpec.model_validate({"url": "http://alertmanager:9093"}).hold_page is None


def test_a_silence_can_not_be_made_to_last() -> None:
    for said in ({"for": "2h"}, {"at_most": "1d"}, {"for": "1s"}):
        with pytest.raises(ValidationError):
            AlertmanagerSpec.model_validate({"url": "http://alertmanager:9093", "hold_page": said})


def test_a_template_may_name_everything_that_the_page_lists() -> None:
    assert template_problem("${labels.a} ${remediation.id} ${size(plan) > 0 ? plan : ''}") is None
