"""The guards that are asked before anything is read: pause, cooldown, attempts, freshness."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.guards.attempts import AttemptsGuard
from bridge.guards.cooldown import CooldownGuard
from bridge.guards.freshness import FreshnessGuard
from bridge.guards.pause import PauseGuard
from bridge.model.intake import GuardFacts, Pause
from bridge.model.mode import Mode
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation
from bridge.model.target import Target

NOW = 1_700_000_000.0
HOUR = 3600.0


def remediation(**fields: Any) -> Remediation:
    about: dict[str, Any] = {
        "id": "r1",
        "runbook": "netweave/down",
        "target": Target("prod", "Deployment", "shop", "web"),
        "mode": Mode.AUTO,
        "created_at": NOW,
        **fields,
    }
    return Remediation(**about)


def facts(now: float = NOW, **fields: Any) -> GuardFacts:
    return GuardFacts(now=now, **fields)


def pause(scope: str, until: float | None = None) -> Pause:
    return Pause(scope=scope, by="ann", why="migration", since=NOW - 60, until=until)


# -- pause


@pytest.mark.parametrize("scope", ["all", "cluster:prod", "namespace:shop", "runbook:netweave/down"])
def test_a_pause_that_covers_the_run_defers_it_to_its_end(scope: str) -> None:
    verdict = PauseGuard().check(remediation(), facts(pauses=(pause(scope, NOW + 60),)))
    assert (verdict.decision, verdict.reason, verdict.retry_at) == ("defer", Reason.PAUSED, NOW + 60)
    assert "ann" in verdict.detail
    assert "migration" in verdict.detail


@pytest.mark.parametrize(
    "scope", ["cluster:test", "namespace:shop2", "runbook:netweave", "namespace:web", "shop", ""]
)
def test_a_pause_of_something_else_holds_nothing_up(scope: str) -> None:
    assert PauseGuard().check(remediation(), facts(pauses=(pause(scope),))).allowed


def test_a_pause_without_an_end_defers_until_somebody_resumes() -> None:
    verdict = PauseGuard().check(remediation(), facts(pauses=(pause("all"),)))
    assert (verdict.decision, verdict.retry_at) == ("defer", None)


def test_a_pause_that_is_over_is_none() -> None:
    assert PauseGuard().check(remediation(), facts(pauses=(pause("all", NOW),))).allowed


def test_of_several_pauses_the_one_that_lasts_longest_says_when_to_look_again() -> None:
    both = (pause("all", NOW + 10), pause("runbook:netweave/down", NOW + 99), pause("namespace:shop", NOW + 50))
    assert PauseGuard().check(remediation(), facts(pauses=both)).retry_at == NOW + 99
    for_ever = (*both, pause("cluster:prod"))
    assert PauseGuard().check(remediation(), facts(pauses=for_ever)).retry_at is None


# -- cooldown


def test_a_first_run_needs_no_cooldown() -> None:
    assert CooldownGuard().check(remediation(), facts()).allowed


def test_a_run_within_the_cooldown_is_deferred_to_its_end() -> None:
    verdict = CooldownGuard().check(remediation(cooldown=600.0), facts(last_finished_at=NOW - 100))
    assert (verdict.decision, verdict.reason, verdict.retry_at) == ("defer", Reason.COOLDOWN, NOW + 500)


def test_at_its_end_the_cooldown_is_over() -> None:
    """Whoever looks again at the time that was named must not be deferred again."""
    verdict = CooldownGuard().check(remediation(cooldown=600.0), facts(last_finished_at=NOW - 100))
    assert verdict.retry_at is not None
    again = facts(verdict.retry_at, last_finished_at=NOW - 100)
    assert CooldownGuard().check(remediation(cooldown=600.0), again).allowed


# -- attempts


def attempts(most: int, *ago: float, now: float = NOW) -> Verdict:
    made = tuple(NOW - seconds for seconds in sorted(ago, reverse=True))
    return AttemptsGuard().check(remediation(max_attempts=most, attempts_window=HOUR), facts(now, attempts=made))


def test_attempts_beyond_the_most_are_denied_and_page() -> None:
    """Fault 62."""
    verdict = attempts(2, 100.0, 200.0)
    assert (verdict.decision, verdict.reason) == ("deny", Reason.ATTEMPTS_SPENT)
    assert verdict.reason.pages


def test_attempts_before_the_window_do_not_count() -> None:
    assert attempts(2, 100.0, HOUR, 2 * HOUR).allowed


def test_a_route_that_allows_no_attempts_never_runs() -> None:
    verdict = attempts(0)
    assert (verdict.decision, verdict.retry_at) == ("deny", None)


@given(
    most=st.integers(1, 5),
    ago=st.lists(st.floats(0, 2 * HOUR), max_size=12),
)
def test_the_time_to_look_again_is_exactly_when_an_attempt_is_free(most: int, ago: list[float]) -> None:
    """Earlier would page a person a second time for the same thing."""
    verdict = attempts(most, *ago)
    if verdict.allowed:
        assert sum(seconds < HOUR for seconds in ago) < most
        return
    assert verdict.retry_at is not None
    assert verdict.retry_at > NOW
    assert attempts(most, *ago, now=verdict.retry_at + 0.001).allowed
    assert not attempts(most, *ago, now=verdict.retry_at - 0.001).allowed


# -- freshness


def test_a_run_that_waited_too_long_is_skipped_and_its_alert_looked_at_again_at_once() -> None:
    """Fault 69."""
    old = remediation(created_at=NOW - 301, runbook_doc={"expires": 300.0})
    verdict = FreshnessGuard().check(old, facts())
    assert (verdict.decision, verdict.reason, verdict.retry_at) == ("defer", Reason.OUT_OF_DATE, NOW)


def test_a_run_that_can_still_be_started_is() -> None:
    assert FreshnessGuard().check(remediation(created_at=NOW - 300, runbook_doc={"expires": 300.0}), facts()).allowed


def test_the_stores_clock_decides_and_not_the_hosts() -> None:
    """Fault 19. Creation and `now` are both the store's."""
    assert FreshnessGuard().check(remediation(created_at=5000.0), facts(5000.0 + HOUR)).allowed
    assert not FreshnessGuard().check(remediation(created_at=5000.0), facts(5001.0 + HOUR)).allowed


@pytest.mark.parametrize("guard", [PauseGuard(), CooldownGuard(), AttemptsGuard(), FreshnessGuard()])
def test_every_guard_allows_a_fresh_run_and_says_so_with_a_reason(guard: Any) -> None:
    assert guard.check(remediation(), facts()) == Verdict.allow()
    assert guard.name
