"""Entry guard: how often anything may be done for one alert, one target, or by one runbook, whatever the route.

The route's own `cooldown` and `max_attempts` are about one runbook and one target; these are about what several
runbooks do to one target, one alert that flaps, one runbook that is called everywhere. Of many at once each is asked,
and may be let in; the last word is said when it is counted, right before its first write (admission.take_turn).
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.model.intake import GuardFacts
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation
from bridge.model.run_limits import DAY, HOUR, RunLimitSettings


class RunLimitsGuard:
    name = "run_limits"

    def __init__(self, settings: Callable[[], RunLimitSettings]) -> None:
        """`settings` are those of now."""
        self._settings = settings

    def check(self, remediation: Remediation, facts: GuardFacts) -> Verdict:
        """Deny when the runs of an hour or a day are spent, defer within a cooldown."""
        settings = self._settings()
        deferred = Verdict.allow()
        # Whoever waits for it has had its run for that alert.
        for sort in ("target", "runbook") if remediation.parents else ("alert", "target", "runbook"):
            limits, runs = getattr(settings, sort), facts.runs.get(sort, ())
            for most, seconds, window in ((limits.hour, HOUR, "an hour"), (limits.day, DAY, "a day")):
                recent = sorted(at for at in runs if at > facts.now - seconds)
                if most is not None and len(recent) >= most:
                    detail = f"{len(recent)} of {most} runs in {window} for this {sort} are spent"
                    return Verdict.deny(Reason.ATTEMPTS_SPENT, detail, retry_at=recent[-most] + seconds)
            over = max(runs, default=0.0) + limits.cooldown
            # One that was counted a moment ago may be later than what is now for whoever asks.
            if limits.cooldown and over > facts.now and deferred.allowed:
                ago = f"something ran for this {sort} {facts.now - max(runs):.0f} s ago"
                detail = f"{ago}, its cooldown is {limits.cooldown:.0f} s"
                deferred = Verdict.defer(Reason.COOLDOWN, detail, retry_at=over)
        return deferred
