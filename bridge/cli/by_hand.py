"""Commands by which an operator acts and looks: `trigger`, `pause`, `resume`, `guards` and `explain`."""

from __future__ import annotations

import time
from typing import Any

import click

from bridge.cli.remediations import follow_journal
from bridge.cli.shared import connected, labels_of, segment, tell


def _scope(_ctx: click.Context, _parameter: click.Parameter, given: str) -> str:
    kind, colon, name = given.partition(":")
    if given != "all" and not (colon and name and kind in ("cluster", "namespace", "runbook")):
        raise click.BadParameter(f"expected all, cluster:NAME, namespace:NAME or runbook:NAME, got {given!r}")
    return given


_SCOPE = click.option(
    "--scope",
    default="all",
    show_default=True,
    callback=_scope,
    help="all, cluster:NAME, namespace:NAME or runbook:NAME.",
)


@click.command()
@click.argument("what", metavar="RUNBOOK-OR-ALERT")
@click.argument("labels", metavar="LABEL=VALUE...", nargs=-1, callback=labels_of)
@click.option("--why", default="", help="Stands in the audit trail.")
@click.option("--override", multiple=True, metavar="REASON", help="Pass the guard with this reason, explicitly.")
@click.option("--follow", "-f", is_flag=True, help="Stay until it is over; status 0 only if it succeeded.")
@connected
def trigger(
    client: Any, what: str, labels: dict[str, str], why: str, override: tuple[str, ...], follow: bool, output: str
) -> None:
    """Fire an alert by hand, or run a runbook (a name with a slash). It goes through every guard."""
    body = {"labels": labels, "why": why, "override": list(override)}
    body["runbook" if "/" in what else "alertname"] = what
    taken = client.post("/api/v1/trigger", body)
    if output == "text" or not follow:
        tell(output, taken, lambda: f"taken: {taken['seen']}; `alertbridge explain {taken['fingerprint']}` says more")
    if follow:
        raise SystemExit(follow_journal(client, _remediation_of(client, taken), output))


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


@click.command()
@_SCOPE
@click.option("--why", help="Needed: it stands in the audit trail and before whoever finds things paused.")
@click.option("--for", "duration", metavar="DURATION", help="30m, 2h; without it until somebody resumes.")
@click.option("--list", "listing", is_flag=True, help="Show what is paused.")
@connected
def pause(client: Any, scope: str, why: str | None, duration: str | None, listing: bool, output: str) -> None:
    """Stop acting. Alerts are still taken in; what still fires is looked at after the pause."""
    from bridge import printing

    if listing:
        found = client.get("/api/v1/pauses")
        tell(output, found, lambda: printing.pauses(found["pauses"]))
        return
    if not why:
        raise click.UsageError("say why: --why TEXT")
    body: dict[str, Any] = {"scope": scope, "why": why}
    if duration:
        body["seconds"] = _seconds(duration)
    made = client.post("/api/v1/pause", body)
    tell(output, made, lambda: f"paused: {made['scope']}, until {printing.second(made['until'], 'somebody resumes')}")


def _seconds(duration: str) -> float:
    from bridge.model.runbook import parse_duration

    try:
        return parse_duration(duration)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None


@click.command()
@_SCOPE
@connected
def resume(client: Any, scope: str, output: str) -> None:
    """End a pause. Nothing is replayed: what still fires is looked at again."""
    made = client.post("/api/v1/resume", {"scope": scope})
    tell(output, made, lambda: f"resumed: {made['scope']}; {made['woken']} open incidents are looked at again")


@click.command()
@connected
def guards(client: Any, output: str) -> None:
    """Show what is paused, stopped or lowered, what of the disruption budget is used, and how many alerts wait."""
    from bridge.printing.guards import guards as told

    found = client.get("/api/v1/guards")
    tell(output, found, lambda: told(found))


@click.command()
@click.argument("fingerprint", metavar="FINGERPRINT|LABEL=VALUE...", nargs=-1, required=True)
@connected
def explain(client: Any, fingerprint: tuple[str, ...], output: str) -> None:
    """Say what was decided about an alert and why, the decisions to do nothing too.

    Its labels, all of them, do as well as its fingerprint.
    """
    from bridge import printing
    from bridge.model.alert import fingerprint as fingerprint_of

    named = fingerprint[0]
    if "=" in named:
        named = fingerprint_of(labels_of(click.get_current_context(), click.Option(["--labels"]), fingerprint))
    elif len(fingerprint) > 1:
        raise click.UsageError("one fingerprint, or labels")
    found = client.get(f"/api/v1/explain/{segment(named)}")
    tell(output, found, lambda: printing.explanation(found))
