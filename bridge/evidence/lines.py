"""Count the lines of a log by what they say, as `grep … | sort | uniq -c` does. Pure functions.

RE2 takes time linear in the length of a line, whatever the expression.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import re2
from pydantic import AfterValidator, Field

from bridge.model.redact import redact

_MOST_GROUPS = 20
_LONGEST_GROUP = 200


def check_expression(text: str) -> str:
    """Return the expression; raise ValueError with RE2's words when it is none."""
    try:
        _compile(text)
    except re2.error as error:
        words = error.args[0]
        shown = words.decode(errors="replace") if isinstance(words, bytes) else str(words)
        raise ValueError(f"regular expression `{text}`: {shown}") from None
    return text


Expression = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(check_expression)]
"""A regular expression in RE2's syntax; `(?i)` before it leaves upper and lower case aside."""


def count_matches(wanted: Mapping[str, str], lines: Sequence[str]) -> dict[str, int]:
    """Return how many lines have a match of each expression, by its name."""
    return {name: sum(1 for _ in _found(text, lines)) for name, text in wanted.items()}


def count_groups(wanted: Mapping[str, str], lines: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return for each name how many lines there are by the text of its expression's first group, most first.

    Without a group it is the text of the match. Credentials are taken out of it.
    """
    counted: dict[str, dict[str, int]] = {}
    for name, text in wanted.items():
        group = min(1, _compile(text).groups)
        seen = Counter(redact(match.group(group) or "", longest=_LONGEST_GROUP) for match in _found(text, lines))
        counted[name] = dict(seen.most_common(_MOST_GROUPS))
    return counted


def _found(text: str, lines: Iterable[str]) -> Iterable[Any]:
    search = _compile(text).search
    return (match for line in lines if (match := search(line)))


@lru_cache(maxsize=256)
def _compile(text: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    return re2.compile(text, options)
