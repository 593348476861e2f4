"""How the store itself is."""

from __future__ import annotations

from typing import Protocol


class StoreHealth(Protocol):
    async def ping(self) -> None:
        """Raise StoreUnavailable when alerts could not be stored now."""
        ...

    async def time(self) -> float:
        """Return the store's time in unix seconds: the one clock on which all hosts agree."""
        ...
