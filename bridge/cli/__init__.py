"""The command line. Commands that touch state speak HTTP to the running server; the others read files.

Imports what a command needs inside the command: `alertbridge --help` has to be quick. Exit status: 0, 1 for no
or failed, 2 for wrong usage or a wrong configuration.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import click

from bridge import __version__
from bridge.cli import by_hand, catalogue, files, people, plan, rbac, remediations, servers, trail
from bridge.errors import AlertbridgeError, ConfigurationError, InvalidInput
from bridge.model.text import printable


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


for _command in (
    servers.serve,
    servers.worker,
    servers.demo,
    files.check_config,
    files.route_test,
    catalogue.actions,
    plan.plan,
    rbac.rbac,
    remediations.list_,
    remediations.show,
    remediations.cancel,
    remediations.approve,
    remediations.deny,
    remediations.undo,
    people.ack,
    by_hand.trigger,
    by_hand.pause,
    by_hand.resume,
    by_hand.guards,
    by_hand.explain,
    trail.audit,
    trail.report,
    trail.stats,
):
    main.add_command(_command)
