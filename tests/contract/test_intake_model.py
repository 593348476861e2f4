"""The intake against a model of its rules in plain Python (decisions 1 to 3 of the design), on any history."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.model.alert import Alert
from bridge.model.intake import Seen
from bridge.stores import Link, connect
from tests.support.alerts import START, entries, firing, resolved
from tests.support.redis import RedisServer, fresh_options

SKEW = 90
"""Seconds; between whole minutes, so that what the test itself takes decides nothing."""


@dataclass
class Known:
    """What the model remembers of one alert. Times as in the alerts; `held_at` by the store's clock."""

    state: str
    start: int
    end: int = 0
    held_at: float = 0.0


class Model:
    def __init__(self) -> None:
        self.known: dict[str, Known] = {}

    def sees(self, alert: Alert, now: float) -> Seen:
        known = self.known.get(alert.key)
        return self._fires(alert, known, now) if alert.status == "firing" else self._resolves(alert, known)

    def _fires(self, alert: Alert, known: Known | None, now: float) -> Seen:
        if known is None:
            self.known[alert.key] = Known("open", alert.starts_at)
            return Seen.NEW
        if known.state == "open":
            if alert.starts_at <= known.start:
                return Seen.DUPLICATE
            known.start = alert.starts_at
            return Seen.SUPERSEDES
        if alert.starts_at > known.end:
            known.state, known.start = "open", alert.starts_at
            return Seen.NEW
        if known.state == "closed":
            known.state, known.start, known.held_at = "held", alert.starts_at, now
            return Seen.HELD
        known.start = max(known.start, alert.starts_at)
        if now - known.held_at <= SKEW:
            return Seen.HELD
        known.state = "open"
        return Seen.REOPENED

    def _resolves(self, alert: Alert, known: Known | None) -> Seen:
        if known is None:
            self.known[alert.key] = Known("closed", alert.starts_at, alert.ends_at)
            return Seen.TOMBSTONE
        if known.state == "open":
            if alert.ends_at < known.start or alert.ends_at <= known.end:
                return Seen.STALE
            known.state, known.end = "closed", alert.ends_at
            return Seen.RESOLVED
        if alert.ends_at > known.end:
            known.state, known.end = "closed", alert.ends_at
        return Seen.DUPLICATE


_steps = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.booleans(),
        st.integers(0, 6),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=6,
)
# Whole minutes pass between requests.
_histories = st.lists(st.tuples(st.integers(0, 4), _steps), min_size=1, max_size=12)


@pytest.mark.parametrize("refresh", [0, 1000], ids=["every-refresh-written", "refresh-left-out"])
def test_any_history_is_seen_as_the_rules_say(each_redis: RedisServer, refresh: int) -> None:
    async def run(history: list[tuple[int, list[tuple[str, bool, int, int]]]]) -> None:
        options = fresh_options(each_redis.url, refresh=refresh, skew=SKEW)
        model, minutes, stored = Model(), 0, []
        for wait, steps in history:
            minutes += wait
            alerts = [_alert(*step) for step in steps]
            expected = [model.sees(alert, minutes * 60) for alert in alerts]
            now = msgspec.structs.replace(options, clock_offset_ms=minutes * 60_000)
            stores = connect(Link(now))
            try:
                assert await stores.intake.accept(alerts) == expected
                for entry in await entries(stores):
                    stored += [(t.alert, t.seen, t.seq) for t in entry.transitions]
            finally:
                await stores.close()
            work = [(a, seen) for a, seen in zip(alerts, expected, strict=True) if seen.stored]
            assert [(a, seen) for a, seen, _ in stored[len(stored) - len(work) :]] == work
        assert [seq for _, _, seq in stored] == sorted({seq for _, _, seq in stored})

    @settings(max_examples=60, deadline=None)
    @given(_histories)
    def check(history: list[tuple[int, list[tuple[str, bool, int, int]]]]) -> None:
        asyncio.run(run(history))

    check()


def _alert(name: str, fires: bool, start: int, length: int) -> Alert:
    begin = START + start * 1_000_000
    return firing(name, start=begin) if fires else resolved(name, start=begin, end=begin + length * 1_000_000)
