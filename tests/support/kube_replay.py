"""Plays recorded requests to the simulated cluster and keeps what it answered. Used by the contract tests."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
from yarl import URL

from bridge.demo import SimulatedCluster, SimulatedServer
from bridge.demo.api import Api, ApiRequest
from bridge.demo.cluster import node_manifest
from bridge.demo.exec import ExecResult

RECORDINGS = Path(__file__).parent.parent / "contract" / "recordings"
ORDER = (
    "deployment-lifecycle",
    "deployment-restart-and-rollback",
    "patches-and-conflicts",
    "scale-subresource",
    "server-side-apply",
    "watch",
    "pods-delete-and-evict",
    "nodes",
    "configmaps-and-secrets",
    "hpa",
    "pvc",
    "jobs",
    "custom-resources",
    "access",
    "refusals",
    "statefulset-and-daemonset",
    "discovery",
    "exec",
    "watch-expired",
)
ADMIN = "admin-of-the-replay"
_POD = re.compile(r"web-[a-z0-9]{8,10}-[a-z0-9]{5}")


@dataclass(frozen=True)
class Step:
    """One recorded request and its answer."""

    scenario: str
    index: int
    say: str
    request: dict[str, Any]
    response: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.scenario}[{self.index}] {self.say}"


@dataclass
class Answer:
    """What the simulated cluster said."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


def steps() -> list[Step]:
    """All recorded steps, in the order in which they build on each other."""
    found: list[Step] = []
    for scenario in ORDER:
        recorded = json.loads((RECORDINGS / f"{scenario}.json").read_text())
        for index, step in enumerate(recorded["steps"]):
            found.append(Step(scenario, index, step["say"], step["request"], step["response"]))
    return found


class Replay:
    """The state of one playing-through: the cluster, the names that ours have, the token in use."""

    def __init__(self) -> None:
        self.cluster = SimulatedCluster(clock=lambda: 1_795_000_000.0, nodes=0)
        # No node controller ran with the recorded server.
        self.cluster.set_behavior(taint_cordoned=False)
        self.api = Api(self.cluster)
        self.names: dict[str, str] = {}
        self.token = ADMIN
        self.live: Callable[[], None] | None = None
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        self._create_nodes()
        self.cluster.settle(1)

    def call(self, method: str, path: str, body: dict[str, Any], content_type: str = "application/json") -> None:
        """A request of the recorder's own, beside the recorded ones."""
        self.api.handle(ApiRequest(method, path, {}, json.dumps(body).encode(), content_type, "Python"))

    def _create_nodes(self) -> None:
        for index in range(3):
            manifest = node_manifest(f"node-{index}", self.cluster.now())
            status = {"status": manifest.pop("status")}
            self.call("POST", "/api/v1/nodes", manifest)
            path = f"/api/v1/nodes/node-{index}/status"
            self.call("PATCH", path, status, "application/merge-patch+json")

    def settle(self, seconds: float) -> None:
        self.cluster.settle(seconds)

    def pod(self, recorded: str) -> str:
        """Our pod that stands for a recorded one."""
        if recorded not in self.names:
            taken = set(self.names.values())
            free = [
                pod["metadata"]["name"]
                for pod in self.cluster.list("pods", "shop")
                if pod["metadata"].get("labels", {}).get("app") == "web"
                and "deletionTimestamp" not in pod["metadata"]
                and pod["metadata"]["name"] not in taken
            ]
            self.names[recorded] = free[0]
        return self.names[recorded]

    def translate(self, text: str) -> str:
        """A recorded text with our pods' names, uids and revisions in it."""
        text = _POD.sub(lambda match: self.pod(match.group()), text)
        for recorded, ours in self.names.items():
            text = text.replace(recorded, ours)
        return text

    def learn(self, recorded: Any, ours: Any) -> None:
        """Remember which of our uids and revisions stand for the recorded ones."""
        if not (isinstance(recorded, dict) and isinstance(ours, dict)):
            return
        for key in ("uid",):
            old = (recorded.get("metadata") or {}).get(key)
            new = (ours.get("metadata") or {}).get(key)
            if old and new:
                self.names[old] = new


def prepare(replay: Replay, step: Step) -> None:
    """What happened in the recorded cluster between two requests."""
    replay.token = TOKENS.get((step.scenario, step.index), ADMIN)
    if replay.token == "service-account":
        replay.token = replay.cluster.issue_token("shop", "bridge")
    happens = BETWEEN.get((step.scenario, step.index))
    if happens is not None:
        happens(replay)


def _wait(seconds: float) -> Callable[[Replay], None]:
    return lambda replay: replay.settle(seconds)


def _seed_logs(replay: Replay) -> None:
    # The recorded kubelet kept a previous log for a container that had never restarted.
    name = replay.pod("web-5487d68c88-hpbnw")
    lines = ["web previous line 49", "ERROR panic: previous connection refused"]
    replay.cluster.logs.set("shop", name, "web", lines, previous=True)


def _use_the_node_of_the_pod(replay: Replay) -> None:
    pod = replay.cluster.get("pods", "shop", replay.pod("web-5487d68c88-pmzvz"))
    assert pod is not None
    replay.names["node-1"] = pod["spec"]["nodeName"]


def _taint_nodes(replay: Replay) -> None:
    replay.names.pop("node-1", None)
    # Admission taints new nodes, and in the recorded cluster nothing took the taint away.
    for node in replay.cluster.list("nodes"):
        spec = {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}
        replay.cluster.store.put("nodes", {**node, "metadata": dict(node["metadata"]), "spec": spec})


def _untaint_nodes(replay: Replay) -> None:
    for node in replay.cluster.list("nodes"):
        replay.cluster.store.put("nodes", {**node, "metadata": dict(node["metadata"]), "spec": {}})


def _write_while_watching(replay: Replay) -> None:
    def live() -> None:
        base = "/api/v1/namespaces/shop/configmaps"
        replay.call("POST", base, {"metadata": {"name": "watched"}, "data": {"a": "1"}})
        replay.call("PATCH", f"{base}/watched", {"data": {"a": "2"}}, "application/merge-patch+json")
        replay.call("DELETE", f"{base}/watched", {})

    replay.live = live
    replay.names["resourceVersion=401"] = f"resourceVersion={replay.cluster.store.revision}"


def _seed_exec(replay: Replay) -> None:
    name = "netweave-gateway-d9fd76b5f-fp5f5"
    spec = {"nodeName": "node-0", "containers": [{"name": "gateway", "image": "gateway:1"}]}
    metadata = {"name": name, "namespace": "helmed"}
    replay.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    replay.settle(2)

    def run(pod: Any, container: str, command: list[str]) -> ExecResult:
        failed = command == ["fail"]
        return ExecResult(json.dumps(command) + "\n", "it failed\n" if failed else "", 7 if failed else 0)

    replay.cluster.programs.add(run)


TOKENS = {
    **{("access", index): "service-account" for index in (3, 4, 5, 6, 10)},
    ("access", 7): "no-such-token",
    ("exec", 4): "no-such-token",
}
BETWEEN: dict[tuple[str, int], Callable[[Replay], None]] = {
    ("deployment-lifecycle", 3): _wait(3),
    ("deployment-restart-and-rollback", 3): _wait(5),
    ("deployment-restart-and-rollback", 5): _wait(2),
    ("deployment-restart-and-rollback", 7): _wait(12),
    ("deployment-restart-and-rollback", 9): _wait(5),
    ("patches-and-conflicts", 11): lambda replay: replay.cluster.step(),
    ("scale-subresource", 0): _wait(3),
    ("server-side-apply", 0): _wait(3),
    ("watch", 1): _write_while_watching,
    ("pods-delete-and-evict", 0): _wait(3),
    ("pods-delete-and-evict", 2): _wait(3),
    ("pods-delete-and-evict", 4): _wait(3),
    ("pods-delete-and-evict", 5): _wait(1),
    ("pods-delete-and-evict", 9): _seed_logs,
    ("pods-delete-and-evict", 14): _use_the_node_of_the_pod,
    ("nodes", 0): _taint_nodes,
    ("hpa", 3): _wait(16),
    ("jobs", 0): _untaint_nodes,
    ("jobs", 1): _wait(3),
    ("custom-resources", 1): _wait(2),
    ("statefulset-and-daemonset", 1): _wait(3),
    ("statefulset-and-daemonset", 2): _wait(5),
    ("statefulset-and-daemonset", 5): _wait(5),
    ("statefulset-and-daemonset", 6): _taint_nodes,
    ("statefulset-and-daemonset", 7): _wait(1),
    ("exec", 0): _seed_exec,
    ("watch-expired", 0): lambda replay: replay.cluster.compact(),
}


async def _send(session: aiohttp.ClientSession, base: str, replay: Replay, step: Step) -> Answer:
    request = step.request
    path, _, query = replay.translate(request["path"]).partition("?")
    watching = "watch=" in query
    if watching:
        shortened = [(key, "1" if key == "timeoutSeconds" else value) for key, value in parse_qsl(query)]
        query = urlencode(shortened)
    url = URL(f"{base}{path}" + (f"?{query}" if query else ""), encoded=True)
    headers = {"User-Agent": "Python/3 recording", "Authorization": f"Bearer {replay.token}"}
    if "upgrade" in request:
        return await _exec(session, url, headers, request["subprotocols"])
    data: bytes | None = None
    if "raw" in request:
        data = request["raw"].encode()
    elif "body" in request:
        data = replay.translate(json.dumps(request["body"])).encode()
    if "contentType" in request:
        headers["Content-Type"] = request["contentType"]
    if watching and replay.live is not None:
        asyncio.get_running_loop().call_later(0.2, replay.live)
        replay.live = None
    async with session.request(request["method"], url, data=data, headers=headers) as reply:
        text = await reply.text()
        found = {key.lower(): value for key, value in reply.headers.items()}
        return Answer(reply.status, _decode(text, found.get("content-type", ""), watching), found)


def _decode(text: str, content_type: str, watching: bool) -> Any:
    if "json" not in content_type:
        return text
    if watching:
        events = [json.loads(line) for line in text.splitlines()]
        return events or ""
    return json.loads(text)


async def _exec(session: aiohttp.ClientSession, url: URL, headers: dict[str, str], protocols: list[str]) -> Answer:
    try:
        async with session.ws_connect(url, headers=headers, protocols=protocols) as socket:
            frames = []
            async for message in socket:
                frames.append({"channel": message.data[0], "data": message.data[1:].decode()})
            body = {"frames": frames, "subprotocol": socket.protocol, "closeCode": socket.close_code}
            return Answer(101, body)
    except aiohttp.WSServerHandshakeError:
        async with session.get(url, headers=headers) as reply:
            return Answer(reply.status, await reply.json())


async def play() -> dict[str, Answer]:
    """Play everything from the start. Returns the answers by the steps' names."""
    replay = Replay()
    answers: dict[str, Answer] = {}
    async with (
        SimulatedServer(replay.cluster, token=ADMIN, tick=None) as server,
        aiohttp.ClientSession() as session,
    ):
        for step in steps():
            prepare(replay, step)
            answer = await _send(session, server.url, replay, step)
            replay.learn(step.response.get("body"), answer.body)
            # What a later step says about an object's revision is true of ours as well.
            _learn_revision(replay, step, answer)
            answers[step.name] = answer
    return answers


def _learn_revision(replay: Replay, step: Step, answer: Answer) -> None:
    if step.scenario == "custom-resources" and isinstance(answer.body, dict):
        old = step.response["body"]["metadata"].get("resourceVersion") if step.index < 7 else None
        new = answer.body.get("metadata", {}).get("resourceVersion")
        if old and new:
            replay.names[f'"resourceVersion": "{old}"'] = f'"resourceVersion": "{new}"'
