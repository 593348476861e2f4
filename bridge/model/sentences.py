"""Everything that was decided about an alert, as a person would tell it. Pure: decisions in, sentences out.

Called by the API for `explain`. What comes from outside stands in it as it is: whoever prints it escapes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from bridge.model.reason import Reason
from bridge.model.remediation import Decision, Outcome

_NOTHING = frozenset(
    {
        Reason.NO_ROUTE,
        Reason.MUTED,
        Reason.UNKNOWN_CLUSTER,
        Reason.INVALID_TARGET,
        Reason.TEST_ALERT,
        Reason.PAUSED,
        Reason.COOLDOWN,
        Reason.ATTEMPTS_SPENT,
        Reason.PROTECTED_NAMESPACE,
        Reason.PROTECTED_OBJECT,
        Reason.OWN_PART,
        Reason.OWNER_WOULD_REVERT,
        Reason.UNDO_NONE,
        Reason.OUT_OF_DATE,
        Reason.NO_SCENARIO,
        Reason.EVIDENCE_MISSING,
        Reason.PLAN_FAILED,
        Reason.LOCKED,
        Reason.CIRCUIT_OPEN,
        Reason.HOLD_OFF,
        Reason.RUNBOOK_STOPPED,
        Reason.MAINTENANCE,
        Reason.SILENCED,
        Reason.SILENCES_UNKNOWN,
        Reason.ROLLOUT_IN_PROGRESS,
        Reason.CHANGED_RECENTLY,
        Reason.BUDGET_SPENT,
        Reason.BUDGET_TOO_SMALL,
        Reason.HALTED,
        Reason.APPROVAL_DENIED,
        Reason.APPROVAL_TIMED_OUT,
    }
)
"""Reasons for which nothing was done."""
_OUTCOME = re.compile(rf"^(?:{'|'.join(outcome.value for outcome in Outcome)}): ")
GUARDS = (
    *("again", "attempts", "budget", "changes", "cooldown", "effectiveness", "freshness", "hold_off", "maintenance"),
    *("own_part", "owner", "pause", "protected", "reversible", "run_limits", "silence"),
)
_GUARD = re.compile(rf"^(?:{'|'.join(GUARDS)}): ")
"""The guard's name, which its reason says as well."""


AGAIN = "still firing"
"""Detail of a remediation that no new firing asked for: what it waited on is over."""


def story(decisions: Iterable[Decision]) -> list[str]:
    """Return one sentence for each decision, each with its time (UTC); the date stands where it changes."""
    told, day = [], ""
    for decision in decisions:
        at = datetime.fromtimestamp(decision.at, UTC)
        today = f"{at:%Y-%m-%d} "
        told.append(f"{today if today != day else ''}{at:%H:%M:%S} {sentence(decision)}")
        day = today
    return told


def sentence(decision: Decision) -> str:
    """Return what was decided, and why, without its time."""
    try:
        reason = Reason.of(decision.reason)
    except KeyError:
        # Of a newer version.
        return _ended(f"{decision.reason}: {decision.detail}" if decision.detail else decision.reason)
    tell = _WAYS.get(reason)
    if tell is not None:
        return _ended(tell(decision))
    why = _why(decision, reason)
    if reason in _NOTHING:
        return _ended(f"{_about(decision)}nothing was done: {why}")
    if reason is Reason.VERIFIED:
        return _ended(f"{_about(decision)}it was mended, and proved so: {plain(decision.detail) or reason.text}")
    if decision.remediation:
        pages = "; a person was told" if reason.pages else ""
        return _ended(f"remediation {decision.remediation} ended: {why}{pages}")
    return _ended(why)


def plain(detail: str) -> str:
    """Return the detail of an end without the outcome before it."""
    return _OUTCOME.sub("", detail)


def _why(decision: Decision, reason: Reason) -> str:
    detail = plain(decision.detail)
    if reason in _NOTHING:
        detail = _GUARD.sub("", detail)
    if not detail or detail == reason.text:
        return reason.text
    return f"{reason.text} ({detail.removeprefix(f'{reason.text}: ')})"


def _about(decision: Decision) -> str:
    return f"remediation {decision.remediation}: " if decision.remediation else ""


def _route(decision: Decision) -> str:
    route = f"; route {decision.route}" if decision.route else ""
    return f"{route}{' →' if route else '; runbook'} {decision.runbook}" if decision.runbook else route


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _fired(decision: Decision) -> str:
    if decision.detail == AGAIN:
        return f"still firing, so looked at again{_route(decision)}: remediation {decision.remediation} was created"
    return f"fired{_route(decision)}: remediation {decision.remediation} was created{_more(decision)}"


def _joined(decision: Decision) -> str:
    open_for = f"it joined remediation {decision.remediation}, open for the same target"
    return f"fired{_route(decision)}: {open_for}{_more(decision)}"


def _resolved(decision: Decision) -> str:
    if decision.remediation:
        return f"resolved; remediation {decision.remediation} was cancelled before it wrote anything"
    return f"resolved{'' if decision.detail == Reason.RESOLVED.text else _more(decision)}"


def _expired(decision: Decision) -> str:
    return f"the incident was closed: it was {Reason.EXPIRED.text}"


def _observed(decision: Decision) -> str:
    return f"{_about(decision)}planned only, nothing was changed: mode observe{_more(decision)}"


def _asked(decision: Decision) -> str:
    asked = plain(decision.detail) or "a person has to agree"
    return f"{_about(decision)}it waits for people: {asked}"


def _agreed(decision: Decision) -> str:
    return f"{_about(decision)}{decision.detail or Reason.APPROVAL_GIVEN.text}"


def _undo(decision: Decision) -> str:
    return f"{_about(decision)}what was changed is to be put back: {decision.detail or 'a person asked for it'}"


def _put_back(decision: Decision) -> str:
    return f"{_about(decision)}{plain(decision.detail) or 'what was changed is put back'}"


def _healthy(decision: Decision) -> str:
    return f"{_about(decision)}nothing needed to be done: {plain(decision.detail) or Reason.NOTHING_TO_DO.text}"


def _cancelled(decision: Decision) -> str:
    return f"remediation {decision.remediation} was cancelled by hand{_more(decision)}"


def _more(decision: Decision) -> str:
    detail = plain(decision.detail)
    return f" ({detail})" if detail else ""


_WAYS: dict[Reason, Callable[[Decision], str]] = {
    Reason.CREATED: _fired,
    Reason.JOINED: _joined,
    Reason.RESOLVED: _resolved,
    Reason.EXPIRED: _expired,
    Reason.OBSERVE_ONLY: _observed,
    Reason.APPROVAL_NEEDED: _asked,
    Reason.APPROVAL_GIVEN: _agreed,
    Reason.NOTHING_TO_DO: _healthy,
    Reason.UNDO_ASKED: _undo,
    Reason.UNDONE_BY_HAND: _put_back,
    Reason.CANCELLED_BY_OPERATOR: _cancelled,
}
