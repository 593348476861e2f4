"""What the commands share: options, the client, output, the configuration's place."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from bridge.errors import ConfigurationError

FINE = {"succeeded", "observed"}
"""Outcomes that are exit status 0."""
PLACES = (Path("/etc/alertbridge/bridge.yml"), Path("config/bridge.yml"))

Command = Callable[..., Any]
EXISTING = click.Path(path_type=Path, exists=True, dir_okay=False)


def labels_of(_ctx: click.Context, _param: click.Parameter, given: Sequence[str]) -> dict[str, str]:
    labels = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{pair!r} is not LABEL=VALUE")
        labels[name] = value
    return labels


def output_option(command: Command) -> Command:
    return click.option(
        "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json is for programs."
    )(command)


def configured(command: Command) -> Command:
    return click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="ALERTBRIDGE_CONFIG",
        help=f"The configuration; by default {' or '.join(str(place) for place in PLACES)}.",
    )(command)


def server_options(url_help: str) -> Callable[[Command], Command]:
    """Give a command `url`, `token_file` and `ca_file`, for `client_of`."""

    def decorate(command: Command) -> Command:
        for option in (
            click.option("--ca-file", type=EXISTING, envvar="ALERTBRIDGE_CA_FILE", help="For TLS."),
            click.option("--token-file", type=EXISTING, help="The credential; else ALERTBRIDGE_TOKEN."),
            click.option("--url", envvar="ALERTBRIDGE_URL", help=url_help),
        ):
            command = option(command)
        return command

    return decorate


def client_of(url: str | None, token_file: Path | None, ca_file: Path | None, **more: Any) -> Any:
    """Return a client of the running server."""
    from bridge.client import DEFAULT_URL, Client

    token = token_file.read_text("utf-8").strip() if token_file else os.environ.get("ALERTBRIDGE_TOKEN", "")
    return Client(url or DEFAULT_URL, token=token, ca_file=str(ca_file or "") or None, **more)


def connected(command: Command) -> Command:
    """Give the command a `client` of the running server, and `-o`."""

    @server_options("The running server; by default http://127.0.0.1:9877.")
    @output_option
    @functools.wraps(command)
    def connected(url: str | None, token_file: Path | None, ca_file: Path | None, **rest: Any) -> Any:
        return command(client=client_of(url, token_file, ca_file), **rest)

    return connected


def tell(output: str, document: Any, text: Callable[[], str]) -> None:
    """Print the API's own answer for programs, or `text()` for people."""
    echo(json.dumps(document, indent=2, ensure_ascii=True) if output == "json" else text())


def echo(text: str) -> None:
    click.echo(text, color=False if os.environ.get("NO_COLOR") else None)


def place_of(config: Path | None) -> Path:
    """Return the routing table's file, that of a folder where one is named; raise ConfigurationError without one."""
    for place in [config / "bridge.yml" if config.is_dir() else config] if config else PLACES:
        if place.is_file():
            return place
    raise ConfigurationError([f"{config or PLACES[-1]}: there is no such file (--config, ALERTBRIDGE_CONFIG)"])


def segment(name: str) -> str:
    """Return a name as one segment of a URL's path."""
    from urllib.parse import quote

    return quote(name, safe="")
