"""Lets calls that come at the same time share one round trip. Used by intake_queue.

Nothing waits for company: what has come while a call is out goes with the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Together(Generic[Item, Result]):
    """Calls `run` with at most `most` items; it returns a result, or the error to raise, for each."""

    def __init__(self, run: Callable[[list[Item]], Awaitable[list[Result | Exception]]], *, most: int) -> None:
        self._run = run
        self._most = most
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._busy: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """Return the item's result. A caller that is cancelled may find its item carried out all the same."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, answer))
        if self._busy is None:
            self._busy = loop.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                try:
                    results = await self._run([item for item, _ in batch])
                except Exception as error:
                    results = [error] * len(batch)
                for (_, answer), result in zip(batch, results, strict=True):
                    _settle(answer, result)
        finally:
            self._busy = None
            for _, answer in (*batch, *self._waiting):
                # Only when this task was cancelled: nobody may wait for ever.
                if not answer.done():
                    answer.cancel()
            self._waiting.clear()


def _settle(answer: asyncio.Future[Result], result: Result | Exception) -> None:
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
