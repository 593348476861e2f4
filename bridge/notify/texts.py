"""The words of a message: templates with CEL, filled with what is known of a remediation. Pure.

The engine is the one of the runbooks (bridge.configuration.expressions). Templates come from the configuration alone;
labels, annotations and what a cluster said are data: nothing of them is evaluated, they are bounded, and characters
that steer terminals or turn texts around are written out. Markup is the channel's: bridge.outside.notify declares
plain text, which the service's own escaping keeps literal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import structlog

from bridge.configuration.expressions import template
from bridge.errors import InvalidInput, UnknownValue
from bridge.model import kinds
from bridge.model.approval import standing_of
from bridge.model.notice import Ack, Event
from bridge.model.outside import Message
from bridge.model.plan_text import plan_lines
from bridge.model.redact import mask, redact
from bridge.model.remediation import Entry, Outcome, RemediationView, begun_steps
from bridge.model.telling import Notify, TemplateSpec
from bridge.model.text import printable
from bridge.notify.account import account, stands

log = structlog.get_logger(__name__)

TITLE = "[${severity}] ${headline}: ${alert != '' ? alert : runbook} on ${target}"
# What matters comes first: services cut what is too long for them.
TEXT = """${detail}

${next}
${link}

${account}

${report}

Alert: ${alert}
Runbook: ${runbook}
Remediation: ${remediation.id}, ${elapsed} after it was asked for
Reason: ${reason}

${plan != '' ? 'Plan:' : ''}
${plan}"""
_AFTERWARDS = """${detail}

${next}
${link}

Alert: ${alert}
Runbook: ${runbook}
Remediation: ${remediation.id}, ${elapsed} after it was asked for"""
"""When everything else was told before."""
_MOST_LINES = 80
_LONGEST_LINE = 300
_LONGEST_VALUE = 500
_MOST_TEXT = 7500
"""Characters; the channel cuts at 8000."""
_HEADLINES = {
    Event.STARTED: "repair begins",
    Event.WAITING: "waits for approval",
    Event.UPDATE: "repair still runs",
    Event.DONE: "repair ended",
    Event.OBSERVED: "planned, nothing was changed",
    Event.ESCALATED: "a person is needed",
    Event.ACKNOWLEDGED: "acknowledged",
    Event.RESOLVED: "resolved",
}
_LEVELS = {
    Event.WAITING: "warning",
    Event.UPDATE: "info",
    Event.ESCALATED: "failure",
    Event.ACKNOWLEDGED: "info",
    Event.RESOLVED: "success",
}
_AFTER = frozenset({Event.ACKNOWLEDGED, Event.RESOLVED})
_SIGNS = {Event.RESOLVED: "resolve"}


def message(
    rules: Notify,
    view: RemediationView,
    entries: Sequence[Entry],
    event: Event,
    *,
    now: float,
    external_url: str,
    level: str = "",
    unreached: str = "",
    ack: Ack | None = None,
    kept: Mapping[str, Any] | None = None,
) -> Message:
    """Return the message for an event; never raises for what is in the remediation.

    `unreached` is the level of the ladder that was called before, on channels that all fail; `kept` is the evidence
    document of the remediation.
    """
    known = variables(
        rules, view, entries, event, now=now, external_url=external_url, level=level, ack=ack, kept=kept
    )
    if unreached:
        known["detail"] = (
            f"{known['detail']} {_data(unreached)} was called first, and no message arrived there.".strip()
        )
    given = rules.templates.get(event, TemplateSpec())
    return Message(
        title=_one_line(_filled(given.title, TITLE, known)),
        text=_tidy(_filled(given.text, _AFTERWARDS if event in _AFTER else TEXT, known)),
        level=_level(event, view),
        thread=view.remediation.id,
        sign=_SIGNS.get(event, ""),
        link=known["link"],
    )


def variables(
    rules: Notify,
    view: RemediationView,
    entries: Sequence[Entry],
    event: Event,
    *,
    now: float,
    external_url: str,
    level: str,
    ack: Ack | None,
    kept: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what a template may name."""
    made = view.remediation
    page = external_url and f"{external_url}/r/{made.id}"
    return {
        "event": event.value,
        "headline": _headline(event, view, level),
        "severity": rules.severity.of(made.runbook, made.labels, made.severity).value,
        "level": level,
        "remediation": {
            "id": made.id,
            "mode": made.mode.value,
            "state": view.state.value,
            "outcome": view.outcome.value if view.outcome else "",
            "route": made.route,
            "requested_by": _data(made.requested_by),
        },
        "runbook": made.runbook,
        "target": _data(_targets(view)),
        "alert": _data(made.labels.get("alertname", "")),
        "labels": {name: _data(value) for name, value in made.labels.items()},
        "annotations": {name: _data(value) for name, value in made.annotations.items()},
        "reason": view.reason or "-",
        "detail": _detail(event, view, entries, ack),
        "plan": "\n".join(_plan(event, view, entries)),
        "found": "\n".join(_told(entry.text) for entry in entries if entry.kind in (kinds.EVIDENCE, kinds.SCENARIO)),
        "report": _report(entries),
        "account": account(view, entries, kept or {}),
        "elapsed": _span(now - made.created_at),
        "link": page,
        "next": _next(event, view, entries),
        "by": _data(ack.by) if ack else "",
        "why": _data(ack.why) if ack else "",
    }


def _filled(given: str, built_in: str, known: Mapping[str, Any]) -> str:
    """Return a template with its values; one that asks for what is not known gives way to the built-in one."""
    if given:
        try:
            return str(template(given).render(known))
        except (UnknownValue, InvalidInput) as error:
            log.warning("a template of a message could not be filled: the built-in one is used", error=str(error))
    return str(template(built_in).render(known))


def _headline(event: Event, view: RemediationView, level: str) -> str:
    if event is Event.DONE and view.outcome is not None:
        ends = {Outcome.SUCCEEDED: "repaired", Outcome.UNDONE: "put back", Outcome.CANCELLED: "cancelled"}
        undone = view.outcome is Outcome.SUCCEEDED and view.remediation.undo_of
        return "put back" if undone else ends.get(view.outcome, view.outcome.value)
    return f"{_HEADLINES[event]} ({_data(level)})" if level else _HEADLINES[event]


def _level(event: Event, view: RemediationView) -> str:
    if event is Event.DONE:
        return "success" if view.outcome is Outcome.SUCCEEDED else "warning"
    return _LEVELS.get(event, "info")


def _detail(event: Event, view: RemediationView, entries: Sequence[Entry], ack: Ack | None) -> str:
    if event is Event.ACKNOWLEDGED and ack is not None:
        return f"{_data(ack.by)} has taken it on{': ' if ack.why else ''}{_data(ack.why)}. Nobody further is called."
    if event is Event.RESOLVED:
        return "Every alert that asked for it has resolved. Nobody further is called."
    if view.outcome is not None:
        fires_on = event is Event.ESCALATED and view.outcome is Outcome.SUCCEEDED
        return (
            f"It was called mended, and its alert fires on since. {_told(view.detail)}"
            if fires_on
            else _told(view.detail)
        )
    return _told(next((entry.text for entry in reversed(entries) if entry.text), ""))


def _next(event: Event, view: RemediationView, entries: Sequence[Entry]) -> str:
    name = view.remediation.id
    question = standing_of(entries).question
    if event is Event.WAITING and question is not None:
        # Just this plan: whoever answers an old message must not agree to what came after it.
        answer = f"{name} --plan {question.digest}"
        return f"alertbridge approve {answer}, or alertbridge deny {answer}"
    if event is Event.ESCALATED:
        commands = [
            f"alertbridge ack {name}   (you take it on: nobody further is called)",
            f"alertbridge show {name}",
        ]
        if stands(view, entries):
            commands.append(f"alertbridge undo {name}   (puts back what it changed)")
        return "\n".join(commands)
    return f"alertbridge show {name}"


def _targets(view: RemediationView) -> str:
    first, *more = (str(target) for target in view.remediation.all_targets)
    return f"{first} and {len(more)} more" if more else first


def _plan(event: Event, view: RemediationView, entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the plans as `kubectl diff` shows them, without what may not be shown, and cut."""
    left = _MOST_LINES
    asked = standing_of(entries).question if event is Event.WAITING else None
    plans: dict[str, Entry] = {}
    for entry in entries:
        key = str(entry.data.get("step", ""))
        if "plan" in entry.data and (asked is None or asked.plans.get(key) == entry.data.get("hash")):
            plans[key] = entry
    if plans and view.outcome is not None and not plans.keys() & begun_steps(entries):
        yield "Nothing of this was made:"
    for entry in plans.values():
        for line in plan_lines(mask(entry.data["plan"])):
            if not left:
                yield "(more: see `alertbridge show`)"
                return
            left -= 1
            yield line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"


def _told(text: str) -> str:
    """Return what a run said, without what looks like a credential: a channel is read by more than operators."""
    return _data(redact(text, longest=_LONGEST_VALUE))


def _report(entries: Sequence[Entry]) -> str:
    """Return what the runbook reports, line by line."""
    told = next((str(entry.data["report"]) for entry in reversed(entries) if entry.data.get("report")), "")
    return "\n".join(printable(redact(line, longest=_LONGEST_VALUE)) for line in told.splitlines())


def _data(text: str) -> str:
    """Return a value from outside, bounded and on one line."""
    shown = printable(text)
    return shown if len(shown) <= _LONGEST_VALUE else f"{shown[:_LONGEST_VALUE]}…"


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))[:250]


def _tidy(text: str) -> str:
    """Return a text without the gaps that empty values leave, and cut."""
    kept: list[str] = []
    for line in text.splitlines():
        if line.strip() or (kept and kept[-1]):
            kept.append(line.rstrip())
    told = "\n".join(kept).strip()
    return told if len(told) <= _MOST_TEXT else f"{told[:_MOST_TEXT]}\n…"


def _span(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h {whole % 3600 // 60} min"
