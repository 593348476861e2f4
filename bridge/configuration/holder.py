"""The configuration of now, and how it changes: by a reload, or because a file has changed. Made by app.

A configuration with an error never replaces a good one. What listens or stores (address, TLS, Redis) is taken at the
start only; a change there is told and waits for a restart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from bridge.configuration.configuration import Configuration
from bridge.configuration.sources import Sources
from bridge.errors import ConfigurationError
from bridge.ports import Clock
from bridge.settings import Settings

log = structlog.get_logger(__name__)

Load = Callable[[Sources], Configuration]
Changed = Callable[[Configuration], None]

_AT_START = frozenset(
    {"installation", "listen", "limits", "redis", "clusters", "prometheus", "http", "concurrency", "claim"}
    | {"dead_letter_after", "retention", "incident_ttl", "skew_window", "grace", "log"}
)
"""Settings that only a restart changes."""


class ConfigurationHolder:
    """Holds the configuration; everybody asks `current` when they need it, and keeps none of it."""

    def __init__(
        self, load: Load, *, reloaded: Callable[[bool], None] = lambda ok: None, changed: Sequence[Changed] = ()
    ) -> None:
        """Read it for the first time; raise ConfigurationError with every problem.

        `load` reads it and tells the Sources what it read. `reloaded` is told of every reading whether it was good
        (for a metric), `changed` of every new configuration.
        """
        self._load = load
        self._reloaded = reloaded
        self.changed = [*changed]
        self._sources = Sources()
        self._one_at_a_time = asyncio.Lock()
        self.current = load(self._sources)
        self.problems: tuple[str, ...] = ()
        """What the latest reading found wrong; empty when it is in use."""
        self._started_with: Settings = self.current.settings
        self._seen = self._sources.as_read()
        reloaded(True)

    @property
    def needs_restart(self) -> list[str]:
        """Return the settings that were changed and wait for a restart."""
        return sorted(
            name for name in _AT_START if getattr(self.current.settings, name) != getattr(self._started_with, name)
        )

    async def reload(self) -> list[str]:
        """Read everything again; return what is wrong, and then the old configuration stays in use."""
        async with self._one_at_a_time:
            return await self._read()

    async def look(self) -> bool:
        """Reload if the content of any file has changed since the last look; return whether it has."""
        async with self._one_at_a_time:
            now = await asyncio.to_thread(self._sources.as_now)
            if now == self._seen:
                return False
            await self._read()
            return True

    async def watch(self, clock: Clock, *, every: float = 5.0) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            await clock.sleep(every)
            try:
                await self.look()
            except Exception:
                log.exception("cannot look for changes of the configuration")

    async def _read(self) -> list[str]:
        sources = Sources()
        try:
            new = await asyncio.to_thread(self._load, sources)
        except ConfigurationError as error:
            # Also what was read in vain is watched from now on: that is where the mistake will be mended.
            self._watch(sources)
            self.problems = tuple(error.problems)
            self._reloaded(False)
            log.error("configuration refused, the old one stays", problems=error.problems)
            return error.problems
        self._watch(sources)
        self.current, self.problems = new, ()
        self._reloaded(True)
        log.info("configuration loaded", runbooks=len(new.runbooks), warnings=list(new.warnings))
        if waiting := self.needs_restart:
            log.warning("changed settings wait for a restart", settings=waiting)
        for tell in self.changed:
            tell(new)
        return []

    def _watch(self, sources: Sources) -> None:
        self._sources = sources
        self._seen = sources.as_read()
