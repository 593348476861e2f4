"""Take up a changed configuration while the process runs, and keep in the trail who had it read. Made by app."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from bridge.configuration import Configuration, ConfigurationHolder
from bridge.errors import ConfigurationError, StoreUnavailable
from bridge.model.audit import Note
from bridge.model.reason import Reason
from bridge.ports import Audit
from bridge.telemetry import Metrics, get_logger
from bridge.wiring import needs_restart

AFTER_RELOAD = (
    Reason.NO_ROUTE,
    Reason.MUTED,
    Reason.UNKNOWN_CLUSTER,
    Reason.INVALID_TARGET,
    Reason.OBSERVE_ONLY,
    Reason.APPROVAL_NEEDED,
    Reason.PROTECTED_NAMESPACE,
    Reason.PROTECTED_OBJECT,
    Reason.OWN_PART,
    Reason.OWNER_WOULD_REVERT,
    Reason.UNDO_NONE,
    Reason.ROLLOUT_IN_PROGRESS,
    Reason.CHANGED_RECENTLY,
    Reason.BUDGET_SPENT,
    Reason.BUDGET_TOO_SMALL,
    Reason.MAINTENANCE,
    Reason.SILENCES_UNKNOWN,
)
"""What an open incident waits on that a new configuration may have ended."""
_PROBLEMS = 5
"""Of a refused configuration, how many the trail tells."""

log = get_logger()


class Reloader:
    """Reads the configuration again, for whoever asks; `take_ups` are told of every new one."""

    def __init__(self, holder: ConfigurationHolder, metrics: Metrics, audit: Audit, *, process: str) -> None:
        self._holder = holder
        self._metrics = metrics
        self._audit = audit
        self._process = process
        self._began_with = holder.current.settings
        self.take_ups: list[Callable[[Configuration], None]] = []

    async def started(self, said: str) -> None:
        """Keep in the trail that this process begins, and with what: a restart takes up a configuration as well."""
        _warn(self._holder.current)
        await self._note("start", "alertbridge", said, _told(self._holder.current))

    async def reload(self, by: str = "", why: str = "") -> tuple[int, int]:
        """Read the configuration again and return its numbers of routes and runbooks.

        `by`: who asks for it. Raises ConfigurationError; then the old one stays in use.
        """
        who = by or "alertbridge"
        try:
            new = await asyncio.to_thread(self._holder.reload)
        except ConfigurationError as error:
            self._metrics.reloaded(ok=False)
            log.error("configuration refused, the old one stays", problems=error.problems)
            told = "; ".join(error.problems[:_PROBLEMS])
            await self._note("reload_refused", who, why, f"the old one stays in use: {told}")
            raise
        for take_up in self.take_ups:
            take_up(new)
        self._metrics.reloaded(ok=True)
        _warn(new)
        log.info("configuration loaded", routes=new.route_count, runbooks=len(new.runbooks))
        if waiting := needs_restart(self._began_with, new.settings):
            # Silence here would leave, say, a cluster's old address or a namespace's Secrets in use unnoticed.
            log.warning("changed settings wait for a restart, the old ones stay in use", settings=waiting)
        await self._note("reload", who, why, _told(new))
        return new.route_count, len(new.runbooks)

    async def quietly(self, why: str) -> None:
        """Reload for somebody who cannot be answered; the log, a metric and the trail tell how it went."""
        with contextlib.suppress(ConfigurationError):
            await self.reload(why=why)

    async def look(self) -> None:
        """Reload when the files have changed since they were read."""
        if await asyncio.to_thread(self._holder.changed):
            await self.quietly("its files have changed")

    async def _note(self, what: str, who: str, why: str, text: str) -> None:
        try:
            await self._audit.record(Note(what=what, who=who, why=why, about=self._process, text=text[:2000]))
        except StoreUnavailable:
            # It was done: to say no now would be wrong.
            log.error("not in the audit trail", operation=what, by=who, why=why, text=text)


def _told(configuration: Configuration) -> str:
    mode = configuration.settings.mode
    limit = f", mode at most: {mode.value}" if mode is not None else ""
    return f"routes: {configuration.route_count}, runbooks: {len(configuration.runbooks)}{limit}"


def _warn(loaded: Configuration) -> None:
    """Say at night what `check-config` would have said by day."""
    for text in loaded.warnings:
        log.warning("the configuration has a doubtful place", place=text)
