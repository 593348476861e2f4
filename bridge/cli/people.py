"""Commands about people: `ack`."""

from __future__ import annotations

from typing import Any

import click

from bridge.cli.shared import connected, segment, tell


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--why", default="", help="Stands in the messages that follow.")
@connected
def ack(client: Any, id_: str, why: str, output: str) -> None:
    """Take on a remediation that a person was called for: nobody further is called."""
    done = client.post(f"/api/v1/remediations/{segment(id_)}/ack", {"why": why})
    tell(output, done, lambda: f"{id_} is acknowledged by {done['by']}")
