"""Put changes back, newest first. Called for a run that did not help, for a plan that could not be finished, and for
temporary changes whose time is over.

Each goes back under the undo's own preconditions: what somebody changed since is left as it is and reported, and the
others still go back. Every step is journalled, so that another worker carries on where this one stopped.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.engine.ending import Park
from bridge.engine.failures import ending_for
from bridge.engine.lease import Lease
from bridge.engine.make import Maker
from bridge.engine.parts import Parts
from bridge.engine.progress import Undo
from bridge.engine.record import Record
from bridge.engine.temporary import digest
from bridge.errors import LeaseLost, OutcomeUnknown, PlanStale, StoreUnavailable, UndoBlocked
from bridge.model import kinds
from bridge.model.audit import told
from bridge.model.plan import Change, Plan
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome

Step = tuple[Plan, Change]
"""A change that puts one back, with the plan that it is of."""


def inverses(plans: Sequence[Plan]) -> list[Step]:
    """Return what puts the plans back, in the order to make it in; `plans` are in the order they were made."""
    return [(plan, change) for plan in reversed(plans) for change in plan.inverses]


class PutBack:
    """Puts back what one run changed."""

    def __init__(self, parts: Parts, lease: Lease, record: Record, maker: Maker) -> None:
        self._parts = parts
        self._lease = lease
        self._record = record
        self._maker = maker

    async def run(
        self,
        plans: Sequence[Plan],
        reason: Reason,
        *,
        key: str,
        detail: str = "",
        doubts: frozenset[str] = frozenset(),
    ) -> None:
        """Put them back; what could not be is in `progress.undo.left` afterwards. Raises what is waited for.

        `key` tells this undo from others of the run: the attempt's place, or the key of the plan that is put back.
        `doubts`: digests of what another undo may have put back.
        """
        steps = inverses(plans)
        if (undo := self._record.progress.undo) is None or undo.key != key:
            data = {"key": key, "reason": reason.value, "detail": detail}
            await self._record.write(kinds.UNDOING, f"putting back {len(steps)} changes", reason=reason, data=data)
        while (place := self._undo.done) < len(steps):
            plan, change = steps[place]
            # Those of its plan that follow, for one that forbids them all.
            rest = sum(1 for other, _ in steps[place + 1 :] if other is plan)
            await self._one(plan, change, rest, doubts)

    async def _one(self, plan: Plan, change: Change, rest: int, doubts: frozenset[str]) -> None:
        name = digest(change)
        doubtful = self._undo.in_flight or name in doubts
        await self._lease.confirm()
        await self._record.write(kinds.PUTTING_BACK, change.summary, data={"undoes": name})
        try:
            made = await self._maker.make(plan, change, doubtful=doubtful)
        except (LeaseLost, StoreUnavailable):
            raise
        except Exception as error:
            if isinstance(ending_for(error, self._record.progress, self._parts), Park):
                if not doubtful and not self._maker.in_doubt(change, error):
                    await self._record.write(kinds.REFUSED, str(error))
                raise
            text = f"{change.ref}: {'somebody changed it since: ' if isinstance(error, PlanStale) else ''}{error}"
            data = {"wrote": False, "refused": text, "unknown": isinstance(error, OutcomeUnknown)}
            if isinstance(error, UndoBlocked):
                data["skipped"] = rest
            await self._record.write(kinds.UNDONE, f"not put back: {text}", data=data)
            return
        text = change.summary if made.wrote else f"{change.summary}: it was so already"
        data = {"wrote": made.wrote, "undid": name, "put": told(change), "version": made.version}
        await self._record.write(kinds.UNDONE, text, data={**data, "result": made.result} if made.result else data)

    @property
    def _undo(self) -> Undo:
        undo = self._record.progress.undo
        assert undo is not None
        return undo

    def outcome(self, otherwise: Outcome) -> Outcome:
        """Return how a run ends after it: `otherwise` when all is back."""
        left = self._undo.left
        if any(each.unknown for each in left):
            return Outcome.UNKNOWN
        return Outcome.FAILED if left else otherwise

    @property
    def told(self) -> str:
        """What is to be said of it."""
        left = self._undo.left
        if not left:
            return "what was changed is put back"
        return "not put back: " + "; ".join(each.why for each in left)
