"""Argument lists against what is allowed: for commands of this host and for exec in containers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from bridge.model.peers import MORE
from bridge.model.regex import Test, compile_anchored, encode

MOST = 64
LONGEST = 8192
"""Characters of one argument."""


def arguments_match(patterns: Sequence[str], arguments: Sequence[str]) -> bool:
    """Whether there is one argument for each pattern, and each meets its own as a whole (RE2)."""
    fixed = patterns[:-1] if patterns and patterns[-1] == MORE else patterns
    if len(arguments) > MOST or any("\0" in each or len(each) > LONGEST for each in arguments):
        return False
    if len(arguments) < len(fixed) or (fixed is patterns and len(arguments) > len(fixed)):
        return False
    return all(_test(pattern)(encode(each)) for pattern, each in zip(fixed, arguments, strict=False))


@lru_cache(maxsize=512)
def _test(pattern: str) -> Test:
    return compile_anchored(pattern)
