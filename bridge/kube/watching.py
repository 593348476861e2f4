"""Wait for a state of one object: list, watch from there, and list again when that has expired.

Used by bridge.kube.client. It never asks faster than its back-off allows, however often the server ends a watch: with
410 (its history is gone), with an early end or with a broken connection.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from bridge.errors import InvalidInput, KubeBusy, KubeError, KubeInvalid, KubeUnavailable
from bridge.kube.paths import Resource, collection_path, field_selector, query_string
from bridge.kube.transport import Call, Reply, Transport, refused
from bridge.model.target import ObjectRef

Document = dict[str, Any]
Holds = Callable[[Document | None], bool]
MakeCall = Callable[[str, str], Call]
"""Makes a call from its verb and path."""

_LONGEST = 600.0
_LARGEST_EVENT = 8 * 1024 * 1024


class Backoff(msgspec.Struct, frozen=True):
    """Pauses after each failure in a row, in seconds: doubled from `first` up to `longest`, less up to a half."""

    first: float = 0.2
    longest: float = 5.0

    def pause(self, failures: int, jitter: float) -> float:
        """Return the pause after so many failures; `jitter` is between 0 and 1."""
        whole = min(self.first * 2.0 ** min(failures - 1, 20), self.longest)
        return whole * (1 - jitter / 2)


class _Expired(Exception):
    """The server no longer knows the version to watch from."""


class Waiter:
    """Waits for one object. `sleep` and `jitter` are passed in for tests."""

    def __init__(
        self,
        transport: Transport,
        resource: Resource,
        ref: ObjectRef,
        make: MakeCall,
        *,
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._transport = transport
        self._ref = ref
        self._make = make
        self._path = collection_path(resource, ref.namespace)
        self._backoff = backoff or Backoff()
        self._sleep = sleep
        self._jitter = jitter
        self._seen: Document | None = None
        self._version = ""

    async def wait(self, holds: Holds, seconds: float) -> Document | None:
        """Return the object: when `holds` was true of it, or as it is when the time is over.

        Raises the Kube* error of what can't be watched, and of the read at the end.
        """
        if not 0 < seconds <= _LONGEST:
            raise InvalidInput(f"a wait of {seconds:g} s is not between 0 and {_LONGEST:g}")
        try:
            async with asyncio.timeout(seconds):
                await self._until(holds, asyncio.get_running_loop().time() + seconds)
        except TimeoutError:
            # A watch that says nothing may be one whose connection died: what is so at the end has to be read.
            await self._list()
        return self._seen

    async def _until(self, holds: Holds, end: float) -> None:
        failures = 0
        while True:
            asked = 0.0
            try:
                if not self._version:
                    await self._list()
                if holds(self._seen):
                    return
                async for _ in self._watch(end):
                    failures = 0
                    if holds(self._seen):
                        return
            except _Expired:
                self._version = ""
            except (KubeBusy, KubeUnavailable) as error:
                # What happened meanwhile is still told from the version that was seen last.
                asked = error.retry_after or 0.0
            # An early end counts as a failure too: a server that ends every watch at once must not be hammered.
            failures += 1
            await self._sleep(max(asked, self._backoff.pause(failures, self._jitter())))

    async def _list(self) -> None:
        selection = {"fieldSelector": field_selector({"metadata.name": self._ref.name})}
        document = await self._transport.json(self._make("list", self._path + query_string(selection)))
        items = document.get("items") or []
        head = {"apiVersion": self._ref.api_version, "kind": self._ref.kind}
        self._seen = {**head, **items[0]} if items else None
        self._version = str((document.get("metadata") or {}).get("resourceVersion") or "")

    async def _watch(self, end: float) -> AsyncIterator[None]:
        """Take events in, one at a time, until the server ends the watch. Raises _Expired."""
        left = end - asyncio.get_running_loop().time()
        query = query_string(
            {
                "fieldSelector": field_selector({"metadata.name": self._ref.name}),
                "watch": "true",
                "allowWatchBookmarks": "true",
                "resourceVersion": self._version,
                "timeoutSeconds": max(1, math.ceil(left)),
            }
        )
        call = self._make("watch", self._path + query)
        try:
            async with self._transport.stream(call) as chunks:
                async for line in _lines(chunks):
                    self._take(call, line)
                    yield
        except KubeError as error:
            if error.status == 410:
                raise _Expired from error
            raise

    def _take(self, call: Call, line: bytes) -> None:
        try:
            event = msgspec.json.decode(line)
            kind, found = event["type"], event["object"]
            version = found["metadata"].get("resourceVersion") if kind != "ERROR" else None
        except (msgspec.DecodeError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise KubeUnavailable("an event of the watch cannot be read", what=call.what) from error
        if kind == "ERROR":
            code = found.get("code") if isinstance(found, dict) else None
            status = code if isinstance(code, int) else 500
            raise refused(call, Reply(status, msgspec.json.encode(found), None))
        self._version = str(version or self._version)
        if kind in ("ADDED", "MODIFIED"):
            self._seen = found
        elif kind == "DELETED":
            self._seen = None


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give the lines of a stream; an unfinished last one was cut off, and is left out."""
    rest = bytearray()
    async for chunk in chunks:
        rest += chunk
        *whole, last = rest.split(b"\n")
        for line in whole:
            if line.strip():
                yield bytes(line)
        rest = bytearray(last)
        if len(rest) > _LARGEST_EVENT:
            raise KubeInvalid(f"an event of the watch is larger than {_LARGEST_EVENT} bytes")
