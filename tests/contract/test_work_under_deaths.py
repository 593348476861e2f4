"""Workers that die at any moment: every remediation ends once, and a target is never in two hands."""

from __future__ import annotations

import asyncio
import contextlib
import random

from bridge.errors import LeaseLost
from bridge.model.intake import Claim
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, State
from bridge.stores import Stores
from tests.support.alerts import fire, firing, step, wish
from tests.support.redis import OpenStores

TARGETS, RUNBOOKS = 4, 5


class Worker:
    """Claims, journals, ends; dies often in between, and at times comes back as one that thawed."""

    def __init__(self, name: str, stores: Stores, chance: random.Random, hands: dict[str, int]) -> None:
        self.name = name
        self.stores = stores
        self.chance = chance
        self.hands = hands
        self.frozen: list[Claim] = []

    async def run(self, until: asyncio.Event) -> None:
        while not until.is_set():
            claim = await self.stores.work.reclaim(self.name) or await self.stores.work.claim(self.name, block=0.02)
            if claim is not None:
                # A machine that is slow enough takes the claim away by itself.
                with contextlib.suppress(LeaseLost):
                    await self.work(claim)
            for old in self.frozen:
                # Refused where another has taken over meanwhile.
                with contextlib.suppress(LeaseLost):
                    await self.finish(old)
            self.frozen.clear()
            await self.stores.work.promote()

    async def work(self, claim: Claim) -> None:
        await self.stores.journal.append(claim, step("started", self.name))
        view = await self.stores.work.get(claim.remediation)
        assert view is not None
        target = str(view.remediation.target)
        assert self.hands.setdefault(target, claim.token) <= claim.token
        self.hands[target] = claim.token
        fate = self.chance.random()
        if fate < 0.2:
            # Dies; its claim is renewed no more. Others take over, and then it thaws.
            await asyncio.sleep(0.25)
            self.frozen.append(claim)
        elif fate < 0.35:
            await self.stores.work.park(claim, 0.0, step("parked", self.name))
        elif fate < 0.45:
            await self.stores.work.hand_over(claim, step("handed_over", self.name))
        else:
            await self.finish(claim)

    async def finish(self, claim: Claim) -> None:
        await self.stores.work.finish(
            claim, Outcome.SUCCEEDED, Reason.VERIFIED, step("finished", self.name), escalated=False
        )


async def test_every_remediation_ends_once_whoever_dies(opened: OpenStores) -> None:
    """Faults 3 to 5 and 57, as a storm of them."""
    stores = await opened.open(max_deaths=100, claim=0.1)
    chance = random.Random(7)
    for nr in range(TARGETS):
        wishes = [wish(f"runbook{of}", f"target{nr}") for of in range(RUNBOOKS)]
        await fire(stores, *wishes, alert=firing(pod=str(nr)))
    over, hands = asyncio.Event(), dict[str, int]()
    workers = [Worker(f"w{nr}", await opened.open(max_deaths=100, claim=0.1), chance, hands) for nr in range(4)]
    running = [asyncio.create_task(worker.run(over)) for worker in workers]
    try:
        for _ in range(600):
            views = await stores.work.list(limit=100)
            if all(view.state is State.DONE for view in views) or any(task.done() for task in running):
                break
            await asyncio.sleep(0.05)
    finally:
        over.set()
        await asyncio.gather(*running)
    assert [view.outcome for view in views] == [Outcome.SUCCEEDED] * TARGETS * RUNBOOKS
    for view in views:
        kinds = [entry.kind for entry in await stores.journal.read(view.remediation.id)]
        assert kinds.count("finished") == 1
        assert kinds[-1] == "finished"
    depth = await stores.work.depth()
    assert (depth["work"], depth["pending"], depth["parked"], depth["dead"]) == (0, 0, 0, 0)
