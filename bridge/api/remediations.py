"""Remediations over HTTP: list, show, what happened, evidence, cancel."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiohttp import web

from bridge.api.bundle import bundle
from bridge.api.operation import Call, Refused
from bridge.api.schemas import (
    Cancelled,
    JournalAnswer,
    JournalQuery,
    ListQuery,
    RemediationDetail,
    RemediationList,
    entry_of,
    item_of,
    question_of,
)
from bridge.model.redact import mask
from bridge.model.remediation import Entry, RemediationView
from bridge.ports import Journal, WorkQueue
from bridge.telemetry import get_logger

FOLLOWERS = 50
"""How many streams are open at a time: each one asks Redis again and again."""
FOLLOW_SECONDS = 3600.0
BEAT_SECONDS = 15.0
"""An empty line this often, so that both ends notice when the other is gone."""

log = get_logger()


class Remediations:
    """Handlers over the work queue and the journal."""

    def __init__(self, queue: WorkQueue, journal: Journal, stopping: asyncio.Event) -> None:
        self._queue = queue
        self._journal = journal
        self._stopping = stopping
        self._followers = 0

    async def list(self, call: Call) -> RemediationList:
        query: ListQuery = call.query
        views = await self._queue.list(
            limit=query.limit,
            state=query.state.value if query.state else None,
            before=query.before or None,
        )
        last = views[-1].remediation.id if len(views) == query.limit else None
        return RemediationList([item_of(view) for view in views], last)

    async def show(self, call: Call) -> RemediationDetail:
        view = await self._get(call.id)
        made, question = view.remediation, question_of(view, await self._journal.read(call.id))
        return RemediationDetail(
            item_of(view),
            made.params,
            made.annotations,
            made.config_hash,
            made.runbook_doc,
            question,
            made.allow_namespaces,
        )

    async def cancel(self, call: Call) -> Cancelled:
        view = await self._get(call.id)
        if not await self._queue.cancel(call.id, call.principal.name, call.body.why):
            raise Refused(409, f"{call.id} is {view.state.value}: only what has not begun to write can be cancelled")
        log.info("cancelled", remediation_id=call.id, by=call.principal.name, why=call.body.why)
        return Cancelled(call.id)

    async def evidence(self, call: Call) -> web.Response:
        """Return everything that is kept of it as an archive; as JSON, where that is accepted, the evidence alone."""
        view = await self._get(call.id)
        blob = await self._journal.evidence(call.id)
        kept = await asyncio.to_thread(_unpacked, blob) if blob else {}
        if "application/json" in call.request.headers.get("Accept", ""):
            if blob is None:
                raise Refused(404, f"no evidence is kept of {call.id}")
            return web.json_response(mask(kept), dumps=lambda value: msgspec.json.encode(value).decode())
        entries = await self._journal.read(call.id)
        return web.Response(
            body=await asyncio.to_thread(bundle, view, entries, kept),
            content_type="application/gzip",
            headers={"Content-Disposition": f'attachment; filename="alertbridge-{call.id}.tar.gz"'},
        )

    async def journal(self, call: Call) -> JournalAnswer | web.StreamResponse:
        query: JournalQuery = call.query
        await self._get(call.id)
        if query.follow:
            return await self._stream(call)
        return JournalAnswer([entry_of(entry) for entry in await self._journal.read(call.id)])

    async def _get(self, remediation: str) -> RemediationView:
        view = await self._queue.get(remediation)
        if view is None:
            raise Refused(404, f"there is no remediation {remediation}")
        return view

    async def _stream(self, call: Call) -> web.StreamResponse:
        if self._followers >= FOLLOWERS:
            raise Refused(503, f"{FOLLOWERS} streams are open already")
        self._followers += 1
        try:
            return await self._send(call, self._journal.follow(call.id))
        finally:
            self._followers -= 1

    async def _send(self, call: Call, entries: AsyncIterator[Entry]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        await response.prepare(call.request)
        stopped = asyncio.ensure_future(self._stopping.wait())
        coming: asyncio.Future[Entry] = asyncio.ensure_future(_next(entries))
        try:
            async with asyncio.timeout(FOLLOW_SECONDS):
                while not stopped.done():
                    both: tuple[asyncio.Future[Any], ...] = (coming, stopped)
                    done, _ = await asyncio.wait(both, timeout=BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                    if coming in done:
                        await response.write(msgspec.json.encode(entry_of(coming.result())) + b"\n")
                        coming = asyncio.ensure_future(_next(entries))
                    elif not done:
                        await response.write(b"\n")
        except (StopAsyncIteration, TimeoutError, ConnectionError):
            pass
        except Exception:
            # The status line is out already: the stream just ends, and the client asks what became of it.
            log.exception("stream broke off", remediation_id=call.id)
        finally:
            stopped.cancel()
            coming.cancel()
            await asyncio.gather(coming, stopped, return_exceptions=True)
        return response


def _unpacked(blob: bytes) -> dict[str, Any]:
    return dict(msgspec.json.decode(gzip.decompress(blob)))


async def _next(entries: AsyncIterator[Entry]) -> Entry:
    return await anext(entries)
