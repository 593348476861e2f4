"""The command `rbac`: the least roles for a configuration."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from bridge.cli.shared import configured, echo, output_option, place_of


@click.command()
@click.option("--namespace", "-n", "namespaces", multiple=True, help="A namespace that alerts may name by a label.")
@click.option("--runbook", "runbooks", multiple=True, help="A runbook that no route names, to be started by hand.")
@click.option("--cluster", help="Only what alerts about this connection can ask for; else all are added up.")
@click.option("--observe", is_flag=True, help="Only what looking and planning need: a role that changes nothing.")
@click.option(
    "--secret", "secrets", multiple=True, help="Name of a Secret: no other one can be read then, but for lists."
)
@click.option("--only", metavar="RESOURCE", help="Only the rules about this resource, such as secrets.")
@click.option("--without", metavar="RESOURCE", help="All but the rules about this resource: its part is kept apart.")
@click.option(
    "--account", default="alertbridge/alertbridge", show_default=True, help="NAMESPACE/NAME of the account."
)
@click.option("--name", default="", help="What the roles are called; by default as the account.")
@configured
@output_option
def rbac(
    namespaces: tuple[str, ...],
    runbooks: tuple[str, ...],
    cluster: str | None,
    observe: bool,
    secrets: tuple[str, ...],
    only: str | None,
    without: str | None,
    account: str,
    name: str,
    config: Path | None,
    output: str,
) -> None:
    """Print the least roles for the routes of a configuration, ready for `kubectl apply -f -`.

    They hold what the runbooks' actions and evidence need in the namespaces that routes and runbooks name: a Role
    and its binding in each, and a ClusterRole where nodes, storage classes or all namespaces are looked at. Where an
    alert's label may name another namespace, add it: --namespace shop.

    Each cluster has roles of its own: apply what --cluster NAME prints in that cluster. The mode of the process says
    nothing here, since it is the switch that is turned later; a route, runbook or step in mode `observe` only looks.

    Status 1 when something is missing that only you know: it is named.
    """
    import json

    from bridge.app import read
    from bridge.catalogue import catalogue
    from bridge.model.target import check_name, check_namespace
    from bridge.printing.roles import Account, objects, text
    from bridge.rbac import roles

    place, slash, own = account.partition("/")
    if not (slash and place and own):
        raise click.BadParameter(f"{account!r} is not NAMESPACE/NAME", param_hint="--account")
    to = Account(check_namespace(place), check_name(own, "--account"))
    if name:
        check_name(name, "--name")
    configuration = read(place_of(config))
    found = roles(
        configuration,
        catalogue(tuple(map(Path, configuration.settings.plugins))),
        namespaces=namespaces,
        runbooks=runbooks,
        cluster=cluster,
        secrets=secrets,
        observe=observe,
    )
    if only:
        found = found.only(only)
    if without:
        found = found.without(without)
    for sentence in (*found.open, *found.left_out):
        click.echo(f"warning: {sentence}", err=True)
    if output == "json":
        echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects(found, to, name)}, indent=2))
    else:
        echo(text(found, to, name, _command(click.get_current_context())))
    if found.open:
        raise SystemExit(1)


def _command(context: click.Context) -> str:
    """Return the command that was given, so that the output says how it is made again."""
    words = ["alertbridge", "rbac"]
    for option in context.command.params:
        given = context.params.get(str(option.name))
        if given and given != option.get_default(context) and isinstance(option, click.Option):
            flag = max(option.opts, key=len)
            values = given if isinstance(given, tuple) else (given,)
            words += [word for value in values for word in ((flag,) if option.is_flag else (flag, str(value)))]
    return shlex.join(words)
