"""How long a proof may take that looks back: on what happened before the repair too. Called by attempts.

An alert over ten minutes goes on firing after a good repair. Its rule says for how long; so long the proof goes on
beyond its own time, within a bound. A bad repair is found by asking the same of the time since the repair alone: what
is wrong there is not left over from before. That is never a reason to call something fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


class Decay:
    """What one run knows of how its proof decays."""

    def __init__(self, parts: Parts, sight: Sight, spec: VerifySpec, evidence: Mapping[str, Collect]) -> None:
        """`evidence` is what `spec.fixed` may read beside the runbook's own."""
        self._parts = parts
        self._sight = sight
        self._spec = spec
        self._queried = _promql(spec.fixed, evidence)

    async def tail(self) -> Tail:
        """Return how much longer than its own time the proof goes on; nothing where that cannot be found out."""
        if not self._spec.decay:
            return Tail()
        rule = await self._rule() if ("alert", "resolved") in _read(self._spec.fixed) else None
        waits = [(decay.reach(query), f"{name} looks back") for name, query in self._queried.items()]
        if rule is not None:
            held = await self._held()
            text = f"its rule looks back {rule.range_seconds:g} s, its resolve takes up to {held:g} s more"
            waits.append((decay.decay(rule, group_interval=held, margin=MARGIN), text))
        seconds, why = max(waits, default=(0.0, ""))
        return Tail(min(seconds, self._spec.decay), why, rule) if seconds else Tail(rule=rule)

    async def _rule(self) -> decay.Rule | None:
        if self._parts.rules is None:
            return None
        try:
            return await self._parts.rules.rule(self._sight.view.remediation.labels)
        except AlertbridgeError as error:
            log.warning("the alert's rule is not known", error=str(error))
            return None

    async def _held(self) -> float:
        assert self._parts.rules is not None
        try:
            return await self._parts.rules.group_interval()
        except AlertbridgeError as error:
            log.warning("Alertmanager's group_interval is not known", error=str(error))
            return 0.0

    async def since(self, seconds: float, tail: Tail) -> Verification:
        """Return what the last so many seconds alone say: not fixed is so, fixed means that the rest is left over."""
        if seconds < SHORTEST:
            return Verification(Answer.UNKNOWN)
        also = {name: _cut(item, seconds) for name, item in self._promql_items().items()}
        resolved = None if tail.rule is None else not await self._fires(tail.rule, seconds)
        return await self._sight.look_alone(self._spec.fixed, {**self._spec.evidence, **also}, resolved=resolved)

    def _promql_items(self) -> dict[str, Collect]:
        known = {**self._sight.runbook_evidence, **self._spec.evidence}
        return {name: known[name] for name in self._queried}

    async def _fires(self, rule: decay.Rule, seconds: float) -> bool:
        """Whether the rule's own query, asked of the last seconds alone, has a sample of this alert."""
        samples = await self._sight.context.reach.promql(decay.shortened(rule.query, seconds))
        labels = self._sight.view.remediation.labels
        return any(decay.is_about(rule, sample, labels) for sample, _ in samples)


def _read(expression: str) -> set[tuple[str, ...]]:
    return {tuple(path[:2]) for path in references(expression)}


def _promql(expression: str, evidence: Mapping[str, Collect]) -> dict[str, str]:
    """Return the queries that an expression reads, by the name of their evidence, those that look back alone."""
    names = {path[1] for path in _read(expression) if path[0] == "evidence" and len(path) > 1}
    found = {name: item for name, item in evidence.items() if name in names and item.collect == "promql"}
    queries = {name: str(item.with_.get("query", "")) for name, item in found.items()}
    return {name: query for name, query in queries.items() if decay.reach(query)}


def _cut(item: Collect, seconds: float) -> Collect:
    with_: dict[str, Any] = {**item.with_, "query": decay.shortened(str(item.with_["query"]), seconds)}
    return item.model_copy(update={"with_": with_})
