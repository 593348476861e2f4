"""The command line. Commands that touch state speak HTTP to the running server; the others read files.

Imports what a command needs inside the command: `alertbridge --help` has to be quick. Exit status: 0, 1 for no
or failed, 2 for wrong usage or a wrong configuration.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from bridge import __version__
from bridge.errors import AlertbridgeError, ConfigurationError, InvalidInput
from bridge.model.text import printable

_FINE = {"succeeded", "observed"}
_PLACES = (Path("/etc/alertbridge/bridge.yml"), Path("config/bridge.yml"))


class _Commands(click.Group):
    """Tells our errors as one line each, with the exit status that they mean."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            for problem in error.problems:
                click.echo(printable(problem), err=True)
            ctx.exit(2)
        except InvalidInput as error:
            _fail(ctx, str(error), 2)
        except AlertbridgeError as error:
            _fail(ctx, str(error), 1)
        except BrokenPipeError:
            # Whoever read our output has seen enough; keep the interpreter from flushing into the closed pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(1)


def _fail(ctx: click.Context, message: str, status: int) -> NoReturn:
    for number, line in enumerate(message.splitlines() or [""]):
        click.echo(f"{'' if number else 'Error: '}{printable(line)}", err=True)
    ctx.exit(status)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="alertbridge")
def main() -> None:
    """alertbridge turns alerts into planned, guarded and verified repairs.

    Commands that touch state speak HTTP to the running server: --url or ALERTBRIDGE_URL, with the credential in
    ALERTBRIDGE_TOKEN or --token-file.
    """


# ---- what they share ------------------------------------------------------------------------------------------


Command = Callable[..., Any]
_EXISTING = click.Path(path_type=Path, exists=True, dir_okay=False)


def _labels(_ctx: click.Context, _param: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    labels = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{pair!r} is not LABEL=VALUE")
        labels[name] = value
    return labels


def _output(command: Command) -> Command:
    return click.option(
        "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json is for programs."
    )(command)


def _configured(command: Command) -> Command:
    return click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="ALERTBRIDGE_CONFIG",
        help=f"The routing table; by default {' or '.join(str(place) for place in _PLACES)}.",
    )(command)


def _connected(command: Command) -> Command:
    """Give the command a `client` of the running server, and `-o`."""

    @click.option("--url", envvar="ALERTBRIDGE_URL", help="The running server; by default http://127.0.0.1:9877.")
    @click.option(
        "--token-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The credential."
    )
    @click.option(
        "--ca-file", type=click.Path(exists=True, dir_okay=False), envvar="ALERTBRIDGE_CA_FILE", help="For TLS."
    )
    @_output
    @functools.wraps(command)
    def connected(url: str | None, token_file: Path | None, ca_file: Path | None, **rest: Any) -> Any:
        from bridge.client import DEFAULT_URL, Client

        token = token_file.read_text("utf-8").strip() if token_file else os.environ.get("ALERTBRIDGE_TOKEN", "")
        return command(client=Client(url or DEFAULT_URL, token=token, ca_file=str(ca_file or "") or None), **rest)

    return connected


def _show(output: str, document: Any, text: Callable[[], str]) -> None:
    """Print the API's own answer for programs, or `text()` for people."""
    _echo(json.dumps(document, indent=2, ensure_ascii=True) if output == "json" else text())


def _echo(text: str) -> None:
    click.echo(text, color=False if os.environ.get("NO_COLOR") else None)


def _place(config: Path | None) -> Path:
    """Return the routing table's file; raise ConfigurationError when there is none."""
    for place in [config] if config else _PLACES:
        if place.is_file():
            return place
    raise ConfigurationError([f"{config or _PLACES[-1]}: there is no such file (--config, ALERTBRIDGE_CONFIG)"])


# ---- servers --------------------------------------------------------------------------------------------------


def _logged(command: Command) -> Command:
    for option in (
        click.option("--log-format", type=click.Choice(["json", "console"]), help="Instead of the configuration's."),
        click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"])),
    ):
        command = option(command)
    return command


@main.command()
@_configured
@_logged
def serve(config: Path | None, log_format: str | None, log_level: str | None) -> None:
    """Receive alerts, dispatch and work on them, until SIGTERM."""
    _serve(config, log_format, log_level, ("receiver", "dispatcher", "worker"))


@main.command()
@_configured
@_logged
def worker(config: Path | None, log_format: str | None, log_level: str | None) -> None:
    """Only dispatch and work: another process of the same Redis receives."""
    _serve(config, log_format, log_level, ("dispatcher", "worker"))


def _serve(config: Path | None, log_format: str | None, log_level: str | None, roles: tuple[str, ...]) -> None:
    from bridge.app import run_serve

    run_serve(_place(config), roles=roles, log_format=log_format, log_level=log_level)


@main.command()
@click.option("--once", is_flag=True, help="Fire all three alerts, then end; status 0 only if all three healed.")
@click.option("--port", type=click.IntRange(0, 65535), help="By default 9877, or a free one if that is taken.")
@click.option("--log", is_flag=True, help="Show the server's log too.")
def demo(once: bool, port: int | None, log: bool) -> None:
    """Show it on a simulated cluster: break a gateway, fire the alert, watch it heal."""
    from bridge.demo.story import run_story

    raise SystemExit(run_story(once=once, port=port, log=log))


# ---- files ----------------------------------------------------------------------------------------------------


@main.command("check-config")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@_configured
@_output
def check_config(file: Path | None, config: Path | None, output: str) -> None:
    """Check the configuration; every mistake is one line with file, line, column and key."""
    from bridge.app import read

    place = _place(file or config)
    loaded = read(place)
    found = {
        "file": str(place),
        "routes": loaded.route_count,
        "runbooks": sorted(loaded.runbooks),
        "warnings": list(loaded.warnings),
    }
    for warning in loaded.warnings:
        click.echo(f"warning: {printable(warning)}", err=True)
    _show(output, found, lambda: f"{place}: {loaded.route_count} routes, {len(loaded.runbooks)} runbooks: all well")


@main.command("route-test")
@click.argument("labels", metavar="LABEL=VALUE...", nargs=-1, callback=_labels)
@_configured
@_output
def route_test(labels: dict[str, str], config: Path | None, output: str) -> None:
    """Show which routes an alert with these labels takes. Status 1 when none of them names a runbook."""
    from bridge import printing
    from bridge.app import read

    loaded = read(_place(config))
    ends = [_route_end(loaded, match, labels) for match in loaded.table.match(labels)]
    _show(output, {"routes": ends}, lambda: printing.routes(loaded.table.explain(labels).render(), ends))
    if not any(end["runbook"] for end in ends):
        raise SystemExit(1)


def _route_end(loaded: Any, match: Any, labels: dict[str, str]) -> dict[str, Any]:
    """Return what a route would do with the alert now."""
    from bridge.model.mode import strictest

    runbook = loaded.runbooks.get(match.runbook)
    named = labels.get(loaded.settings.clusters.label)
    cluster = loaded.default_connection if named is None else loaded.cluster_names.get(named)
    return {
        "runbook": match.runbook,
        "route": match.path,
        "mode": strictest(loaded.settings.mode, match.mode, runbook.mode if runbook else None).value,
        "cluster": cluster or "unknown: denied",
        "params": dict(match.params),
        "cooldown": match.cooldown,
        "attempts": match.max_attempts,
        "muted": loaded.muted(match, time.time()) or "no",
    }


# ---- remediations ---------------------------------------------------------------------------------------------


@main.command("list")
@click.option("--state", type=click.Choice(["queued", "running", "parked", "done"]))
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@_connected
def list_(client: Any, state: str | None, limit: int, output: str) -> None:
    """List remediations, newest first."""
    from bridge import printing

    found = client.get("/api/v1/remediations", state=state, limit=limit)
    _show(output, found, lambda: printing.remediations(found["remediations"]))


@main.command()
@click.argument("id_", metavar="ID")
@click.option("--follow", "-f", is_flag=True, help="Stay until it is over; status 0 only if it succeeded.")
@_connected
def show(client: Any, id_: str, follow: bool, output: str) -> None:
    """Show one remediation: what was found, planned, done and proved."""
    from bridge import printing

    if follow:
        raise SystemExit(_follow(client, id_, output))
    detail = client.get(f"/api/v1/remediations/{_segment(id_)}")
    entries = client.get(f"/api/v1/remediations/{_segment(id_)}/journal")["entries"]
    _show(output, {**detail, "journal": entries}, lambda: printing.remediation(detail, entries))


def _follow(client: Any, id_: str, output: str) -> int:
    """Print the journal as it is written; return the exit status."""
    from bridge import printing

    created = client.get(f"/api/v1/remediations/{_segment(id_)}")["remediation"]["created_at"]
    for entry in client.lines(f"/api/v1/remediations/{_segment(id_)}/journal", follow="true"):
        for line in [json.dumps(entry)] if output == "json" else printing.journal_entry(entry, created):
            _echo(line)
    outcome = client.get(f"/api/v1/remediations/{_segment(id_)}")["remediation"]["outcome"]
    return 0 if outcome in _FINE else 1


def _segment(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")


@main.command()
@click.argument("id_", metavar="ID")
@click.option("--why", default="", help="Stands in the audit trail.")
@_connected
def cancel(client: Any, id_: str, why: str, output: str) -> None:
    """Cancel a remediation that has not begun to write."""
    done = client.post(f"/api/v1/remediations/{_segment(id_)}/cancel", {"why": why})
    _show(output, done, lambda: f"{id_} is cancelled")


# ---- by hand --------------------------------------------------------------------------------------------------


@main.command()
@click.argument("what", metavar="RUNBOOK-OR-ALERT")
@click.argument("labels", metavar="LABEL=VALUE...", nargs=-1, callback=_labels)
@click.option("--why", default="", help="Stands in the audit trail.")
@click.option("--override", multiple=True, metavar="REASON", help="Pass the guard with this reason, explicitly.")
@click.option("--follow", "-f", is_flag=True, help="Stay until it is over; status 0 only if it succeeded.")
@_connected
def trigger(
    client: Any, what: str, labels: dict[str, str], why: str, override: tuple[str, ...], follow: bool, output: str
) -> None:
    """Fire an alert by hand, or run a runbook (a name with a slash). It goes through every guard."""
    body = {"labels": labels, "why": why, "override": list(override)}
    body["runbook" if "/" in what else "alertname"] = what
    taken = client.post("/api/v1/trigger", body)
    if output == "text" or not follow:
        _show(
            output, taken, lambda: f"taken: {taken['seen']}; `alertbridge explain {taken['fingerprint']}` says more"
        )
    if follow:
        raise SystemExit(_follow(client, _remediation_of(client, taken), output))


def _remediation_of(client: Any, taken: dict[str, Any], within: float = 20.0) -> str:
    """Return the remediation that a triggered alert made or joined; raise ServerError when it made none."""
    from bridge.client import ServerError

    until = time.monotonic() + within
    last = "not dispatched yet"
    while time.monotonic() < until:
        try:
            decisions = client.get(f"/api/v1/explain/{taken['fingerprint']}")["decisions"]
        except ServerError as error:
            if error.status != 404:
                raise
            decisions = []
        ours = [one for one in decisions if one["incident"] == taken["incident"]]
        for one in reversed(ours):
            if one["remediation"]:
                return str(one["remediation"])
            last = f"{one['reason']}: {one['detail']}"
        if ours:
            break
        time.sleep(0.1)
    raise ServerError(f"no remediation: {last}")


@main.command()
@click.option("--scope", default="all", show_default=True, help="all, cluster:NAME, namespace:NAME or runbook:NAME.")
@click.option("--why", help="Needed: it stands in the audit trail and before whoever finds things paused.")
@click.option("--for", "duration", metavar="DURATION", help="30m, 2h; without it until somebody resumes.")
@click.option("--list", "listing", is_flag=True, help="Show what is paused.")
@_connected
def pause(client: Any, scope: str, why: str | None, duration: str | None, listing: bool, output: str) -> None:
    """Stop acting. Alerts are still taken in; what still fires is looked at after the pause."""
    from bridge import printing

    if listing:
        found = client.get("/api/v1/pauses")
        _show(output, found, lambda: printing.pauses(found["pauses"]))
        return
    if not why:
        raise click.UsageError("say why: --why TEXT")
    body: dict[str, Any] = {"scope": scope, "why": why}
    if duration:
        body["seconds"] = _seconds(duration)
    made = client.post("/api/v1/pause", body)
    _show(
        output, made, lambda: f"paused: {made['scope']}, until {printing.second(made['until'], 'somebody resumes')}"
    )


def _seconds(duration: str) -> float:
    from bridge.model.runbook import parse_duration

    try:
        return parse_duration(duration)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None


@main.command()
@click.option("--scope", default="all", show_default=True, help="all, cluster:NAME, namespace:NAME or runbook:NAME.")
@_connected
def resume(client: Any, scope: str, output: str) -> None:
    """End a pause. Nothing is replayed: what still fires is looked at again."""
    made = client.post("/api/v1/resume", {"scope": scope})
    _show(output, made, lambda: f"resumed: {made['scope']}; {made['woken']} open incidents are looked at again")


@main.command()
@click.argument("fingerprint", metavar="FINGERPRINT|LABEL=VALUE...", nargs=-1, required=True)
@_connected
def explain(client: Any, fingerprint: tuple[str, ...], output: str) -> None:
    """Say what was decided about an alert and why, the decisions to do nothing too.

    Its labels, all of them, do as well as its fingerprint.
    """
    from bridge import printing
    from bridge.model.alert import fingerprint as fingerprint_of

    named = fingerprint[0]
    if "=" in named:
        named = fingerprint_of(_labels(click.get_current_context(), click.Option(["--labels"]), fingerprint))
    elif len(fingerprint) > 1:
        raise click.UsageError("one fingerprint, or labels")
    found = client.get(f"/api/v1/explain/{_segment(named)}")
    _show(output, found, lambda: printing.explanation(found))
