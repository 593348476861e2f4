"""Commands that look back: `audit`, `report` and `stats`."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import click

from bridge.cli.shared import connected, echo, segment, tell


@click.command()
@click.option("--since", metavar="TIME|DURATION", help="From when on: 2030-01-31T14:00:00Z, or 24h for the last day.")
@click.option("--until", metavar="TIME|DURATION", help="Before when.")
@connected
def audit(client: Any, since: str | None, until: str | None, output: str) -> None:
    """Print every decision and every write: who or what, why, before, after. `-o json` is one object a line."""
    from bridge import printing

    now = time.time()
    given = {"since": _moment(since, now, "--since"), "until": _moment(until, now, "--until")}
    for record in client.lines("/api/v1/audit", **given):
        echo(json.dumps(record) if output == "json" else printing.audit_line(record))


@click.command()
@click.argument("id_", metavar="ID")
@connected
def report(client: Any, id_: str, output: str) -> None:
    """Print the incident report, as Markdown for a post-mortem."""
    path = f"/api/v1/remediations/{segment(id_)}/report"
    if output == "json":
        echo(json.dumps(client.get(path), indent=2, ensure_ascii=True))
    else:
        echo(client.download(path).decode("utf-8").rstrip("\n"))


@click.command()
@click.option("--limit", type=click.IntRange(1, 500), default=200, show_default=True, help="Of so many.")
@connected
def stats(client: Any, limit: int, output: str) -> None:
    """Show how well it went: times to detect, respond and resolve, success rates, false positives."""
    from bridge import printing

    found = client.get("/api/v1/stats", limit=limit)
    tell(output, found, lambda: printing.stats(found))


def _moment(given: str | None, now: float, option: str) -> str | None:
    """Return a time as the API takes it; a duration is so long ago."""
    from bridge.model.runbook import parse_duration

    if given is None:
        return None
    try:
        then = datetime.fromisoformat(given)
    except ValueError:
        try:
            then = datetime.fromtimestamp(now - parse_duration(given), UTC)
        except ValueError:
            raise click.BadParameter(
                f"{given!r} is neither a time (2030-01-31T14:00:00Z) nor a duration (24h)", param_hint=option
            ) from None
    then = then.astimezone(UTC)
    return then.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
