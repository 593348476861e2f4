"""Times on the wire become whole microseconds."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.ingest.times import ZERO, micros

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(
    st.datetimes(timezones=st.just(UTC)),
    st.integers(-1439, 1439),
)
def test_every_time_with_every_offset_is_read_as_datetime_reads_it(moment: datetime, minutes: int) -> None:
    shifted = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    expected = (moment - EPOCH) // timedelta(microseconds=1) - minutes * 60_000_000
    assert micros(shifted.isoformat()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001999Z", 1),
        ("1970-01-01T00:00:00.999999999Z", 999_999),
        ("1970-01-01T00:00:00.5Z", 500_000),
        ("1970-01-01t00:00:01z", 1_000_000),
        ("1970-01-01T05:30:00+05:30", 0),
        ("1969-12-31T16:00:00-08:00", 0),
        ("0001-01-01T00:00:00Z", ZERO),
        ("0001-01-01T00:00:00+05:00", ZERO - 5 * 3600 * 1_000_000),
        ("9999-12-31T23:59:59-23:59", micros("9999-12-31T23:59:59Z") + 86_340_000_000),
        ("2016-12-31T23:59:60Z", micros("2017-01-01T00:00:00Z")),
    ],
)
def test_finer_digits_are_cut_and_offsets_are_taken(text: str, expected: int) -> None:
    assert micros(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-20",
        "2026-11-20T18:43:07",
        "2026-11-20T24:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-11-20T18:43:07.Z",
        "2026-11-20T18:43:07+24:00",
        "２０２６-11-20T18:43:07Z",
        "2026-11-20T18:43:07Z\n",
        "2026-11-20T18:43:07." + "1" * 1_000_000 + "Z",
    ],
)
def test_what_is_no_rfc3339_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|month|day|year"):
        micros(text)


@given(st.text(max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(micros(text), int)
