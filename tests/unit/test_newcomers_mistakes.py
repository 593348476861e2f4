"""What a newcomer gets wrong at first is told in one line: what, where, and how to mend it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from bridge.cli import main
from bridge.engine.gather import Evidence
from bridge.errors import ConfigurationError, KubeUnavailable
from bridge.kube.connection import ClusterConnection, open_session
from tests.support.configuration import RUNBOOK, Folder


def told(folder: Folder, text: str) -> list[str]:
    folder.write("runbooks/shop/web.yml", RUNBOOK)
    folder.write("bridge.yml", f"alerts: {{A: shop/web}}\n{text}\n")
    with pytest.raises(ConfigurationError) as raised:
        folder.load()
    return raised.value.problems


def test_a_taken_port_is_one_line_that_names_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "bridge.yml").write_text(f"listen: {{port: {port}}}\nalerts: {{}}\nrunbooks: []\n")
        done = CliRunner().invoke(main, ["serve", "-c", "bridge.yml", "--log-level", "error"])
    assert done.exit_code == 1
    assert f"listen: cannot listen on 127.0.0.1:{port}: Address already in use" in done.output
    assert "Traceback" not in done.output


def test_a_kubeconfig_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    connection = ClusterConnection(name="main", kubeconfig=str(tmp_path / "nowhere"))
    with pytest.raises(KubeUnavailable, match=r"log in to cluster 'main'.*there is no kubeconfig at .*nowhere: name"):
        asyncio.run(open_session(connection))


def test_one_reason_for_many_pieces_of_evidence_is_told_once() -> None:
    evidence = Evidence({}, {"pods": "no cluster", "logs": "no cluster", "helm": "closed"})
    assert evidence.lacking() == ["pods, logs are missing: no cluster", "helm is missing: closed"]
    assert evidence.lacking({"logs"}) == ["logs is missing: no cluster"]


def test_a_wrong_level_of_a_ladder_is_not_also_told_as_none(tmp_path: Path) -> None:
    ladder = "notify: {escalation: [{levels: [{name: L1, within: 15, channels: team}]}]}"
    (line,) = told(Folder(tmp_path), ladder)
    assert "levels[0].within: expected greater than or equal to 60" in line


def test_a_time_without_a_zone_is_answered_with_one_that_has_it(tmp_path: Path) -> None:
    window = "maintenance: [{name: m, begins: 2026-11-21 22:00, ends: 2026-11-22T02:00:00+01:00, matchers: ['a=b']}]"
    (line,) = told(Folder(tmp_path), window)
    assert "expected a time with its zone, such as 2026-11-21T22:00:00+01:00" in line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["pause", "--scope", "shop", "--why", "x"], "expected all, cluster:NAME, namespace:NAME or runbook:NAME"),
        (["resume", "--scope", "shop:web"], "expected all, cluster:NAME, namespace:NAME or runbook:NAME"),
        (["approve", "abc", "--plan", "deadbeef"], "is no plan's digest: 16 of 0-9a-f"),
    ],
)
def test_an_argument_of_another_form_is_refused_with_the_form(arguments: list[str], expected: str) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert expected in " ".join(done.output.split())
