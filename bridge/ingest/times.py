"""Times on the wire: RFC 3339 to whole microseconds since the epoch. Called by decode for every alert."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

MICROSECOND = 1
SECOND = 1_000_000

ZERO = -62_135_596_800 * SECOND
"""0001-01-01T00:00:00Z, which Go programs send for "no time"."""
LATEST = 7_258_118_400 * SECOND
"""2200-01-01. Later times are refused: the store's scripts count in doubles, exact up to 2^53 microseconds."""

_LONGEST = 64
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,30}))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)


def micros(text: str) -> int:
    """Return the microseconds since the epoch (UTC) of an RFC 3339 time; finer digits are cut.

    Any offset is taken. Raises ValueError for anything else. Senders repeat their times (all alerts of a group,
    every re-send), so that the latest ones are kept.
    """
    if len(text) > _LONGEST:
        raise ValueError("not an RFC 3339 time")
    return _micros(text)


@lru_cache(maxsize=4096)
def _micros(text: str) -> int:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 time")
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    # 60 is a leap second; Go never sends one, others may.
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError("not an RFC 3339 time")
    fraction, sign, offset_hour, offset_minute = match.group(7, 8, 9, 10)
    days = date(year, month, day).toordinal() - _EPOCH_DAY
    total = ((days * 24 + hour) * 60 + minute) * 60 + second
    if sign:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            raise ValueError("not an RFC 3339 time")
        offset = (int(offset_hour) * 60 + int(offset_minute)) * 60
        # Whole numbers, not datetimes: 0001-01-01T00:00:00+05:00 is a time before the first datetime.
        total += offset if sign == "-" else -offset
    return total * SECOND + (int(fraction[:6].ljust(6, "0")) if fraction else 0)
