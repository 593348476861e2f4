"""Pages that are held while a repair runs: against a real Alertmanager, and a real Redis that takes resolves in."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
import pytest

from bridge.errors import TemporaryError
from bridge.model.alert import Alert, fingerprint
from bridge.model.intake import Seen
from bridge.model.mode import Mode
from bridge.model.notice import Due
from bridge.model.remediation import Entry, Outcome, Remediation, State
from bridge.model.silence import ActiveAlert, Silence
from bridge.model.target import Target
from bridge.model.telling import HoldSpec
from bridge.notify.hold import PageHolder
from bridge.outside.alertmanager import CREATED_BY
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside
from bridge.stores import Link, Stores, connect
from bridge.telemetry import Metrics
from tests.support.alertmanager import Alertmanager, start_alertmanager
from tests.support.memory_notices import MemoryNotices
from tests.support.memory_stores import MemoryWork
from tests.support.processes import Processes, until
from tests.support.redis import RedisServer, fresh_options
from tests.support.sink import Sink, open_sink

LABELS = {"alertname": "WebDown", "namespace": "shop", "pod": 'a"b\\c', "severity": "critical"}
NAME = "r1"


class RealClock:
    """The real time, and what a test adds to it."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


class Repair:
    """One repair whose alert fires at Alertmanager, and the job that holds its page."""

    def __init__(self, alertmanager: Alertmanager, silencer: Any, stores: Stores, sink: Sink, spec: HoldSpec) -> None:
        self.alertmanager = alertmanager
        self.sink = sink
        self.clock = RealClock()
        self.metrics = Metrics("test")
        self.work = MemoryWork(self.clock)
        self.notices = MemoryNotices(self.clock, lambda name: len(self.work.rows[name].entries))
        self.stores = stores
        self.spec: HoldSpec | None = spec
        self.start = int(time.time() * 1e6)
        self.silencer = silencer
        self._new_job()

    def _new_job(self) -> None:
        self.job = PageHolder(
            self.notices,
            self.work,
            self.work,
            self.stores.intake,
            self.silencer,
            lambda: self.spec,
            ours=CREATED_BY,
            clock=self.clock,
            metrics=self.metrics,
        )

    another_process = _new_job

    async def begin(self) -> None:
        """The alert fires, here and there, and its repair is let in."""
        await self.alertmanager.fire(LABELS, starts_at=datetime.fromtimestamp(self.start / 1e6, UTC))
        alert = Alert(
            source="am", fingerprint=fingerprint(LABELS), status="firing", starts_at=self.start, labels=LABELS
        )
        assert await self.stores.intake.accept([alert]) == [Seen.NEW]
        made = Remediation(
            id=NAME, runbook="test/restart", target=Target("main", "Deployment", "shop", "web"), mode=Mode.AUTO,
            labels=LABELS, created_at=self.clock.now(),
        )  # fmt: skip
        self.work.add(made, incidents=(alert.incident_id,)).change(state=State.RUNNING)
        self.notices._watch["holds"][NAME] = 0.0
        await self.add("started", "admitted")

    async def add(self, *kinds: str) -> None:
        self.work.rows[NAME].entries += [Entry(kind=kind) for kind in kinds]
        self.notices.news(NAME)
        await self.job.look()

    async def end(self, outcome: Outcome) -> None:
        self.work.rows[NAME].change(state=State.DONE, outcome=outcome)
        await self.add("finished")

    async def later(self, seconds: float) -> None:
        self.clock.ahead += seconds
        await self.job.look()

    async def standing(self) -> list[dict[str, Any]]:
        """Return the silences that stand at Alertmanager."""
        address = f"{self.alertmanager.url}/api/v2/silences"
        async with aiohttp.ClientSession() as session, session.get(address) as response:
            found = await response.json()
        return [each for each in found if each["status"]["state"] == "active"]

    async def lasts(self, silence: dict[str, Any]) -> float:
        """Return for how long a silence still stands by Alertmanager's clock, which is the real one."""
        return datetime.fromisoformat(silence["endsAt"].replace("Z", "+00:00")).timestamp() - time.time()

    def counted(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("alertbridge_page_holds_total", {"result": result}) or 0.0


@pytest.fixture
async def outside() -> AsyncIterator[Callable[[str], Outside]]:
    opened: list[Outside] = []

    def make(url: str) -> Outside:
        opened.append(Outside(OutsideSettings(alertmanager=url, alertmanager_deadline=5.0)))
        return opened[-1]

    yield make
    for each in opened:
        await each.close()


@pytest.fixture
async def repair(
    processes: Processes, redis_server: RedisServer, outside: Callable[[str], Outside]
) -> AsyncIterator[Repair]:
    stores = connect(Link(fresh_options(redis_server.url)))
    async with open_sink() as sink:
        # Long waits for the group: what is silenced by then pages nobody.
        alertmanager = await start_alertmanager(processes, f"{sink.url}/page", group_wait="2s")
        spec = HoldSpec.model_validate({"for": "1m", "at_most": "3m"})
        yield Repair(alertmanager, outside(alertmanager.url).alertmanager, stores, sink, spec)
    await stores.close()


async def test_a_page_is_held_by_a_silence_with_exactly_the_labels(repair: Repair) -> None:
    await repair.begin()
    (silence,) = await repair.standing()
    assert {each["name"]: each["value"] for each in silence["matchers"]} == LABELS
    assert all(each["isEqual"] and not each["isRegex"] for each in silence["matchers"])
    assert silence["createdBy"] == "alertbridge"
    assert NAME in silence["comment"]
    lasts = datetime.fromisoformat(silence["endsAt"].replace("Z", "+00:00")).timestamp() - time.time()
    assert 30 < lasts <= 60
    (alert,) = await repair.alertmanager.alerts()
    assert alert["status"]["state"] == "suppressed"


async def test_a_failed_repair_lets_the_page_out_at_once(repair: Repair) -> None:
    await repair.begin()
    await repair.end(Outcome.FAILED)
    assert await repair.standing() == []
    await repair.sink.wait_for(lambda sink: bool(sink.alerts), seconds=20, what="the page")
    assert repair.sink.alerts[0]["status"] == "firing"
    assert repair.counted("lifted") == 1


async def test_nobody_is_paged_for_what_healed_and_its_end_is_read_from_alertmanager(repair: Repair) -> None:
    await repair.begin()
    await repair.end(Outcome.SUCCEEDED)
    assert len(await repair.standing()) == 1, "what heals needs a moment: the rest of its time"
    await repair.alertmanager.resolve(LABELS, starts_at=datetime.fromtimestamp(repair.start / 1e6, UTC))

    async def gone() -> bool:
        return not await repair.alertmanager.alerts()

    await until(gone, seconds=20, what="the alert's end")
    await repair.later(6)
    assert repair.counted("resolve_read") == 1
    (entry,) = [
        each
        for each in await repair.stores.intake_queue.read("w", count=10, block=0.0)
        if any(one.seen is Seen.RESOLVED for one in each.transitions)
    ]
    ended = entry.transitions[-1].alert
    assert (ended.key, ended.starts_at, ended.labels) == (f"am/{fingerprint(LABELS)}", repair.start, LABELS)
    await repair.later(6)
    assert repair.counted("resolve_read") == 1, "once"
    assert repair.sink.alerts == []


async def test_a_silence_is_renewed_while_the_repair_runs_and_never_beyond_its_bound(repair: Repair) -> None:
    await repair.begin()
    began, renewed = repair.clock.now(), 0.0
    for _ in range(24):
        await repair.later(10)
        if repair.counted("renewed") > renewed:
            renewed = repair.counted("renewed")
            (silence,) = await repair.standing()
            # What was made now ends by the bound, in the time that passes here.
            assert repair.clock.now() - began + await repair.lasts(silence) <= 183
    assert 2 <= renewed <= 8
    assert repair.counted("created") == 1


async def test_by_a_clock_of_ours_that_is_wrong_a_silence_lasts_no_longer(repair: Repair) -> None:
    """Fault 19: an hour ahead, and an hour behind."""
    for off in (3600.0, -3600.0):
        repair.clock.ahead = off
        await (repair.begin() if off > 0 else repair.add("approved"))
        (silence,) = await repair.standing()
        assert 30 < await repair.lasts(silence) <= 61
        await repair.add("asked")
        assert await repair.standing() == []


async def test_a_silence_that_was_made_in_the_moment_of_a_death_is_lifted_too(repair: Repair) -> None:
    """It was made, and the process died before anybody could write down that it was."""
    keep = repair.notices.keep

    async def die_once(watch: str, due: Due, kept: bytes, **more: Any) -> bool:
        if b'"silence"' in kept:
            repair.notices.keep = keep
            raise ConnectionResetError("died")
        return await keep(watch, due, kept, **more)

    repair.notices.keep = die_once
    await repair.begin()
    assert len(await repair.standing()) == 1
    await repair.alertmanager.silence(LABELS, comment=f"remediation {NAME}, a person's own")
    repair.another_process()
    await repair.end(Outcome.FAILED)
    await repair.later(31)
    assert [each["createdBy"] for each in await repair.standing()] == ["test"]


async def test_a_new_process_makes_no_second_silence_beside_one_that_nobody_knows(repair: Repair) -> None:
    await repair.begin()
    repair.notices._kept["holds", NAME] = (9, b'{"began":1.0}')
    repair.another_process()
    await repair.later(6)
    assert len(await repair.standing()) == 1


async def test_an_alertmanager_that_cannot_be_asked_is_asked_again_until_the_silence_is_lifted(
    repair: Repair,
) -> None:
    class Deaf:
        """It takes no order to lift."""

        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        async def lift(self, silence: str) -> None:
            raise TemporaryError("Alertmanager: no answer")

    await repair.begin()
    real, repair.silencer = repair.silencer, Deaf(repair.silencer)
    repair.another_process()
    await repair.end(Outcome.FAILED)
    assert len(await repair.standing()) == 1
    repair.silencer = real
    repair.another_process()
    await repair.later(6)
    assert await repair.standing() == []


async def test_another_process_knows_of_the_silence_and_lifts_it(repair: Repair) -> None:
    await repair.begin()
    repair.another_process()
    await repair.end(Outcome.UNKNOWN)
    assert await repair.standing() == []


async def test_a_question_to_people_lets_the_page_out(repair: Repair) -> None:
    await repair.begin()
    await repair.add("asked")
    assert await repair.standing() == []
    await repair.add("approved")
    assert len(await repair.standing()) == 1


async def test_what_was_turned_off_lifts_what_stands(repair: Repair) -> None:
    await repair.begin()
    repair.spec = None
    await repair.add("applying")
    assert await repair.standing() == []


async def test_a_restart_of_alertmanager_is_not_taken_for_an_end(repair: Repair) -> None:
    class Restarted:
        """It forgot the alert, and says that it has just started."""

        def __init__(self, real: Any) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        async def alerts(self, matchers: Any) -> list[ActiveAlert]:
            return []

        async def started_at(self) -> float:
            return time.time() + 1e6

    await repair.begin()
    repair.silencer = Restarted(repair.silencer)
    repair.another_process()
    await repair.later(6)
    assert repair.counted("resolve_read") == 0


async def test_an_alertmanager_that_is_away_costs_the_repair_nothing(repair: Repair) -> None:
    class Away:
        async def alerts(self, matchers: Any) -> list[ActiveAlert]:
            raise TemporaryError("Alertmanager: away")

        async def silences(self) -> list[Silence]:
            raise TemporaryError("Alertmanager: away")

    real, repair.silencer = repair.silencer, Away()
    repair.another_process()
    await repair.begin()
    assert repair.counted("failed") == 1
    repair.silencer = real
    repair.another_process()
    await repair.later(6)
    assert len(await repair.standing()) == 1


async def test_only_alerts_that_fire_there_are_silenced(repair: Repair) -> None:
    """An incident of another sender, or one that is over, gets no silence."""
    await repair.begin()
    await repair.end(Outcome.FAILED)
    row = repair.work.rows[NAME]
    row.change(state=State.RUNNING, outcome=None)
    row.view = msgspec.structs.replace(row.view, open_incidents=("grafana/0123456789abcdef/1",))
    await repair.add("applying")
    assert await repair.standing() == []
