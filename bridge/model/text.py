"""Text from outside, made fit for one line of a terminal or a log."""

from __future__ import annotations

import re

# C0 and C1 controls, DEL, the Unicode line separators, bidirectional overrides and lone surrogates: what could
# end a line, colour a terminal or turn its text around.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Return `text` with everything escaped that would end a line or steer a terminal."""
    return _UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape", "backslashreplace").decode(), text)
