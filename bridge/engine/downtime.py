"""Whether the next step of a run is still right after nobody worked on it for long. Called by making.

A run that has written is carried on and not begun again: no entry guard looks at it any more. Where all workers were
down between two of its steps, the world has moved on as it has for one that was never begun.
"""

from __future__ import annotations

from bridge.engine.ending import Ended, Finish, RestLeft
from bridge.engine.parts import Parts
from bridge.engine.record import Record
from bridge.engine.sight import Sight
from bridge.model import kinds
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.runbook import Runbook, Scenario


def longest_idle(runbook: Runbook, parts: Parts) -> float:
    """Return for how many seconds a run may be left alone: as long as it may wait for a worker to begin with.

    But not less than its locks last: until then nobody else touched its objects, and its own waits are shorter.
    """
    return max(runbook.expires, parts.limits.lock)


class Downtime:
    """Asked before the first write of each step."""

    def __init__(self, parts: Parts, record: Record, sight: Sight) -> None:
        self._parts = parts
        self._record = record
        self._sight = sight

    async def check(self, scenario: Scenario) -> None:
        """Return when the next step may be made.

        Raises RestLeft when what called for it is over by now, also if that was found by another worker; Ended when
        that cannot be known.
        """
        progress = self._record.progress
        if progress.rest_left:
            raise RestLeft(progress.rest_left)
        if not progress.idle or not progress.writing:
            return
        away = f"nobody worked on it for {progress.idle / 60:.0f} min"
        view = await self._sight.read_again()
        if view.incidents and not view.open_incidents:
            await self._leave(f"{away}, and every alert that asked for it resolved meanwhile")
        await self._sight.look_around()
        if scenario.when is not None:
            holds, detail = self._sight.ask(scenario.when)
            if holds is None:
                self._not_known(f"{away}, and whether {scenario.name} still applies is not known: {detail}")
            if not holds:
                await self._leave(f"{away}, and {scenario.name} does not apply any more: {detail}")
        await self._record.write(
            kinds.LOOKED_AGAIN, f"{away}: what called for it is still so", data={"goes_on": True}
        )

    async def _leave(self, why: str) -> None:
        text = f"{why}: its remaining steps are not made"
        await self._record.write(kinds.LOOKED_AGAIN, text, data={"goes_on": False, "why": text})
        raise RestLeft(text)

    def _not_known(self, why: str) -> None:
        passing = self._sight.evidence.passing
        if passing is not None and self._record.progress.retries < self._parts.limits.retries:
            raise passing
        raise Ended(Finish(Outcome.UNKNOWN, Reason.EVIDENCE_MISSING, why))
