"""Incident reports and success metrics over HTTP. Called by the table of operations."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from aiohttp import web

from bridge.api.moments import moment
from bridge.api.operation import Call, Refused
from bridge.model.goals import Goal, GoalMet, goals_met
from bridge.model.remediation import RemediationView
from bridge.model.report import Report, Times, report, times_of
from bridge.model.report_text import markdown
from bridge.model.stats import Stats, stats
from bridge.model.telling import SeveritySpec
from bridge.ports import Journal, WorkQueue

AT_A_TIME = 20
"""Journals that are read side by side for the figures."""


class StatsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of how many of the newest remediations."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 200


class StatsAnswer(msgspec.Struct, frozen=True):
    """How well it went, over the newest remediations."""

    since: datetime | None
    """When the oldest of them was created."""
    stats: Stats
    goals: list[GoalMet] = []
    """What `goals` of the configuration asks for, and whether it is so."""


class Goals(msgspec.Struct, frozen=True):
    """What the configuration of now asks for."""

    goals: Sequence[Goal] = ()
    severity: SeveritySpec = SeveritySpec()


class Reports:
    """Handlers over the work queue and the journal."""

    def __init__(self, queue: WorkQueue, journal: Journal, goals: Callable[[], Goals]) -> None:
        self._queue = queue
        self._journal = journal
        self._goals = goals

    async def report(self, call: Call) -> Report | web.Response:
        """Return the report as Markdown; as JSON where that is accepted."""
        view = await self._queue.get(call.id)
        if view is None:
            raise Refused(404, f"there is no remediation {call.id}")
        blob = await self._journal.evidence(call.id)
        kept = await asyncio.to_thread(_unpacked, blob) if blob else {}
        made = report(view, await self._journal.read(call.id), kept)
        if "application/json" in call.request.headers.get("Accept", ""):
            return made
        return web.Response(text=markdown(made), content_type="text/markdown", charset="utf-8")

    async def stats(self, call: Call) -> StatsAnswer:
        query: StatsQuery = call.query
        views = await self._queue.list(limit=query.limit)
        gate = asyncio.Semaphore(AT_A_TIME)

        async def timed(view: RemediationView) -> tuple[RemediationView, Times]:
            async with gate:
                entries = await self._journal.read(view.remediation.id)
            return view, times_of(view, entries)

        runs = await asyncio.gather(*(timed(view) for view in views))
        since = moment(views[-1].remediation.created_at) if views else None
        asked = self._goals()
        return StatsAnswer(since, stats(runs), goals_met(asked.goals, asked.severity, runs))


def _unpacked(blob: bytes) -> dict[str, Any]:
    return dict(msgspec.json.decode(gzip.decompress(blob)))
