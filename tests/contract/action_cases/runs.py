"""A run of another runbook: an order that is taken once, however often it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.engine.clock import SystemClock
from bridge.model.mode import Mode
from bridge.model.remediation import Outcome, Remediation, RemediationView, State
from bridge.model.target import Target
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from bridge.ports import Ordered
from tests.contract.action_cases import Case, Env, Scene


class TakenRuns:
    """Implements ports.Runs: every order that was taken is carried out at once."""

    def __init__(self) -> None:
        self.taken: set[bytes] = set()

    def order(
        self, run: Remediation | None, runbook: str, labels: Mapping[str, str], params: Mapping[str, Any]
    ) -> Ordered:
        return Ordered(Target("test", "StatefulSet", "shop", "redis"), {"runbook": runbook, "labels": dict(labels)})

    async def ask(self, order: Mapping[str, Any]) -> None:
        self.taken.add(msgspec.json.encode(order, order="sorted"))

    async def found(self, order: Mapping[str, Any]) -> RemediationView | None:
        if msgspec.json.encode(order, order="sorted") not in self.taken:
            return None
        child = Remediation(id="r2", runbook="x", target=Target("", "A", "b", "c"), mode=Mode.AUTO)
        return RemediationView(remediation=child, state=State.DONE, outcome=Outcome.SUCCEEDED)


async def another(env: Env) -> Scene:
    runs = TakenRuns()
    outside = Outside(OutsideSettings())
    env.stack.push_async_callback(outside.close)

    async def asked() -> int:
        return len(runs.taken)

    return Scene(
        about=env.site.ref("Deployment", "web", "apps/v1"),
        params={"runbook": "shop/redis-down", "labels": {"tier": "1"}},
        effects=asked,
        lose=None,
        blind=True,
        reach=Reach(env.site.cluster, SystemClock(), outside, runs=runs),
    )


# Its labels are an alert's, and select nothing.
CASES = (Case(action="runbook", prepare=another, lacks=("look", "meddle", "loss"), selectors=()),)
