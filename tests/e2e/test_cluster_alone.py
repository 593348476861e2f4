"""The cluster tests run against a server that is known by a kubeconfig alone, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.processes import Processes

ROOT = Path(__file__).resolve().parents[2]
CHOSEN = "client and (exit_code or eviction or metrics or change_and or force)"


@pytest.mark.parametrize("options", [(), ("--nodes", "1", "--without-metrics", "--without-storage")])
async def test_the_cluster_tests_need_no_more_than_a_kubeconfig_and_probe_the_rest(
    processes: Processes, tmp_path: Path, options: tuple[str, ...]
) -> None:
    kubeconfig = tmp_path / "kubeconfig"

    async def written() -> bool:
        return kubeconfig.exists()

    await processes.start(
        "simulated",
        [sys.executable, "-m", "bridge.demo", "--kubeconfig", str(kubeconfig), *options],
        ready=written,
        cwd=ROOT,
    )
    tests = await processes.start(
        "tests",
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/contract/test_cluster.py",
            "-k",
            CHOSEN,
        ],
        ready=_at_once,
        env={"ALERTBRIDGE_TEST_KUBECONFIG": str(kubeconfig)},
        cwd=ROOT,
    )
    assert await tests.wait(120) == 0, tests.output
    assert "passed" in tests.output
    assert ("lacks metrics" in tests.output) == bool(options)


async def _at_once() -> bool:
    return True
