"""Looking at remediations and queues. Part of the work queue; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.model.remediation import RemediationView
from bridge.stores.codec import pairs, view_of
from bridge.stores.groups import Groups
from bridge.stores.link import Link

# Named here, for in the class `list` is the method.
Found = list[RemediationView]
Letters = list[Mapping[str, Any]]

SHOWN = 50
"""Incidents of one remediation in a list."""
ALL = 10_000
"""And when it is shown alone."""
SCAN = 5000
"""Remediations that a filtered list looks through."""


class Views:
    """The reading half of ports.WorkQueue."""

    def __init__(self, link: Link, groups: Groups) -> None:
        self._link = link
        self._groups = groups

    async def get(self, remediation: str) -> RemediationView | None:
        found = await self._views(ALL, remediation)
        return found[0] if found else None

    async def list(self, *, limit: int, state: str | None = None, before: str | None = None) -> Found:
        """See ports.WorkQueue. `before` is the last id of the page before; incidents are cut at SHOWN."""
        ids = await self._link.script("list", limit, state or "", before or "", SCAN)
        return await self._views(SHOWN, *(found.decode() for found in ids)) if ids else []

    async def depth(self) -> Mapping[str, float]:
        """See ports.WorkQueue. `groups_recreated` above 0 says that Redis came back empty."""
        figures = pairs(await self._groups.script("depth"))
        depth = {name.decode(): float(value) for name, value in figures.items()}
        return {**depth, "groups_recreated": float(self._groups.recreated)}

    async def dead_letters(self, *, limit: int) -> Letters:
        """Return what was set aside, newest first: alerts that could not be dispatched, remediations that
        took their workers with them."""
        rows = await self._link.command("LRANGE", self._link.key("dead"), 0, limit - 1)
        return [msgspec.json.decode(row) for row in rows]

    async def _views(self, shown: int, *ids: str) -> Found:
        rows = await self._link.script("view", shown, *ids)
        return [view_of(*row) for row in rows]
