"""The simulated cluster alone, as a program: `python -m bridge.demo --kubeconfig FILE`.

For the cluster tests over a kubeconfig, and to look at it with kubectl. It listens on loopback, and ends at Ctrl-C or
SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from bridge.demo.cluster import SimulatedCluster
from bridge.demo.controllers.volumes import storage_class
from bridge.demo.server import SimulatedServer
from bridge.demo.workloads import seed_demo


def main() -> None:
    """Serve until told to end; the kubeconfig is written once requests are answered."""
    parser = argparse.ArgumentParser(prog="python -m bridge.demo", description="A simulated Kubernetes API server.")
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1; 0 (the default): any")
    parser.add_argument("--kubeconfig", type=Path, help="write a kubeconfig for it to this file")
    parser.add_argument("--nodes", type=int, default=3, help="how many nodes it has (3)")
    parser.add_argument("--seed-demo", action="store_true", help="hold what the demo shows")
    parser.add_argument("--without-metrics", action="store_true", help="have no metrics server")
    parser.add_argument("--without-storage", action="store_true", help="have no storage class")
    asyncio.run(_serve(parser.parse_args()))


async def _serve(options: argparse.Namespace) -> None:
    cluster = SimulatedCluster(nodes=options.nodes)
    cluster.set_metrics(not options.without_metrics)
    if not options.without_storage:
        cluster.apply(storage_class())
    if options.seed_demo:
        seed_demo(cluster)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with SimulatedServer(cluster, port=options.port, tick=0.01) as server:
        if options.kubeconfig is not None:
            _write(options.kubeconfig, json.dumps(server.kubeconfig(), indent=1) + "\n")
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        await ended.wait()


def _write(path: Path, text: str) -> None:
    """Put the whole file there at once: who waits for it reads no half of it."""
    made = path.with_name(f".{path.name}.{os.getpid()}")
    made.write_text(text, "utf-8")
    made.replace(path)


if __name__ == "__main__":
    main()
