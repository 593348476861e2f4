"""Duplicate keys are counted after the answer, within a share of the time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.ingest.duplicates import LONGEST, SAVED, DuplicateKeys, count_duplicates
from bridge.ingest.sampling import LINES, SampledLog
from tests.support.webhooks import RECORDED, body, recorded


def test_keys_given_again_are_counted_at_every_depth() -> None:
    """Fault 35."""
    assert count_duplicates(b'{"a":1,"a":2,"b":{"c":1,"c":2,"c":{"d":NaN,"d":1e999}}}') == 4
    assert count_duplicates(b"[1,") == count_duplicates(b"[" * 100_000) == count_duplicates(b"\xff") == 0
    assert count_duplicates(b'{"a":' + b"9" * 5000 + b',"a":1}') == 1


def test_real_bodies_have_none() -> None:
    assert {count_duplicates(recorded(name)[1]) for name in RECORDED} == {0}


@given(st.binary(max_size=100))
def test_no_bytes_break_it(data: bytes) -> None:
    assert count_duplicates(data) >= 0


def test_a_look_takes_a_share_of_the_time_and_a_quiet_time_pays_it_back() -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += SAVED / 2 + 0.001
        return now[0]

    keys = DuplicateKeys(clock)
    data = body()
    for _ in range(2):
        assert keys.may_look(data)
        assert keys.look(data) == 0
    assert not keys.may_look(data)
    now[0] += 100
    assert keys.may_look(data)


def test_a_long_body_is_not_looked_through() -> None:
    assert not DuplicateKeys().may_look(b" " * (LONGEST + 1))


def test_a_log_line_that_comes_again_and_again_is_left_out_and_counted() -> None:
    import structlog

    now = [0.0]
    sampled = SampledLog(lambda: now[0])
    with structlog.testing.capture_logs() as lines:
        for _ in range(100):
            sampled.warning("x")
        now[0] = 11.0
        sampled.warning("x")
    assert len(lines) == LINES + 1
    assert lines[-1]["left_out"] == 100 - LINES
