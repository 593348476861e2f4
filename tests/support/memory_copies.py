"""Kept copies in memory, with the meaning that ports gives them; held by the same contract test as Redis's."""

from __future__ import annotations

from typing import Any

import msgspec

from bridge.errors import InvalidInput
from bridge.model.outside import Copy
from bridge.model.target import ObjectRef
from bridge.ports import Clock


class MemoryCopies:
    """Implements ports.Copies."""

    def __init__(self, clock: Clock, *, versions: int = 5) -> None:
        self._clock = clock
        self._versions = versions
        self._kept: dict[tuple[str, ...], list[Copy]] = {}
        self._watched: dict[tuple[str, ...], tuple[dict[str, Any], float, float]] = {}
        self._next_turn = 0.0

    async def keep(self, ref: ObjectRef, copy: Copy) -> bool:
        if ref.kind == "Secret":
            raise InvalidInput("no Secrets here")
        if len(msgspec.json.encode(copy.manifest)) > 4 << 20:
            return False
        old = self._kept.setdefault(_place(ref), [])
        equal = next((each for each in old if each.manifest == copy.manifest), None)
        newest = bool(old) and old[0] is equal
        taken = old[0].taken_at if newest else self._clock.now()
        why = equal.why if equal and (equal.good or (newest and not copy.good)) else copy.why
        good = copy.good or (equal is not None and equal.good)
        first = msgspec.structs.replace(copy, taken_at=taken, good=good, why=why)
        kept = [first, *(each for each in old if each is not equal)]
        while len(kept) > self._versions:
            best = next((each for each in kept if each.good), None)
            kept.remove(kept[-2] if kept[-1] is best else kept[-1])
        self._kept[_place(ref)] = kept
        return True

    async def of(self, ref: ObjectRef) -> list[Copy]:
        return list(self._kept.get(_place(ref), []))

    async def watched(self, ref: ObjectRef, manifest: dict[str, Any], *, well: bool, gap: float) -> float:
        now, place = self._clock.now(), _place(ref)
        held, since, last = self._watched.get(place, ({}, now, now))
        if not well:
            self._watched.pop(place, None)
            return 0.0
        if held != manifest or now - last > gap:
            since = now
        self._watched[place] = (manifest, since, now)
        return now - since

    async def take_turn(self, seconds: float) -> bool:
        now = self._clock.now()
        if now < self._next_turn:
            return False
        self._next_turn = now + seconds
        return True


def _place(ref: ObjectRef) -> tuple[str, ...]:
    return ref.cluster, ref.kind, ref.namespace, ref.name
