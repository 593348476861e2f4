"""How long a proof may take that looks back: on what happened before the repair too. Called by attempts.

An alert over ten minutes goes on firing after a good repair. Its rule says for how long; so long the proof goes on
beyond its own time, within a bound. A bad repair is found by asking the same of the time since the repair alone: what
is wrong there is not left over from before. That is never a reason to call something fixed. Where it is not known how
long an alert may go on, what is seen at the end is neither fixed nor not fixed.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import structlog

from bridge.configuration.cel_text import references
from bridge.engine.parts import Parts
from bridge.engine.sight import Sight
from bridge.errors import AlertbridgeError
from bridge.model import decay
from bridge.model.runbook import Collect, VerifySpec
from bridge.model.verification import Answer, Verification

log = structlog.get_logger(__name__)

MARGIN = 30.0
"""Seconds for what is on its way: scrapes, evaluations, a webhook."""
SHORTEST = 20.0
"""Seconds since the repair below which they are not asked about alone: there are too few samples."""


class Tail(msgspec.Struct, frozen=True):
    """How much longer a proof goes on, and why."""

    seconds: float = 0.0
    why: str = ""
    rule: decay.Rule | None = None
    """The alert's own, when the proof is that it resolves."""
    recorded: Mapping[str, decay.Recorded] = {}
    """Recording rules that the evidence may read."""
    cut: bool = False
    """Whether `verify.decay` ends it before what is seen can be over."""
    blind: str = ""
    """Why it is not known for how long the alert may go on; empty: it is, or nobody could be asked anyway."""


class Decay:
    """What one run knows of how its proof decays."""

    def __init__(self, parts: Parts, sight: Sight, spec: VerifySpec, evidence: Mapping[str, Collect]) -> None:
        """`evidence` is what `spec.fixed` may read beside the runbook's own."""
        self._parts = parts
        self._sight = sight
        self._spec = spec
        self._items = _promql(spec.fixed, evidence)

    async def tail(self) -> Tail:
        """Return how much longer than its own time the proof goes on."""
        if not self._spec.decay:
            return Tail()
        rule, blind, recorded = None, "", await self._recorded()
        waits = [(decay.reach(_query(item), recorded), f"{name} looks back") for name, item in self._items.items()]
        if self._reads_alert and self._parts.rules is not None:
            try:
                rule = await self._parts.rules.rule(self._sight.view.remediation.labels)
                held = await self._parts.rules.group_interval() if rule is not None else 0.0
            except AlertbridgeError as error:
                log.warning("it is not known for how long the alert may go on", error=str(error))
                blind = str(error)
        if rule is not None and not blind:
            text = f"its rule looks back {rule.range_seconds:g} s, its resolve takes up to {held:g} s more"
            waits.append((decay.decay(rule, group_interval=held, margin=MARGIN), text))
        seconds, why = max(waits, default=(0.0, ""))
        most = self._spec.decay
        return Tail(min(seconds, most), why if seconds else "", rule, recorded, seconds > most, blind)

    @property
    def _reads_alert(self) -> bool:
        return ("alert", "resolved") in _read(self._spec.fixed)

    async def _recorded(self) -> Mapping[str, decay.Recorded]:
        """Return the recording rules, where evidence may read one; a query that cannot be asked says so itself."""
        if self._parts.rules is None or not self._items:
            return {}
        try:
            return await self._parts.rules.recorded()
        except AlertbridgeError as error:
            log.warning("the recording rules are not known", error=str(error))
            return {}

    async def since(self, seconds: float, tail: Tail) -> Verification:
        """Return what the last so many seconds alone say: not fixed is so, fixed means that the rest is left over."""
        if seconds < SHORTEST or (self._reads_alert and tail.rule is None):
            return Verification(Answer.UNKNOWN)
        also = {}
        for name, item in self._items.items():
            query = decay.alone(_query(item), seconds, tail.recorded, judged=False)
            if query is None:
                return Verification(Answer.UNKNOWN)
            also[name] = item.model_copy(update={"with_": {**item.with_, "query": query}})
        resolved = None
        if tail.rule is not None:
            query = decay.alone(tail.rule.query, seconds, tail.rule.recorded)
            if query is None:
                return Verification(Answer.UNKNOWN)
            resolved = not await self._fires(tail.rule, query)
        return await self._sight.look_alone(self._spec.fixed, {**self._spec.evidence, **also}, resolved=resolved)

    async def _fires(self, rule: decay.Rule, query: str) -> bool:
        """Whether the rule's own query, asked of a shorter time, has a sample of this alert."""
        samples = await self._sight.context.reach.promql(query)
        labels = self._sight.view.remediation.labels
        return any(decay.is_about(rule, sample, labels) for sample, _ in samples)


def _read(expression: str) -> set[tuple[str, ...]]:
    return {tuple(path[:2]) for path in references(expression)}


def _promql(expression: str, evidence: Mapping[str, Collect]) -> dict[str, Collect]:
    """Return the PromQL evidence that an expression reads, by name."""
    names = {path[1] for path in _read(expression) if path[0] == "evidence" and len(path) > 1}
    return {name: item for name, item in evidence.items() if name in names and item.collect == "promql"}


def _query(item: Collect) -> str:
    return str(item.with_.get("query", ""))
