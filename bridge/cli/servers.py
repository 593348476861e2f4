"""Commands that serve: `serve`, `worker` and `demo`."""

from __future__ import annotations

import gc
from pathlib import Path

import click

from bridge.cli.shared import Command, configured, place_of


def _logged(command: Command) -> Command:
    for option in (
        click.option("--log-format", type=click.Choice(["json", "console"]), help="Instead of the configuration's."),
        click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"])),
    ):
        command = option(command)
    return command


@click.command()
@configured
@_logged
def serve(config: Path | None, log_format: str | None, log_level: str | None) -> None:
    """Receive alerts, dispatch and work on them, until SIGTERM."""
    _serve(config, log_format, log_level, ("receiver", "dispatcher", "worker"))


@click.command()
@configured
@_logged
def worker(config: Path | None, log_format: str | None, log_level: str | None) -> None:
    """Only dispatch and work: another process of the same Redis receives."""
    _serve(config, log_format, log_level, ("dispatcher", "worker"))


def _serve(config: Path | None, log_format: str | None, log_level: str | None, roles: tuple[str, ...]) -> None:
    # What is imported stays: to look through it meanwhile, again and again, is a sixth of the time until the first
    # answer. The process turns the collector on when it has started.
    gc.disable()
    from bridge.process import run_serve

    run_serve(place_of(config), roles=roles, log_format=log_format, log_level=log_level)


@click.command()
@click.option("--once", is_flag=True, help="Fire all three alerts, then end; status 0 only if all three healed.")
@click.option("--port", type=click.IntRange(0, 65535), help="By default 9877, or a free one if that is taken.")
@click.option("--log", is_flag=True, help="Show the server's log too.")
def demo(once: bool, port: int | None, log: bool) -> None:
    """Show it on a simulated cluster: break a gateway, fire the alert, watch it heal."""
    from bridge.demo.story import run_story

    raise SystemExit(run_story(once=once, port=port, log=log))
