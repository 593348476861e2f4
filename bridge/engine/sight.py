"""What a run sees: its evidence, and the variables that its expressions read. Used by execute and what it calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bridge.configuration.cel_text import references
from bridge.configuration.expressions import Condition, tell
from bridge.engine.context import RunContext, variables
from bridge.engine.gather import Evidence, gather
from bridge.engine.parts import Parts
from bridge.engine.record import Record
from bridge.engine.snapshot import Snapshot
from bridge.model.remediation import RemediationView
from bridge.model.runbook import Collect, Runbook
from bridge.model.verification import Answer, Verification

_LONGEST_REPORT = 16_000
"""Characters."""


class Sight:
    """The eyes of one run."""

    def __init__(
        self,
        parts: Parts,
        view: RemediationView,
        record: Record,
        runbook: Runbook,
        context: RunContext,
        snapshot: Snapshot,
    ) -> None:
        self.view = view
        """The remediation as it was read last."""
        self.context = context
        self.evidence = Evidence({}, {})
        self.steps: Mapping[str, Any] = {}
        """What expressions see as `steps`; set before each step."""
        self.stale = True
        """Something was written, or time went by, since the evidence was gathered."""
        self.proof = Evidence({}, {})
        """What the last look of a verification saw."""
        self._parts = parts
        self._record = record
        self._runbook = runbook
        self._snapshot = snapshot

    async def look_around(self) -> None:
        """Gather all evidence of the runbook afresh, and keep it. Raises LeaseLost."""
        self._snapshot.forget()
        self.evidence = await self._gather(self._runbook.evidence)
        self.stale = False
        await self._record.keep_evidence(self.evidence, at=self._parts.clock.now())

    async def refresh(self) -> None:
        """Look around unless what was gathered is of now."""
        if self.stale:
            await self.look_around()

    async def recall(self) -> None:
        """Take up the evidence that was kept last, by whoever worked on it before."""
        self.evidence = Evidence(await self._record.kept_evidence(), {})

    async def read_again(self) -> RemediationView:
        """Return the remediation as it stands in the store now; a run keeps the targets that it was taken up with."""
        now = await self._parts.queue.get(self.view.remediation.id) or self.view
        self.view = msgspec.structs.replace(now, remediation=self.view.remediation)
        return now

    def variables(self, evidence: Evidence | None = None, **more: Any) -> dict[str, Any]:
        known = variables(
            self.view,
            now=self._parts.clock.now(),
            prometheus=self._parts.prometheus,
            evidence=(evidence or self.evidence).values,
            steps=self.steps,
        )
        return {**known, **more, **({"report": report} if (report := self.report(known)) else {})}

    def report(self, known: Mapping[str, Any] | None = None) -> str:
        """Return the runbook's report of what is known by now; empty where it has none."""
        told = self._runbook.report and str(tell(self._runbook.report, known or self.variables()))
        return told if len(told) <= _LONGEST_REPORT else f"{told[:_LONGEST_REPORT]}\n…"

    def ask(self, expression: str) -> tuple[bool | None, str]:
        """Return whether a condition holds by the evidence at hand, and a sentence that says what it rests on."""
        holds, detail = Condition(expression).evaluate_detailed(self.variables())
        return holds, self.with_reasons(detail, expression) if holds is None else detail

    def with_reasons(self, detail: str, *expressions: str) -> str:
        """Return why something is not known, with why the evidence that these read is missing."""
        return _with_reasons(detail, expressions, self.evidence)

    async def look(self, expression: str, also: Mapping[str, Collect] | None = None) -> Verification:
        """Return whether `expression` holds now: nothing that was gathered before answers for it."""
        await self.read_again()
        fresh = self.proof = await self._gather({**self._also_read(expression), **(also or {})})
        holds, detail = Condition(expression).evaluate_detailed(self.variables(fresh))
        detail = _with_reasons(detail, [expression], fresh) if holds is None else detail
        answer = {True: Answer.FIXED, False: Answer.NOT_FIXED, None: Answer.UNKNOWN}[holds]
        return Verification(answer, detail or f"{expression} is {str(holds).lower()}")

    @property
    def runbook_evidence(self) -> Mapping[str, Collect]:
        return self._runbook.evidence

    async def look_alone(
        self, expression: str, also: Mapping[str, Collect], *, resolved: bool | None
    ) -> Verification:
        """As `look`, with other evidence in place of the runbook's, and another word on whether the alert is over.

        What this sees is no proof, and is not kept.
        """
        fresh = await self._gather({**self._also_read(expression), **also})
        known = self.variables(fresh)
        if resolved is not None:
            known["alert"] = {**known["alert"], "resolved": resolved}
        holds, detail = Condition(expression).evaluate_detailed(known)
        answer = {True: Answer.FIXED, False: Answer.NOT_FIXED, None: Answer.UNKNOWN}[holds]
        return Verification(answer, detail or f"{expression} is {str(holds).lower()}")

    def _also_read(self, expression: str) -> dict[str, Collect]:
        """Return the runbook's evidence that `expression` reads, to be gathered again."""
        read = [path for path in references(expression) if path[0] == "evidence"]
        whole = any(len(path) == 1 for path in read)
        return {
            name: item for name, item in self._runbook.evidence.items() if whole or any(name == p[1] for p in read)
        }

    async def _gather(self, wanted: Mapping[str, Collect]) -> Evidence:
        return await gather(
            wanted, collectors=self._parts.collectors, context=self.context, variables=self.variables()
        )


def _with_reasons(detail: str, expressions: Sequence[str], evidence: Evidence) -> str:
    paths = [path for expression in expressions for path in references(expression)]
    read = {path[1] for path in paths if path[0] == "evidence" and len(path) > 1}
    return "; ".join([detail, *evidence.lacking(read)])
