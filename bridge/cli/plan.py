"""The command `plan`: what a runbook would do now, without one request that changes anything."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bridge.cli.shared import client_of, configured, labels_of, output_option, place_of, server_options, tell

_PATIENCE = 130.0
"""Seconds for the server: it looks as long as a run does."""


@click.command()
@click.argument("runbook")
@click.argument("labels", metavar="LABEL=VALUE...", nargs=-1, callback=labels_of)
@configured
@server_options("Plan at this running server instead, with its configuration and the copies that it keeps.")
@output_option
def plan(
    runbook: str,
    labels: dict[str, str],
    config: Path | None,
    url: str | None,
    token_file: Path | None,
    ca_file: Path | None,
    output: str,
) -> None:
    """Show what a runbook would find and change now, for an alert with these labels, as `kubectl diff` shows it.

    It reads the clusters and peers that the configuration names, with your credentials, and changes nothing. With
    --url or ALERTBRIDGE_URL the running server does that (role operator), unless you name a --config: it alone knows
    the copies that configmap_restore puts back. Guards that go by what happened before (cooldown, attempts, budgets,
    pauses) are left out by both. Status 1 when there would be no plan.
    """
    from bridge.printing.rehearsal import text

    given = click.get_current_context().get_parameter_source
    if config is not None and given("config") is ParameterSource.COMMANDLINE:
        if url and given("url") is ParameterSource.COMMANDLINE:
            raise click.UsageError("--config and --url: the server plans with its own configuration")
        url = None
    shown = _there(client_of(url, token_file, ca_file, timeout=_PATIENCE), runbook, labels) if url else None
    if shown is None:
        shown = _here(config, runbook, labels)
    tell(output, shown, lambda: text(shown))
    if not shown["planned"]:
        raise SystemExit(1)


def _there(client: Any, runbook: str, labels: dict[str, str]) -> dict[str, Any]:
    shown: dict[str, Any] = client.post("/api/v1/plan", {"runbook": runbook, "labels": labels})
    return shown


def _here(config: Path | None, runbook: str, labels: dict[str, str]) -> dict[str, Any]:
    from bridge.app import read
    from bridge.printing.rehearsal import document
    from bridge.rehearsal import rehearse_runbook
    from bridge.telemetry import configure_logging

    configure_logging("console", "error", sys.stderr)
    return document(asyncio.run(rehearse_runbook(read(place_of(config)), runbook, labels)))
