"""Commands about what there is to call: `actions`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.shared import PLACES, configured, echo, output_option, tell
from bridge.errors import InvalidInput

if TYPE_CHECKING:
    from bridge.catalogue import Catalogue


@click.command()
@click.argument("name", required=False)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of a runbook's file, for your editor.")
@configured
@output_option
def actions(name: str | None, schema: bool, config: Path | None, output: str) -> None:
    """List the actions and collectors that runbooks can call, or show one of them with its parameters.

    With a configuration the plug-ins that it names are there too.
    """
    from bridge.printing import catalogue as printing

    known = _known(config)
    if schema:
        from bridge.configuration.runbook_schema import runbook_schema

        models = [{key: one.params for key, one in part.items()} for part in (known.actions, known.collectors)]
        echo(json.dumps(runbook_schema(*models), indent=2))
    elif name is None:
        everything = {
            "actions": [printing.described_action(one) for _, one in sorted(known.actions.items())],
            "collectors": [printing.described_collector(one) for _, one in sorted(known.collectors.items())],
        }
        tell(output, everything, lambda: printing.catalogue(known.actions, known.collectors))
    elif action := known.actions.get(name):
        tell(output, printing.described_action(action), lambda: printing.action(action))
    elif collector := known.collectors.get(name):
        tell(output, printing.described_collector(collector), lambda: printing.collector(collector))
    else:
        raise InvalidInput(_unknown(name, known))


def _known(config: Path | None) -> Catalogue:
    """Return what there is, with the plug-ins of the configuration where there is one."""
    from bridge.app import read
    from bridge.catalogue import catalogue

    place = config or next((place for place in PLACES if place.is_file()), None)
    return catalogue(tuple(map(Path, read(place).settings.plugins)) if place else ())


def _unknown(name: str, known: Catalogue) -> str:
    from bridge.configuration.problems import nearest

    near = nearest(name, [*known.actions, *known.collectors])
    return f"there is no action and no collector called {name!r}{near}; `alertbridge actions` lists them"
