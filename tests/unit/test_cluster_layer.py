"""The layer around a cluster: no method gets past its hook."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from bridge.ports import Cluster
from bridge.ports.layer import ClusterLayer, Way
from tests.support.fake_cluster import FakeCluster

WAYS = {
    "get": Way.READ,
    "list": Way.READ,
    "wait_for": Way.WAIT,
    "patch": Way.WRITE,
    "create": Way.WRITE,
    "apply": Way.WRITE,
    "delete": Way.WRITE,
    "evict": Way.WRITE,
    "exec": Way.RUN,
    "logs": Way.LOOK_BEHIND,
    "service_get": Way.LOOK_BEHIND,
    "service_text": Way.LOOK_BEHIND,
    "health": Way.HEALTH,
}


class Standing(ClusterLayer):
    """Lets nothing through, and remembers what wanted to."""

    def __init__(self) -> None:
        super().__init__(FakeCluster())
        self.ways: list[Way] = []

    async def _pass(self, way: Way, call: Callable[[], Awaitable[Any]]) -> Any:
        self.ways.append(way)


def required(method: Callable[..., Any]) -> tuple[list[object], dict[str, object]]:
    """Return something for each parameter of a method without a default."""
    needed = [p for p in list(inspect.signature(method).parameters.values()) if p.default is inspect.Parameter.empty]
    keywords = {p.name: object() for p in needed if p.kind is inspect.Parameter.KEYWORD_ONLY}
    return [object()] * (len(needed) - len(keywords)), keywords


async def test_every_method_of_a_cluster_goes_through_the_hook() -> None:
    methods = {name for name, value in vars(Cluster).items() if inspect.iscoroutinefunction(value)}
    assert methods == WAYS.keys()
    for name, way in WAYS.items():
        standing = Standing()
        positional, keywords = required(getattr(standing, name))
        await getattr(standing, name)(*positional, **keywords)
        assert standing.ways == [way], name


def test_a_layer_takes_the_parameters_that_a_cluster_takes() -> None:
    for name in WAYS:
        assert inspect.signature(getattr(ClusterLayer, name)) == inspect.signature(getattr(Cluster, name)), name
