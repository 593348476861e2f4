"""Programs of this host, real ones: only what was allowed, as it was written, and never for longer than allowed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bridge.errors import InvalidInput, OutcomeUnknown, PermanentError
from bridge.outside.options import CommandPeer, OutsideSettings
from bridge.outside.reach import Outside
from tests.support.processes import until

SH = "/bin/sh"


def outside_of(**commands: CommandPeer) -> Outside:
    return Outside(OutsideSettings(commands=commands))


async def test_an_exit_code_and_both_outputs_come_back() -> None:
    outside = outside_of(told=CommandPeer(run=(SH, "-c", "echo out; echo err >&2; exit 3")))
    reply = await outside.command("told", [], deadline=10)
    assert (reply.exit_code, reply.stdout, reply.stderr, reply.truncated) == (3, "out\n", "err\n", False)


async def test_a_program_killed_by_a_signal_has_no_good_exit_code() -> None:
    outside = outside_of(dies=CommandPeer(run=(SH, "-c", "kill -9 $$")))
    assert (await outside.command("dies", [], deadline=10)).exit_code == -9


@pytest.mark.parametrize("hostile", [";rm -rf /", "--kubeconfig=/x", "$(id)", "`id`", "a b", "x|y", "*", "\n"])
async def test_an_argument_arrives_as_one_literal_text(hostile: str) -> None:
    """Fault 43."""
    outside = outside_of(say=CommandPeer(run=("/usr/bin/printf", "[%s]"), arguments=("(?s:.*)",)))
    assert (await outside.command("say", [hostile], deadline=10)).stdout == f"[{hostile}]"


@pytest.mark.parametrize(
    "arguments",
    [[], ["a", "b"], ["--kubeconfig=/x"], [";rm -rf"], ["web\n"], ["web;id"], ["web\0"], ["x" * 10_000]],
)
async def test_arguments_that_were_not_allowed_are_refused(arguments: list[str]) -> None:
    """Fault 43."""
    outside = outside_of(say=CommandPeer(run=("/usr/bin/printf", "%s"), arguments=("[a-z]+",)))
    with pytest.raises(InvalidInput, match=r"`commands\.say\.arguments`"):
        await outside.command("say", arguments, deadline=10)


async def test_no_command_is_there_unless_it_was_configured() -> None:
    with pytest.raises(InvalidInput, match="`commands`"):
        await outside_of().command("sh", [], deadline=1)
    with pytest.raises(PermanentError, match="cannot be started"):
        await outside_of(gone=CommandPeer(run=("/no/such/program",))).command("gone", [], deadline=1)


async def test_a_program_sees_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_DSN", "s3cret")
    reply = await outside_of(env=CommandPeer(run=("/usr/bin/env",))).command("env", [], deadline=10)
    assert sorted(line.partition("=")[0] for line in reply.stdout.splitlines()) == ["LANG", "PATH"]


async def test_output_is_bounded_and_its_end_is_kept() -> None:
    outside = outside_of(long=CommandPeer(run=(SH, "-c", "head -c 3000000 /dev/zero; echo end")))
    reply = await outside.command("long", [], deadline=30)
    assert reply.truncated
    assert len(reply.stdout) <= 32 << 10
    assert reply.stdout.endswith("end\n")


async def test_at_its_deadline_it_is_killed_with_everything_that_it_started(tmp_path: Path) -> None:
    """Fault 23: what it did until then is not known."""
    place = tmp_path / "child"
    script = f"sleep 600 & echo $! > {place}.new; mv {place}.new {place}; wait"
    outside = outside_of(hangs=CommandPeer(run=(SH, "-c", script), timeout=1.5))
    with pytest.raises(OutcomeUnknown, match=r"killed after 1\.5 s"):
        await outside.command("hangs", [], deadline=60)
    await until(lambda: gone(int(place.read_text())), what="the child's end")


async def test_nobody_waits_any_more_so_it_is_killed(tmp_path: Path) -> None:
    """Fault 61."""
    place = tmp_path / "pid"
    outside = outside_of(
        hangs=CommandPeer(run=(SH, "-c", f"echo $$ > {place}.new; mv {place}.new {place}; sleep 600"))
    )
    running = asyncio.create_task(outside.command("hangs", [], deadline=60))

    async def started() -> bool:
        return place.exists()

    await until(started)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: gone(int(place.read_text())), what="its end")


async def test_a_child_that_keeps_the_pipe_open_holds_nobody_up() -> None:
    outside = outside_of(leaves=CommandPeer(run=(SH, "-c", "sleep 600 & echo done")))
    reply = await outside.command("leaves", [], deadline=30)
    assert (reply.exit_code, reply.stdout) == (0, "done\n")


async def gone(pid: int) -> bool:
    # Whoever inherits it may not have taken it away yet.
    return state(pid) in ("", "Z", "X")


def state(pid: int) -> str:
    """Return the process's state as in proc(5); empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        (["redis-cli", "INFO"], True),
        (["redis-cli", "INFO", "replication"], True),
        (["redis-cli", "FLUSHALL"], False),
        (["redis-cli"], False),
        (["df", "-h", "/var/lib"], True),
        (["df", "-h", "/var/lib; rm -rf /"], False),
        (["df", "-h"], False),
        (["sh", "-c", "redis-cli INFO"], False),
        ([], False),
    ],
)
async def test_only_allowed_argument_lists_are_run_in_containers(command: list[str], allowed: bool) -> None:
    """Fault 43."""
    outside = Outside(OutsideSettings(exec_allow=(("redis-cli", "INFO", "..."), ("df", "-h", "/[a-z/]*"))))
    if allowed:
        outside.check("exec", "", command)
    else:
        with pytest.raises(PermanentError, match=r"`exec\.allow`"):
            outside.check("exec", "", command)
