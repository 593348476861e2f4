"""When a person hears of a run that changed nothing: once of what is denied again and again, and in the end of what
is only ever put off. Called by execute; who is called then is decided by bridge.notify.
"""

from __future__ import annotations

import msgspec

from bridge.engine.ending import Finish
from bridge.engine.parts import Parts
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, RemediationView

TELL_AGAIN = 86400.0
"""Seconds after which a person is told once more of the same about the same firing."""
_BY_PEOPLE = frozenset({Reason.PAUSED, Reason.MAINTENANCE})
"""What people said themselves: they are reminded of it, later."""
_ONCE_ALREADY = frozenset({Reason.ATTEMPTS_SPENT, Reason.FIRES_AGAIN, Reason.RUNBOOK_STOPPED})
"""What is told once for all that it keeps from running, whatever fires."""


async def heard(parts: Parts, view: RemediationView, finish: Finish) -> Finish:
    """Return the end with whether a person is told of it.

    What fires on is looked at again, and denied again: that is no news. What is put off (a budget, a window) pages
    nobody, but not for ever: a firing for which nothing was done for long is a person's.
    """
    if view.remediation.undo_of or not view.open_incidents or finish.quiet:
        return finish
    if finish.outcome is Outcome.SUPPRESSED and not finish.escalated:
        return await _put_off(parts, view, finish)
    if finish.outcome is Outcome.DENIED and finish.escalated and finish.reason not in _ONCE_ALREADY:
        about = f"{finish.reason.value}|{view.remediation.runbook}"
        finish = msgspec.structs.replace(finish, quiet=not await _first(parts, view, about))
    if finish.escalated:
        await _first(parts, view, "told")
    return finish


async def _put_off(parts: Parts, view: RemediationView, finish: Finish) -> Finish:
    remediation, limits = view.remediation, parts.limits
    if finish.reason is Reason.SILENCED or remediation.requested_by:
        # Whoever silenced it wants nobody told: Alertmanager itself tells nobody either.
        return finish
    longest = limits.put_off_by_people if finish.reason in _BY_PEOPLE else limits.put_off
    since, now = remediation.received_at or remediation.created_at, parts.clock.now()
    if now < since + longest:
        at = finish.wait_until if finish.wait_until is None else min(finish.wait_until, since + longest)
        return msgspec.structs.replace(finish, wait_until=at)
    if finish.wait_until is not None:
        finish = msgspec.structs.replace(finish, wait_until=min(finish.wait_until, now + TELL_AGAIN))
    if not await _first(parts, view, "told"):
        return finish
    detail = f"{finish.detail or finish.reason.text}; it has fired for {_span(now - since)}, and nothing was done"
    return msgspec.structs.replace(finish, detail=detail, overdue=True)


async def _first(parts: Parts, view: RemediationView, about: str) -> bool:
    """Whether any of the firings that ask for the run was not told of in this respect; all of them are now."""
    book, name = parts.guardbook, view.remediation.id
    first = [await book.first_to_tell(f"{about}|{each}", name, TELL_AGAIN) for each in view.open_incidents]
    return any(first)


def _span(seconds: float) -> str:
    return f"{seconds / 3600:.0f} h" if seconds >= 7200 else f"{seconds / 60:.0f} min"
