"""Commands that read files: `check-config` and `route-test`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.shared import configured, echo, labels_of, output_option, place_of, tell
from bridge.model.text import printable

if TYPE_CHECKING:
    from bridge.model.schedule import ScheduleSpec


@click.command("check-config")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--schema",
    type=click.Choice(["main", "included"]),
    help="Print the JSON Schema of bridge.yml, or of a file that it includes, for your editor; nothing is checked.",
)
@configured
@output_option
def check_config(file: Path | None, schema: str | None, config: Path | None, output: str) -> None:
    """Check the configuration; every mistake is one line with file, line, column and key."""
    from bridge.app import read

    if schema:
        from bridge.configuration.main_schema import main_schema

        echo(json.dumps(main_schema(included=schema == "included"), indent=2))
        return
    place = place_of(file or config)
    loaded = read(place)
    found: dict[str, Any] = {
        "file": str(place),
        "routes": loaded.route_count,
        "runbooks": sorted(loaded.runbooks),
        "schedules": [_schedule(each) for each in loaded.schedules],
        "warnings": list(loaded.warnings),
    }
    for warning in loaded.warnings:
        click.echo(f"warning: {printable(warning)}", err=True)
    due = [f"schedule {at['name']}: {at['runbook']}, next {', '.join(at['next'])}" for at in found["schedules"]]
    all_well = (
        f"{place}: {_counted(loaded.route_count, 'route')}, {_counted(len(loaded.runbooks), 'runbook')}: all well"
    )
    tell(output, found, lambda: "\n".join([*due, all_well]))


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _schedule(spec: ScheduleSpec) -> dict[str, Any]:
    times = [at.isoformat() for at in spec.next_due(time.time())]
    return {"name": spec.name, "runbook": spec.runbook, "mode": spec.mode.value, "next": times}


@click.command("route-test")
@click.argument("labels", metavar="LABEL=VALUE...", nargs=-1, callback=labels_of)
@configured
@output_option
def route_test(labels: dict[str, str], config: Path | None, output: str) -> None:
    """Show which routes an alert with these labels takes. Status 1 when none of them names a runbook."""
    from bridge import printing
    from bridge.app import read

    loaded = read(place_of(config))
    ends = [_route_end(loaded, match, labels) for match in loaded.table.match(labels)]
    tell(output, {"routes": ends}, lambda: printing.routes(loaded.table.explain(labels).render(), ends))
    if not any(end["runbook"] for end in ends):
        raise SystemExit(1)


def _route_end(loaded: Any, match: Any, labels: dict[str, str]) -> dict[str, Any]:
    """Return what a route would do with the alert now."""
    from bridge.model.mode import Mode, strictest

    runbook = loaded.runbooks.get(match.runbook)
    named = labels.get(loaded.settings.clusters.label)
    cluster = loaded.default_connection if named is None else loaded.cluster_names.get(named)
    return {
        "runbook": match.runbook,
        "route": match.path,
        "mode": strictest(loaded.settings.mode, match.mode or Mode.OBSERVE, runbook.mode if runbook else None).value,
        "cluster": cluster or "unknown: denied",
        "params": dict(match.params),
        "cooldown": match.cooldown,
        "attempts": match.max_attempts,
        "muted": loaded.muted(match, time.time()) or "no",
    }
