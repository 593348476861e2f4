"""Anchored RE2 expressions, one or many at once. Used by matchers and by the routing table's index.

RE2 takes time linear in the length of the value, whatever the expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import re2

from bridge.errors import InvalidInput

Test = Callable[[bytes], bool]

MEMO = 128
"""Values of which one expression, or one index, keeps the answer."""
MEMO_LENGTH = 256
"""Characters of the longest value that is kept."""

_TOGETHER = 16
"""Expressions that are asked with one call; most values meet none of them."""
_BYTE_ESCAPE = re.compile(r"(?:[^\\]|\\[^C])*\\C", re.DOTALL)


def encode(value: str) -> bytes:
    """Return a label's value as RE2 takes it, a lone surrogate too."""
    return value.encode("utf-8", "surrogatepass")


def compile_anchored(expression: str) -> Test:
    """Return a test for whole values; raise InvalidInput with RE2's words."""
    if _BYTE_ESCAPE.match(expression):  # RE2 has it, Go's syntax doesn't
        raise InvalidInput(f"regular expression `{expression}`: invalid escape sequence: `\\C`")
    try:
        return _compile(_anchored(expression))
    except re2.error as error:
        words = error.args[0]
        text = words.decode(errors="replace") if isinstance(words, bytes) else str(words)
        raise InvalidInput(f"regular expression `{expression}`: {text}") from None


def _anchored(expression: str) -> bytes:
    # Put together as Alertmanager does it, so that whatever is odd about that is odd here too.
    return f"^(?:{expression})$".encode()


def _compile(expression: bytes) -> Test:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    # What one expression may take while it matches; one that needs more for its program gets RE2's own default.
    options.max_mem = 1 << 20
    try:
        compiled = re2.compile(expression, options)
    except re2.error:
        options.max_mem = 8 << 20
        compiled = re2.compile(expression, options)
    search = compiled.search
    return lambda value: search(value) is not None


class RegexIndex:
    """Finds which of many expressions a value meets, asking for several of them at a time."""

    def __init__(self, members: Iterable[tuple[int, str, Callable[[str], bool]]]) -> None:
        """Take number, expression and test of each; an expression is one that compiles by itself."""
        every = [*members]
        self._chunks = [
            (_any_of([expression for _, expression, _ in chunk]), [(number, test) for number, _, test in chunk])
            for chunk in (every[at : at + _TOGETHER] for at in range(0, len(every), _TOGETHER))
        ]
        self._memo: dict[str, Sequence[int]] = {}

    def hits(self, value: str) -> Sequence[int]:
        """Return the numbers of the expressions that the value meets, in the order they were given."""
        found = self._memo.get(value)
        if found is None:
            encoded = encode(value)
            found = tuple(
                number
                for any_of, members in self._chunks
                if any_of is None or any_of(encoded)
                for number, test in members
                if test(value)
            )
            if len(value) <= MEMO_LENGTH:
                if len(self._memo) >= MEMO:
                    self._memo.clear()
                self._memo[value] = found
        return found


def _any_of(expressions: list[str]) -> Test | None:
    """Return a test for "at least one of them", or None where together they are too much."""
    try:
        return _compile(b"|".join(b"(?:" + _anchored(expression) + b")" for expression in expressions))
    except re2.error:
        return None
