"""The disruption budget, shared by all workers through Redis. Called by the budget's guard.

One script reads what counts, decides and reserves, so that of any number of workers none can be let in beyond it.
What a run reserved is settled by the script that ends the run, whoever ends it (see lua/remediation.lua).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bridge.errors import LeaseLost
from bridge.model.budget import BudgetAnswer, BudgetRules, BudgetUse, Spend, Spent
from bridge.model.intake import Claim
from bridge.stores.codec import ENCODER
from bridge.stores.link import Link

_PLANS = msgspec.json.Decoder(dict[str, list[dict[str, Any]]])


class RedisBudgets:
    """Implements ports.Budgets."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def look(self, spends: Sequence[Spend], rules: BudgetRules) -> BudgetAnswer:
        return _answer(await self._ask("", "", "", "look", spends, rules))

    async def reserve(
        self,
        claim: Claim,
        key: str,
        spends: Sequence[Spend],
        rules: BudgetRules,
        *,
        force: bool = False,
        anew: bool = False,
    ) -> BudgetAnswer:
        how = "force" if force else "reserve"
        reply = await self._ask(claim.remediation, str(claim.token), key, how, spends, rules, anew=anew)
        if reply[0] == b"lost":
            raise LeaseLost(f"{claim.remediation} is no longer this worker's")
        return _answer(reply)

    async def settle(self, claim: Claim, *, wrote: bool) -> None:
        await self._link.script("budget_settle", claim.remediation, claim.token, "1" if wrote else "0")

    async def use(self, window: float) -> BudgetUse:
        wanted, *rows = await self._link.script("budget_use", round(window * 1000))
        runs = [
            Spent(
                remediation=name.decode(),
                settled_at=float(at) / 1000 if at != b"0" else None,
                spends=tuple(_spend(line) for lines in _PLANS.decode(plans).values() for line in lines),
            )
            for name, at, plans in zip(rows[::3], rows[1::3], rows[2::3], strict=True)
        ]
        return BudgetUse(runs=tuple(sorted(runs, key=lambda run: run.remediation)), wanted=int(wanted))

    async def _ask(
        self,
        remediation: str,
        token: str,
        key: str,
        how: str,
        spends: Sequence[Spend],
        rules: BudgetRules,
        *,
        anew: bool = False,
    ) -> list[bytes]:
        said = {
            "w": round(rules.window * 1000),
            "h": rules.halt_after,
            "l": [
                {
                    name: value
                    for name, value in (("s", one.scope), ("t", one.targets), ("p", one.percent), ("n", one.nodes))
                    if value is not None
                }
                for one in rules.limits
            ],
        }
        if rules.halt_after is None:
            del said["h"]
        lines = [
            {"s": each.scopes, "t": each.target, "w": each.workload, "p": each.percent, "n": each.node}
            for each in spends
        ]
        given = (ENCODER.encode(said), ENCODER.encode(lines), "1" if anew else "0")
        reply: list[bytes] = await self._link.script("budget_reserve", remediation, token, key, how, *given)
        return reply


def _answer(reply: list[bytes]) -> BudgetAnswer:
    if reply[0] == b"granted":
        return BudgetAnswer(granted=True)
    scope, what, used, asked, most, retry = reply[1:]
    return BudgetAnswer(
        granted=False,
        halted=reply[0] == b"halted",
        paused=reply[0] == b"paused",
        scope=scope.decode(),
        what=what.decode(),
        used=float(used),
        asked=float(asked),
        most=float(most),
        retry_at=float(retry) / 1000 if retry else None,
    )


def _spend(line: Mapping[str, Any]) -> Spend:
    # An empty list comes back from Lua as an empty object.
    return Spend(
        scopes=tuple(line["s"]), target=line["t"], workload=line["w"], percent=float(line["p"]), node=line["n"]
    )
