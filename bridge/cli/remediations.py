"""Commands about remediations: `list`, `show` `cancel`, `approve`, `deny` and `undo`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click

from bridge.cli.shared import FINE, connected, echo, segment, tell


@click.command("list")
@click.option("--state", type=click.Choice(["queued", "running", "parked", "done"]))
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@connected
def list_(client: Any, state: str | None, limit: int, output: str) -> None:
    """List remediations, newest first: what each is about, who or what asked for it, and where it stands."""
    from bridge import printing

    found = client.get("/api/v1/remediations", state=state, limit=limit)
    tell(output, found, lambda: printing.remediations(found["remediations"]))


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--follow", "-f", is_flag=True, help="Stay until it is over; status 0 only if it succeeded.")
@click.option(
    "--evidence",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write everything that is kept of it into this tar.gz instead (a folder: under a name of its own).",
)
@connected
def show(client: Any, id_: str, follow: bool, evidence: Path | None, output: str) -> None:
    """Show one remediation: what was found, planned, done and proved."""
    from bridge import printing
    from bridge.printing import people

    if evidence is not None:
        _save(client, id_, evidence, output)
        return
    if follow:
        raise SystemExit(follow_journal(client, id_, output))
    detail = client.get(f"/api/v1/remediations/{segment(id_)}")
    entries = client.get(f"/api/v1/remediations/{segment(id_)}/journal")["entries"]
    told = client.get(f"/api/v1/remediations/{segment(id_)}/notices")
    tell(
        output,
        {**detail, "journal": entries, "people": told},
        lambda: printing.remediation(detail, entries) + people.told(told),
    )


def _save(client: Any, id_: str, place: Path, output: str) -> None:
    """Write the remediation's archive to a file."""
    file = place / f"alertbridge-{segment(id_)}.tar.gz" if place.is_dir() else place
    content = client.download(f"/api/v1/remediations/{segment(id_)}/evidence")
    try:
        file.write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from error
    tell(
        output,
        {"file": str(file), "bytes": len(content)},
        lambda: f"{file}: {len(content)} bytes; read index.md first",
    )


def follow_journal(client: Any, id_: str, output: str) -> int:
    """Print the journal as it is written; return the exit status."""
    from bridge import printing

    created = client.get(f"/api/v1/remediations/{segment(id_)}")["remediation"]["created_at"]
    for entry in client.lines(f"/api/v1/remediations/{segment(id_)}/journal", follow="true"):
        for line in [json.dumps(entry)] if output == "json" else printing.journal_entry(entry, created):
            echo(line)
    outcome = client.get(f"/api/v1/remediations/{segment(id_)}")["remediation"]["outcome"]
    return 0 if outcome in FINE else 1


def _digest(_ctx: click.Context, _parameter: click.Parameter, given: str) -> str:
    if given and not re.fullmatch("[0-9a-f]{16}", given):
        raise click.BadParameter(f"{given!r} is no plan's digest: 16 of 0-9a-f, as `alertbridge show ID` tells it")
    return given


_PLAN = click.option(
    "--plan",
    default="",
    metavar="DIGEST",
    callback=_digest,
    help="Answer this plan only, not one that came after it.",
)
_WHY = click.option("--why", default="", help="Stands in the audit trail.")


@click.command()
@click.argument("id_", metavar="ID")
@_PLAN
@_WHY
@connected
def approve(client: Any, id_: str, plan: str, why: str, output: str) -> None:
    """Agree to the plan that a remediation waits with; without --plan it is shown, and asked about at a terminal."""
    plan = plan or _seen(client, id_, output)
    said = client.post(f"/api/v1/remediations/{segment(id_)}/approve", {"why": why, "plan": plan})
    tell(output, said, lambda: f"{id_}: {said['agreed']} of {said['needed']} agree" + _before(said))


def _seen(client: Any, id_: str, output: str) -> str:
    """Show the plan that is asked about now and return its digest: what changes meanwhile is not agreed to.

    Empty where nothing is asked: the server says why.
    """
    from bridge import printing
    from bridge.model.text import printable

    asked = client.get(f"/api/v1/remediations/{segment(id_)}").get("question")
    if not asked or not asked["open"]:
        return ""
    if output == "text":
        entries = client.get(f"/api/v1/remediations/{segment(id_)}/journal")["entries"]
        wanted = asked["steps"].items()
        shown = {e["data"]["hash"]: e for e in entries if (e["data"].get("step"), e["data"].get("hash")) in wanted}
        for entry in shown.values():
            lines = [printable(printing.brief(entry)), *printing.plan(entry["data"]["plan"])]
            click.echo("\n".join(lines), err=True)
        if sys.stdin.isatty():
            click.confirm(f"Is plan {asked['plan']} to be made?", abort=True, err=True)
    return str(asked["plan"])


@click.command()
@click.argument("id_", metavar="ID")
@_PLAN
@_WHY
@connected
def deny(client: Any, id_: str, plan: str, why: str, output: str) -> None:
    """Say no to the plan that a remediation waits with: it ends."""
    said = client.post(f"/api/v1/remediations/{segment(id_)}/deny", {"why": why, "plan": plan})
    tell(output, said, lambda: f"{id_} is denied" + _before(said))


@click.command()
@click.argument("id_", metavar="ID")
@_WHY
@connected
def undo(client: Any, id_: str, why: str, output: str) -> None:
    """Put back what a finished remediation changed."""
    said = client.post(f"/api/v1/remediations/{segment(id_)}/undo", {"why": why})
    tell(output, said, lambda: f"{said['undo']} puts it back" + _before(said))


def _before(said: dict[str, Any]) -> str:
    return " (said before)" if said["again"] else ""


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--why", default="", help="Stands in the audit trail.")
@connected
def cancel(client: Any, id_: str, why: str, output: str) -> None:
    """Cancel a remediation that has not begun to write."""
    done = client.post(f"/api/v1/remediations/{segment(id_)}/cancel", {"why": why})
    tell(output, done, lambda: f"{id_} is cancelled")
