"""The incident report as Markdown, to be pasted into a post-mortem. Pure.

What comes from outside is escaped: a label must not make a heading, a link or a picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from bridge.model.report import Report
from bridge.model.text import printable

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~])")


def markdown(of: Report) -> str:
    """Return the whole report."""
    return "\n".join(_lines(of)) + "\n"


def _lines(of: Report) -> Iterator[str]:
    yield f"# Incident: {_plain(of.title)}"
    yield ""
    yield from _table(_head(of))
    yield from _section("Report", of.told.splitlines())
    yield from _section("Impact", [*of.impact, *_extent(of)])
    yield "## Time line (UTC)"
    yield ""
    for moment in of.timeline:
        who = f" ({_plain(moment.who)})" if moment.who else ""
        yield f"- {_time(moment.at)} {_plain(moment.text)}{who}"
    yield ""
    yield from _section("What was found", of.found)
    yield from _section("What was done", of.done or ([] if of.put_back else ["nothing was changed"]))
    yield from _section("What was put back", of.put_back)
    yield from _section("What was verified", of.proved)
    yield from _section("Who decided", of.people)
    yield from _section("Left to people", of.left_to_people)
    yield from _section("Checklist", of.checklist, mark="- [ ]")


def _head(of: Report) -> Iterator[tuple[str, str]]:
    times = of.times
    yield "Remediation", of.id
    yield "Runbook", f"{of.runbook}: {of.summary}" if of.summary else of.runbook
    if of.source:
        yield "Written runbook", of.source
    if of.severity:
        yield "Severity", of.severity
    yield "Outcome", (of.outcome or "not over yet") + (", escalated" if of.escalated else "")
    yield "Why", of.detail or of.reason or "-"
    yield "Time to detect", _span(times.to_detect)
    yield "Time to respond", _span(times.to_respond)
    yield "Time to resolve", _span(times.to_resolve)


def _extent(of: Report) -> Iterator[str]:
    yield f"targets: {', '.join(of.targets)}"
    lasted = _span(of.duration) if of.duration is not None else "not over yet"
    yield f"lasted, from the alert's start to the end of the remediation: {lasted}"
    if of.incidents:
        fire = f"{of.still_firing} still fire{'s' if of.still_firing == 1 else ''}"
        yield f"alerts: {len(of.incidents)}, of which {fire if of.still_firing else 'none fires any more'}"


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield "| | |"
    yield "|---|---|"
    for name, value in rows:
        yield f"| {name} | {_plain(value)} |"
    yield ""


def _section(title: str, items: Iterable[str], mark: str = "-") -> Iterator[str]:
    lines = [f"{mark} {_plain(item)}" for item in items]
    if lines:
        yield f"## {title}"
        yield ""
        yield from lines
        yield ""


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", printable(" ".join(text.split())))


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}" if at else "-"


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    words = [f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{rest} s" if rest else ""]
    return " ".join(word for word in words if word) or "0 s"
