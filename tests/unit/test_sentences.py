"""What `explain` says."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import bridge.guards
from bridge.model.reason import Reason
from bridge.model.remediation import Decision, Outcome
from bridge.model.sentences import AGAIN, GUARDS, plain, sentence, story

AT = 1_700_000_000.0
"""2023-11-14 22:13:20 UTC."""


def test_a_day_of_an_alert_reads_as_a_story() -> None:
    told = story(
        [
            Decision(
                at=AT,
                reason="created",
                remediation="r1",
                route="alerts.GatewayDown",
                runbook="netweave/all-pods-down",
            ),
            Decision(at=AT + 1, reason="paused", remediation="r1", detail="by ann until 15:00: upgrade"),
            Decision(at=AT + 60, reason="verified", remediation="r2", detail="3 of 3 pods are ready"),
            Decision(at=AT + 7200, reason="resolved"),
        ]
    )
    assert told == [
        "2023-11-14 22:13:20 fired; route alerts.GatewayDown → netweave/all-pods-down: remediation r1 was created.",
        "22:13:21 remediation r1: nothing was done: paused by an operator (by ann until 15:00: upgrade).",
        "22:14:20 remediation r2: it was mended, and proved so: 3 of 3 pods are ready.",
        "2023-11-15 00:13:20 resolved.",
    ]


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_makes_a_sentence(reason: Reason) -> None:
    for detail in ("", "because of this", reason.text):
        said = sentence(Decision(reason=reason.value, detail=detail, remediation="r1"))
        assert said.endswith(".")
        assert not said.endswith("..")
        assert reason.value not in said or "_" not in reason.value, "words, not our own names"
        assert said.count("because of this") == (detail == "because of this") or reason in (
            Reason.CREATED,
            Reason.JOINED,
            Reason.EXPIRED,
            Reason.RESOLVED,
        )


def test_no_guard_is_named_where_its_reason_says_what_it_found() -> None:
    named = set()
    for found in pkgutil.iter_modules(bridge.guards.__path__):
        module = importlib.import_module(f"bridge.guards.{found.name}")
        named |= {each.name for each in vars(module).values() if isinstance(each, type) and hasattr(each, "name")}
    assert {name for name in named if isinstance(name, str)} == set(GUARDS)
    paused = Decision(reason="paused", detail="suppressed: pause: all is paused by ann: upgrade", remediation="r1")
    assert sentence(paused) == (
        "remediation r1: nothing was done: paused by an operator (all is paused by ann: upgrade)."
    )


@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_outcome_is_not_told_before_the_words_that_tell_it(outcome: Outcome) -> None:
    assert plain(f"{outcome.value}: 3 of 3 are ready") == "3 of 3 are ready"
    assert plain("restart: 3 of 3 are ready") == "restart: 3 of 3 are ready"


def test_what_was_waited_on_is_over_is_told_as_no_new_firing() -> None:
    said = sentence(Decision(reason="created", detail=AGAIN, remediation="r2", runbook="shop/web"))
    assert said == "still firing, so looked at again; runbook shop/web: remediation r2 was created."


def test_a_reason_of_a_newer_version_is_told_as_it_is() -> None:
    assert sentence(Decision(reason="moon_phase", detail="it is full")) == "moon_phase: it is full."
