"""How long an alert goes on firing after what it tells of is over: what its rule looks back on.

Pure functions over the text of PromQL (Prometheus' documentation, querying basics): not a parser, a reader of ranges.
Where it is not sure it reads more, and the wait that is made of it has a bound of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

DEPTH = 5
"""Recording rules that stand on recording rules are followed so deep."""

_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)"""
    r"""|(?P<comment>\#[^\n]*)"""
    r"""|(?P<range>\[\s*(?P<span>[0-9][0-9a-z]*)\s*(?::\s*(?:[0-9][0-9a-z]*)?\s*)?\])"""
    r"""|(?P<offset>\boffset\s+(?P<back>-?\s*[0-9][0-9a-z]*))"""
    r"""|(?P<open>[({])|(?P<close>[)}])"""
    r"""|(?P<name>[A-Za-z_:][A-Za-z0-9_:]*)""",
    re.X | re.I,
)
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_PART = re.compile(r"([0-9]+)(ms|[smhdwy])")


class Recorded(msgspec.Struct, frozen=True):
    """What a recording rule stands for."""

    query: str
    interval: float = 0.0
    """How often it is evaluated, in seconds: so much older its value may be."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """An alerting rule as Prometheus tells it. Durations are seconds."""

    name: str
    query: str
    for_seconds: float = 0.0
    keep_firing_seconds: float = 0.0
    interval: float = 60.0
    """How often it is evaluated."""
    labels: Mapping[str, str] = {}
    """What the rule adds to those of its samples."""
    recorded: Mapping[str, Recorded] = {}
    """Recording rules by name, for what the query reads of them."""

    @property
    def range_seconds(self) -> float:
        """How far back the query looks."""
        return reach(self.query, self.recorded)


def decay(rule: Rule, *, group_interval: float = 0.0, margin: float = 30.0) -> float:
    """Return for how many seconds after its end an alert of this rule may still be told as firing."""
    return rule.range_seconds + rule.keep_firing_seconds + 2 * rule.interval + group_interval + margin


def duration(text: str) -> float:
    """Return the seconds of a duration of Prometheus, e.g. `1h30m`; 0 for what is none."""
    negative = text.lstrip().startswith("-")
    found = sum(int(number) * _UNIT[unit] for number, unit in _PART.findall(text.lower()))
    return -found if negative else found


def reach(query: str, recorded: Mapping[str, Recorded] | None = None, depth: int = DEPTH) -> float:
    """Return how many seconds back a query looks: its ranges, those of subqueries on top of those inside, offsets.

    What a recording rule of `recorded` looks back on counts where its name stands, with its own interval.
    """
    levels: list[float] = [0.0]
    """The furthest of each bracket that is open."""
    last = 0.0
    """Of the operand that stands just before."""
    for token in _TOKEN.finditer(query):
        if token["span"]:
            last += duration(token["span"])
        elif token["back"]:
            last += max(0.0, duration(token["back"]))
        elif token["open"]:
            levels.append(0.0)
            if token["open"] == "(":
                last = 0.0
            continue
        elif token["close"]:
            last = max(last, levels.pop()) if len(levels) > 1 else last
        elif token["name"] and depth and recorded and token["name"] in recorded:
            behind = recorded[token["name"]]
            last = behind.interval + reach(behind.query, recorded, depth - 1)
        elif token["name"] and not token["string"]:
            last = 0.0
        levels[-1] = max(levels[-1], last)
    return levels[0]


def shortened(query: str, seconds: float) -> str:
    """Return the query with every range (and offset) cut to the last so many seconds: what it says of them alone."""
    most = f"{max(1, int(seconds))}s"
    return "".join(_cut(query, seconds, most))


def alone(
    query: str, seconds: float, recorded: Mapping[str, Recorded] | None = None, *, judged: bool = True
) -> str | None:
    """Return what asks the same of the last so many seconds alone; None where a cut would ask something else.

    So it is with what is recorded already, with an offset, with what says that there is nothing, and with a total
    over the range that is wrong when it is small: over less time it is smaller. Without `judged` the query itself
    does not say what is wrong, so that any total may be such a one.
    """
    cut = shortened(query, seconds)
    beyond = reach(cut, recorded) - seconds
    if 0 < beyond < seconds:
        # What is inside a subquery looks back further still.
        cut = shortened(query, seconds - beyond)
    if reach(cut, recorded) > seconds:
        return None
    bare = _PLAIN.sub(" ", query)
    total = _TOTAL.search(bare) and (not judged or _SMALL.search(bare))
    return None if cut != query and (total or _NOTHING.search(bare)) else cut


_PLAIN = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`|\#[^\n]*|\{[^{}]*\})""")
"""Strings, comments and selectors: no operator stands in them."""
_NOTHING = re.compile(r"\b(absent|absent_over_time|unless|offset)\b", re.I)
_TOTAL = re.compile(r"\b(increase|delta|changes|resets|(count|sum)_over_time)\b", re.I)
_SMALL = re.compile(r"<|==|!=|-")


def _cut(query: str, seconds: float, most: str) -> Iterator[str]:
    at = 0
    for token in _TOKEN.finditer(query):
        group = "span" if token["span"] else "back" if token["back"] else ""
        if not group or duration(token[group]) <= seconds:
            continue
        begin, end = token.span(group)
        # An offset looks before the repair: nothing of it is left.
        yield query[at:begin] + (most if group == "span" else "0s")
        at = end
    yield query[at:]


def is_about(rule: Rule, sample: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a sample of the rule's query is of the alert with these labels."""
    own = {name: value for name, value in sample.items() if name != "__name__" and name not in rule.labels}
    return all(labels.get(name) == value for name, value in own.items())
