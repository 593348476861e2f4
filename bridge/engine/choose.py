"""Choose the scenario that the evidence calls for. Pure; called by execute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bridge.configuration.expressions import Condition
from bridge.model.runbook import Scenario


class Choice(msgspec.Struct, frozen=True):
    """The scenario, or None with `unknown` telling whether evidence was missing; and why, for people."""

    scenario: Scenario | None
    unknown: bool
    why: str


def choose(scenarios: Sequence[Scenario], variables: Mapping[str, Any]) -> Choice:
    """Return the first scenario that holds when all before it are false.

    An unknown one ends the search (its evidence may be what matters) unless it says `on_unknown: continue`.
    """
    seen: list[str] = []
    facts: list[str] = []
    unknown = False
    for scenario in scenarios:
        if scenario.when is None:
            return Choice(scenario, False, "; ".join([*seen, f"{scenario.title}: otherwise"]))
        holds, detail = Condition(scenario.when).evaluate_detailed(variables)
        if holds:
            return Choice(scenario, False, "; ".join([*seen, f"{scenario.title}: {scenario.when}"]))
        if holds is None:
            unknown = True
            seen.append(f"{scenario.name}: unknown ({detail})")
            facts.append(seen[-1])
            if scenario.on_unknown == "escalate":
                return Choice(None, True, "; ".join(seen))
        else:
            seen.append(f"{scenario.name}: no")
            # Nothing is done, and a person is told: with what it was that spoke against it.
            facts.append(f"{scenario.name}: no ({detail})")
    return Choice(None, unknown, "; ".join(facts))
