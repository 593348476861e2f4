"""The life of a process: it serves until it is told to stop. Called by `alertbridge serve` and `alertbridge worker`.

What it is put together of says app.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Collection
from pathlib import Path

from bridge import __version__
from bridge.app import ROLES, Bridge, read
from bridge.configuration import ConfigurationHolder
from bridge.telemetry import Metrics, configure_logging


def run_serve(
    config: Path, *, roles: Collection[str] = ROLES, log_format: str | None = None, log_level: str | None = None
) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError before anything is started.

    What is said here about the log takes precedence over what the configuration says.
    """
    import uvloop

    metrics = Metrics(__version__)
    holder = ConfigurationHolder(read(config), lambda: read(config))
    said = holder.current.settings.log
    configure_logging("console" if (log_format or said.format) == "console" else "json", log_level or said.level)
    uvloop.run(_until_signalled(holder, metrics, roles))


async def _until_signalled(holder: ConfigurationHolder, metrics: Metrics, roles: Collection[str]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    bridge = await Bridge.start(holder, metrics, roles=roles)
    _quieten_collector()
    loop.add_signal_handler(signal.SIGHUP, lambda: bridge.spawn(bridge.reload_for_a_signal()))
    try:
        await bridge.until(stopping)
    finally:
        await bridge.stop()


def _quieten_collector() -> None:
    """Let the garbage collector leave alone what was loaded to stay.

    By default it looks through all that was imported, half a million objects, again and again while a storm of
    alerts makes new ones: a third of a large request's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)
    gc.enable()
