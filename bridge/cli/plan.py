"""The command `plan`: what a runbook would do now, without a server and without one request that changes anything."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from bridge.cli.shared import configured, labels_of, output_option, place_of, tell


@click.command()
@click.argument("runbook")
@click.argument("labels", metavar="LABEL=VALUE...", nargs=-1, callback=labels_of)
@configured
@output_option
def plan(runbook: str, labels: dict[str, str], config: Path | None, output: str) -> None:
    """Show what a runbook would find and change now, for an alert with these labels, as `kubectl diff` shows it.

    It reads the cluster that the configuration names, with your credentials, and changes nothing. Guards that go by
    what happened before (cooldown, attempts, pauses) are the server's. Status 1 when there would be no plan.
    """
    from bridge.app import read
    from bridge.printing.rehearsal import document, text
    from bridge.rehearsal import rehearse_runbook
    from bridge.telemetry import configure_logging

    configure_logging("console", "error", sys.stderr)
    found = asyncio.run(rehearse_runbook(read(place_of(config)), runbook, labels))
    shown: dict[str, Any] = document(found)
    tell(output, shown, lambda: text(shown))
    if not shown["planned"]:
        raise SystemExit(1)
