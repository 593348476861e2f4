"""Guards about time: hold-off, maintenance, silences, and how often anything may run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.engine.silenced import Silenced
from bridge.errors import TemporaryError
from bridge.guards.cooldown import CooldownGuard
from bridge.guards.freshness import FreshnessGuard
from bridge.guards.hold_off import HoldOffGuard
from bridge.guards.maintenance import MaintenanceGuard
from bridge.guards.run_limits import RunLimitsGuard
from bridge.guards.silence import SilenceGuard
from bridge.model.intake import GuardFacts
from bridge.model.maintenance import Maintenance
from bridge.model.mode import Mode
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, Remediation, State
from bridge.model.run_limits import RunLimits, RunLimitSettings
from bridge.model.silence import ActiveAlert, Silence
from bridge.model.target import Target
from tests.support.bench import Bench

NOW = 1_700_000_000.0
HOUR = 3600.0


def remediation(**fields: Any) -> Remediation:
    about: dict[str, Any] = {"mode": Mode.AUTO, "created_at": NOW, "received_at": NOW, **fields}
    return Remediation(id="r1", runbook="r", target=Target("", "Deployment", "shop", "web"), **about)


def facts(now: float = NOW, **fields: Any) -> GuardFacts:
    return GuardFacts(now=now, **fields)


# -- hold-off


@pytest.mark.parametrize(("after", "allowed"), [(0, False), (299, False), (300, True), (4000, True)])
def test_hold_off_is_over_so_long_after_the_firing_was_received(after: float, allowed: bool) -> None:
    verdict = HoldOffGuard().check(remediation(hold_off=300.0), facts(NOW + after))
    assert verdict.allowed is allowed
    if not allowed:
        assert (verdict.reason, verdict.retry_at) == (Reason.HOLD_OFF, NOW + 300)


def test_what_has_fired_for_long_is_not_held_off_again_and_a_person_never() -> None:
    later = remediation(hold_off=300.0, received_at=NOW - 400)
    assert HoldOffGuard().check(later, facts()).allowed
    assert HoldOffGuard().check(remediation(hold_off=300.0, requested_by="ann"), facts()).allowed


def test_time_to_wait_for_a_worker_begins_after_the_hold_off() -> None:
    held = remediation(hold_off=2 * HOUR, runbook_doc={"expires": HOUR})
    assert FreshnessGuard().check(held, facts(NOW + 2.5 * HOUR)).allowed
    assert not FreshnessGuard().check(held, facts(NOW + 3.5 * HOUR)).allowed


async def test_run_that_is_held_off_parks_and_acts_when_it_still_fires() -> None:
    bench = Bench()
    bench.entry_guards = [HoldOffGuard()]
    bench.add(hold_off=300.0, received_at=bench.clock.now())
    view = await bench.stretch()
    assert (view.state, view.due_at) == (State.PARKED, bench.clock.now() + 300)
    assert bench.entries()[-1].reason == "hold_off"
    assert not bench.writes
    assert await bench.run() == (Outcome.SUCCEEDED, Reason.VERIFIED)


async def test_a_resolve_while_it_is_held_off_cancels() -> None:
    bench = Bench()
    bench.entry_guards = [HoldOffGuard()]
    bench.add(hold_off=300.0, received_at=bench.clock.now())
    await bench.stretch()
    bench.work.resolve("r1")
    assert await bench.run() == (Outcome.CANCELLED, Reason.RESOLVED)
    assert not bench.writes


# -- maintenance


def window(**fields: Any) -> Maintenance:
    about = {"name": "move", "begins": "2023-11-14T22:00:00Z", "ends": "2023-11-15T00:30:00+01:00", **fields}
    return Maintenance.model_validate(about)


@pytest.mark.parametrize(("at", "covered"), [(-800.1, False), (-800, True), (0, True), (4599.9, True), (4600, False)])
def test_maintenance_defers_to_its_end(at: float, covered: bool) -> None:
    # 22:00 to 23:30 UTC; NOW is 22:13:20.
    verdict = MaintenanceGuard(lambda: [window()]).check(remediation(), facts(NOW + at))
    assert verdict.allowed is not covered
    if covered:
        assert (verdict.reason, verdict.retry_at) == (Reason.MAINTENANCE, NOW + 4600)


def test_maintenance_covers_what_its_matchers_match() -> None:
    guard = MaintenanceGuard(lambda: [window(matchers=['namespace="shop"', 'severity!="critical"'])])
    assert not guard.check(remediation(labels={"namespace": "shop"}), facts()).allowed
    assert guard.check(remediation(labels={"namespace": "bank"}), facts()).allowed
    assert guard.check(remediation(labels={"namespace": "shop", "severity": "critical"}), facts()).allowed


@pytest.mark.parametrize("fields", [{"begins": "2023-11-14T22:00:00"}, {"ends": "2023-11-14T21:00:00Z"}])
def test_maintenance_that_is_no_span_of_time_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        window(**fields)


# -- silences

LABELS = {"alertname": "WebDown", "namespace": "shop"}


class Manager:
    """Alertmanager's part, by what the test says."""

    def __init__(self) -> None:
        self.known = [ActiveAlert(fingerprint="f", labels=LABELS, silenced_by=("s1",))]
        self.stand = [Silence(id="s1", created_by="ann", comment="moving it", ends_at=NOW + 60)]
        self.error: Exception | None = None

    async def alerts(self, matchers: Mapping[str, str]) -> list[ActiveAlert]:
        if self.error:
            raise self.error
        return self.known

    async def silences(self) -> Sequence[Silence]:
        return self.stand


def silenced_bench(manager: Manager) -> Bench:
    bench = Bench()
    bench.entry_guards = [SilenceGuard()]
    bench.silences = Silenced(manager, ours="alertbridge")  # type: ignore[arg-type]
    bench.add(labels=LABELS)
    return bench


async def test_silenced_alert_is_left_alone_and_told_by_whom() -> None:
    bench = silenced_bench(Manager())
    assert await bench.run() == (Outcome.SUPPRESSED, Reason.SILENCED)
    assert "ann: moving it (s1)" in bench.view().detail
    assert bench.work.rows["r1"].wait_until is not None


async def test_our_own_silence_holds_nothing_up() -> None:
    manager = Manager()
    manager.stand = [Silence(id="s1", created_by="alertbridge")]
    assert await silenced_bench(manager).run() == (Outcome.SUCCEEDED, Reason.VERIFIED)


async def test_silence_of_an_alert_with_more_labels_is_not_ours() -> None:
    manager = Manager()
    manager.known = [ActiveAlert(fingerprint="g", labels={**LABELS, "pod": "a"}, silenced_by=("s1",))]
    assert await silenced_bench(manager).run() == (Outcome.SUCCEEDED, Reason.VERIFIED)


async def test_when_alertmanager_cannot_be_asked_nothing_is_changed_and_it_is_asked_again_soon() -> None:
    manager = Manager()
    manager.error = TemporaryError("Alertmanager: refused")
    bench = silenced_bench(manager)
    assert await bench.run() == (Outcome.SUPPRESSED, Reason.SILENCES_UNKNOWN)
    assert bench.work.rows["r1"].wait_until == bench.clock.now() + 60


# -- how often


def limits(**fields: Any) -> RunLimitsGuard:
    none = RunLimits()
    settings = RunLimitSettings(**{"alert": none, "target": none, "runbook": none, **fields})
    return RunLimitsGuard(lambda: settings)


@pytest.mark.parametrize("sort", ["alert", "target", "runbook"])
def test_runs_of_an_hour_and_of_a_day_are_bounded(sort: str) -> None:
    """Fault 62: whatever fires, a target is not mended for ever."""
    guard = limits(**{sort: RunLimits(hour=2, day=3)})
    runs = (NOW - 5 * HOUR, NOW - 1800.0)
    assert guard.check(remediation(), facts(runs={sort: runs})).allowed
    hour = guard.check(remediation(), facts(runs={sort: (*runs, NOW - 60)}))
    assert (hour.decision, hour.reason) == ("deny", Reason.ATTEMPTS_SPENT)
    assert hour.retry_at == NOW - 1800 + HOUR
    day = guard.check(remediation(), facts(runs={sort: (NOW - 5 * HOUR, NOW - 4 * HOUR, NOW - 3 * HOUR)}))
    assert (day.reason, day.retry_at) == (Reason.ATTEMPTS_SPENT, NOW + 19 * HOUR)
    assert sort in day.detail
    other = {"alert": "target", "target": "runbook", "runbook": "alert"}[sort]
    assert guard.check(remediation(), facts(runs={other: (*runs, NOW - 60)})).allowed


def test_cooldown_of_a_target_counts_whatever_ran_there() -> None:
    """Fault 68."""
    guard = limits(target=RunLimits(cooldown=600.0))
    verdict = guard.check(remediation(), facts(runs={"target": (NOW - 60,)}))
    assert (verdict.decision, verdict.reason, verdict.retry_at) == ("defer", Reason.COOLDOWN, NOW + 540)
    assert guard.check(remediation(), facts(runs={"target": (NOW - 601,)})).allowed


def test_without_a_cooldown_what_another_worker_began_this_very_moment_holds_nobody_up() -> None:
    """It is counted by the store, whose time may be later than what the guard takes for now."""
    just_now = dict.fromkeys(("alert", "target", "runbook"), (NOW + 0.004,))
    assert limits().check(remediation(), facts(runs=just_now)).allowed
    assert CooldownGuard().check(remediation(cooldown=0.0), facts(last_finished_at=NOW + 0.004)).allowed
    assert not CooldownGuard().check(remediation(cooldown=60.0), facts(last_finished_at=NOW + 0.004)).allowed


async def test_spent_attempts_page_once_and_not_for_each_alert() -> None:
    """Fault 52."""
    bench = Bench()
    bench.entry_guards = [limits(target=RunLimits(hour=1))]
    bench.guardbook.known["runs"] = {"target": (bench.clock.now() - 60,)}
    for name in ("r1", "r2", "r3"):
        bench.add(name=name)
        assert await bench.run(name) == (Outcome.DENIED, Reason.ATTEMPTS_SPENT)
    assert [bench.view(name).escalated for name in ("r1", "r2", "r3")] == [True, False, False]
    bench.clock.advance(4 * HOUR)
    bench.guardbook.known["runs"] = {"target": (bench.clock.now() - 60,)}
    bench.add(name="r4")
    await bench.run("r4")
    assert bench.view("r4").escalated
