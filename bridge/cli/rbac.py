"""The command `rbac`: the least roles for a configuration."""

from __future__ import annotations

from pathlib import Path

import click

from bridge.cli.shared import configured, echo, output_option, place_of


@click.command()
@click.option("--namespace", "-n", "namespaces", multiple=True, help="A namespace that alerts may name by a label.")
@click.option("--observe", is_flag=True, help="Only what looking and planning need: a role that changes nothing.")
@click.option(
    "--account", default="alertbridge/alertbridge", show_default=True, help="NAMESPACE/NAME of the account."
)
@configured
@output_option
def rbac(namespaces: tuple[str, ...], observe: bool, account: str, config: Path | None, output: str) -> None:
    """Print the least roles for the routes of a configuration, ready for `kubectl apply -f -`.

    They hold what the runbooks' actions and evidence need in the namespaces that routes and runbooks name. Where an
    alert's label may name another one, add it: --namespace shop.
    """
    import json

    from bridge.app import read
    from bridge.catalogue import catalogue
    from bridge.printing.roles import Account, objects, text
    from bridge.rbac import roles

    configuration = read(place_of(config))
    known = catalogue(tuple(map(Path, configuration.settings.plugins)))
    found = roles(configuration, known, namespaces=namespaces, observe=observe)
    place, slash, name = account.partition("/")
    if not (slash and place and name):
        raise click.BadParameter(f"{account!r} is not NAMESPACE/NAME", param_hint="--account")
    for sentence in found.open:
        click.echo(f"warning: {sentence}", err=True)
    to = Account(place, name)
    if output == "json":
        echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects(found, to)}, indent=2))
    else:
        echo(text(found, to))
    if found.open:
        raise SystemExit(1)
