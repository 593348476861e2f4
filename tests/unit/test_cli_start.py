"""How the command starts: quickly, with every command named, and with the right status for wrong usage."""

from __future__ import annotations

import subprocess
import sys

from click.testing import CliRunner

from bridge.cli import main

HEAVY = ("aiohttp", "kubernetes_asyncio", "redis", "pydantic", "prometheus_client", "cryptography", "ruamel")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, contextlib\n"
        "from bridge.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "bridge", "--version"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert done.stdout.startswith("alertbridge")


def test_every_command_has_a_help_text() -> None:
    for name, command in main.commands.items():
        shown = CliRunner().invoke(main, [name, "--help"])
        assert shown.exit_code == 0
        assert command.help, name


def test_unknown_commands_and_options_are_wrong_usage() -> None:
    assert CliRunner().invoke(main, ["heal-everything"]).exit_code == 2
    assert CliRunner().invoke(main, ["list", "--colour"]).exit_code == 2
