"""The configuration of now, and how it changes. Made by app, which asks `changed` now and then and calls `reload`.

A configuration with an error never replaces a good one. What listens or stores (address, TLS, Redis) is taken at the
start only; a change there is told and waits for a restart.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from bridge.configuration.configuration import Configuration
from bridge.configuration.sources import Sources
from bridge.errors import ConfigurationError

log = structlog.get_logger(__name__)

_WHILE_RUNNING = frozenset({"mode", "protected_namespaces", "own", "credentials"})
"""Settings of which everybody asks for the value of now; any other is taken at the start."""


class LoadFailed(ConfigurationError):
    """A configuration with mistakes, and what was read to find them: that is where they will be mended."""

    def __init__(self, problems: list[str], sources: Sources) -> None:
        super().__init__(problems)
        self.sources = sources


class ConfigurationHolder:
    """Holds the configuration; everybody asks `current` when they need it, and keeps none of it.

    `changed` and `reload` read files: call them in a thread.
    """

    def __init__(self, current: Configuration, read: Callable[[], Configuration]) -> None:
        """Take the configuration of the start, and how to read it again (raises ConfigurationError)."""
        self.current = current
        self.problems: tuple[str, ...] = ()
        """What the latest reading found wrong; empty when it is in use."""
        self._read = read
        self._started_with = current.settings
        self._sources = current.sources
        self._one_at_a_time = threading.Lock()

    def changed(self) -> bool:
        """Whether the content of any file differs from what was read last, also when that was refused."""
        return self._sources.as_now() != self._sources.as_read()

    def reload(self) -> Configuration:
        """Read everything again and return it; raise ConfigurationError, and then the old one stays in use."""
        with self._one_at_a_time:
            try:
                new = self._read()
            except ConfigurationError as error:
                self.problems = tuple(error.problems)
                if isinstance(error, LoadFailed):
                    self._sources = error.sources
                raise
            self.current, self.problems, self._sources = new, (), new.sources
        if waiting := self.needs_restart:
            log.warning("changed settings wait for a restart", settings=waiting)
        return new

    @property
    def needs_restart(self) -> list[str]:
        """Return the settings that were changed and wait for a restart."""
        now, then = self.current.settings, self._started_with
        names = type(now).model_fields.keys() - _WHILE_RUNNING
        return sorted(name for name in names if getattr(now, name) != getattr(then, name))
