"""What every collector promises: it only reads, gives and asks for what it declares, and may be late."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from bridge.engine.clock import SystemClock
from bridge.engine.context import RunContext
from bridge.engine.gather import gather
from bridge.errors import AlertbridgeError, InvalidInput, KubeError
from bridge.evidence.registry import collectors
from bridge.model.outside import HttpReply, HttpRequest, SqlReply
from bridge.model.runbook import Collect
from bridge.model.target import Target
from bridge.model.workload import format_time
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from tests.support.asked import beyond
from tests.support.cluster import Site, only_simulated, open_site
from tests.support.furnished import PLANTED, certificate, furnish
from tests.support.helm import install, recorded

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("quiet_log")]

METRICS = "# TYPE up gauge\nup 1\n# TYPE hits counter\nhits_total 9\nmisses_total 1\n"
BAD_NAMES = ("..", ".", "a/b", "%2e%2e", "Upper", "-x", "x" * 254)
NAMES = ("name", "namespace", "service", "configmap", "secret")


@dataclass(frozen=True)
class Case:
    """A collector with parameters; the target is the Deployment `web`, or what is said."""

    collect: str
    params: dict[str, Any] = field(default_factory=dict)
    kind: str = "Deployment"
    name: str = "web"
    absent: str | None = "name"
    """The parameter that names what it is about; None: it is about no one object."""
    needs: tuple[str, ...] = ("controllers",)
    outside: bool = False
    """Whether it asks a peer beside Kubernetes alone."""
    variant: str = ""

    @property
    def id(self) -> str:
        return f"{self.collect}-{self.variant}" if self.variant else self.collect


_READ = {"up": {"metric": "up"}, "hits": {"metric": "hits_total", "to": "hits_total", "plus": "misses_total"}}
CASES = (
    Case("pods"),
    Case("pods", {"labels": {"app": "web"}}, absent=None, variant="labels"),
    Case("pods", {"scope": "namespace"}, absent=None, variant="namespace"),
    Case("pods", {"scope": "cluster"}, absent=None, variant="cluster"),
    Case("events", absent=None),
    Case("events", {"scope": "cluster"}, absent=None, variant="cluster"),
    Case("logs", {"match": {"all": "."}, "group": {"first": "^(\\w+)"}}),
    Case("rollout"),
    Case("deployment"),
    Case("hpa", absent=None),
    Case("helm", {"release": "netweave"}, absent="release"),
    Case("service", {"path": "/"}, absent=None),
    Case("metrics", {"read": _READ, "url": "http://web/metrics"}, absent=None, outside=True),
    Case("http", {"url": "http://web/healthz"}, absent=None, outside=True),
    Case("tls", {"url": "https://web/"}, absent=None, outside=True),
    Case("promql", {"query": "up"}, absent=None, outside=True),
    Case("sql", {"connection": "shop", "query": "select 1"}, absent=None, outside=True),
    Case("nodes", absent="name"),
    Case("nodes", {"requested": False}, absent=None, variant="alone"),
    Case("top", needs=("controllers", "metrics")),
    Case("top_nodes", absent=None, needs=("metrics",)),
    Case("pvc", {"usage": False}),
    Case("pvc", {"usage": False, "scope": "namespace"}, absent=None, variant="namespace"),
    Case("pvc", {"usage": False, "kind": "PersistentVolumeClaim", "name": "web-data"}, variant="claim"),
    Case("endpoints", absent="service"),
    Case("network_policies"),
    Case("configmap", {"configmap": "web-config"}, absent="configmap"),
    Case("certificates", absent="secret"),
    Case("certificate", kind="Certificate", name="web-tls", needs=("cert-manager",)),
    Case("describe"),
    Case("describe", {"kind": "ConfigMap", "name": "web-config"}, variant="configmap"),
    Case("objects", {"kind": "Service"}, absent=None),
    Case("objects", {"kind": "StorageClass"}, absent=None, variant="wide"),
    Case("jobs", absent=None),
    Case("quotas", absent=None, needs=("quotas",)),
    Case("api_health", absent=None),
)
ELSEWHERE = {"redis", "sentinel"}
"""Held against real servers in tests/contract/test_evidence_peers.py."""
EMPTY_IS_AN_ANSWER = {"events", "hpa", "certificates", "jobs", "quotas", "api_health", "nodes", "objects"}


class StubReach(Reach):
    """The site's cluster, and peers that answer."""

    async def promql(self, query: str) -> list[Any]:
        return [({"job": "a"}, 0.5), ({"job": "b"}, 0.25)]

    async def http(self, request: HttpRequest) -> HttpReply:
        if request.url.endswith("/metrics"):
            return HttpReply(200, METRICS, "text/plain")
        return HttpReply(200, json.dumps({"ok": True, "token": PLANTED}), "application/json")

    async def served_certificate(self, url: str) -> str:
        return certificate(20).decode()

    async def sql(self, connection: str, statement: str, arguments: Sequence[Any] = (), **more: Any) -> SqlReply:
        return SqlReply(rows=({"n": 1},), status="SELECT 1")


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with open_site() as found:
        yield found


def context_of(case: Case, site: Site) -> RunContext:
    reach = StubReach(site.cluster, SystemClock(), Outside(OutsideSettings()))
    target = Target(site.cluster.name, case.kind, site.namespace, case.name)
    return RunContext(remediation="rem-1", planned_at=0.0, target=target, reach=reach)


async def prepare(case: Case, site: Site) -> None:
    await site.needs(*case.needs)
    if case.collect == "certificate":
        spec = {"secretName": "web-tls", "dnsNames": ["web.test"], "issuerRef": {"name": "own"}}
        place = site.path("certificates", "", "/apis/cert-manager.io/v1")
        await site.send("POST", place, {"metadata": {"name": "web-tls"}, "spec": spec})

        async def issued() -> bool:
            return (await site.ask("GET", site.path("secrets", "web-tls", "/api/v1")))[0] == 200

        await site.until(issued)
    elif case.collect == "helm":
        await install(site, recorded("releases-before-rollback", site.namespace))
    elif not case.outside:
        await furnish(site)
    if case.collect == "top":
        await site.until(lambda: _has_figures(site))
    site.proxy.clear()


async def _has_figures(site: Site) -> bool:
    found = await site.ask("GET", site.path("pods", "", "/apis/metrics.k8s.io/v1beta1"))
    return found[0] == 200 and len(found[1]["items"]) >= 2


async def collect(case: Case, site: Site, **more: Any) -> dict[str, Any]:
    collector = collectors()[case.collect]
    params = collector.params.model_validate({**case.params, **more})
    return await collector.collect(context_of(case, site), params)


def test_every_collector_has_a_case() -> None:
    assert {case.collect for case in CASES} | ELSEWHERE == set(collectors())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_it_gives_what_it_declares_and_asks_for_no_more_than_it_declares(case: Case, site: Site) -> None:
    """Fault 70: no verb of it changes anything. The types hold strictly, and no credential comes with it."""
    await prepare(case, site)
    found = await collect(case, site)
    collector = collectors()[case.collect]
    assert found.keys() == collector.result.model_fields.keys()
    collector.result.model_validate_json(json.dumps(found), strict=True)
    assert PLANTED not in json.dumps(found)
    assert len(json.dumps(found)) < 1 << 20
    assert site.proxy.mutating(dry_runs=True) == []
    leave = collector.permissions(case.kind, case.params)
    assert beyond(site.proxy.requests, leave, site.namespace) == []
    assert all(verb in ("get", "list") for permission in leave for verb in permission.verbs)
    assert case.outside or case.collect == "service" or site.proxy.requests


@pytest.mark.parametrize("case", [case for case in CASES if case.absent], ids=lambda case: case.id)
async def test_what_is_not_there_is_an_error_that_names_it(case: Case, site: Site) -> None:
    await site.needs(*case.needs)
    with pytest.raises(AlertbridgeError, match="nowhere"):
        await collect(case, site, **{str(case.absent): "nowhere"})


@pytest.mark.parametrize("case", [case for case in CASES if not case.outside], ids=lambda case: case.id)
async def test_an_empty_namespace_is_an_answer_or_an_error_never_an_invention(case: Case, site: Site) -> None:
    await site.needs(*case.needs)
    try:
        found = await collect(case, site)
    except (KubeError, AlertbridgeError):
        assert case.collect not in EMPTY_IS_AN_ANSWER
        return
    collectors()[case.collect].result.model_validate_json(json.dumps(found), strict=True)
    if case.variant not in ("cluster", "wide") and case.collect not in ("nodes", "top_nodes"):
        assert found.get("total", 0) == found.get("ready", 0) == 0 or case.collect == "api_health"


@pytest.mark.parametrize("case", [case for case in CASES if not case.outside], ids=lambda case: case.id)
async def test_a_cluster_that_hangs_leaves_the_evidence_missing(case: Case, site: Site) -> None:
    """Fault 23. Its piece is late, the run is not."""
    site.proxy.faults.hang(times=100)
    wanted = {"it": Collect(collect=case.collect, timeout=0.3, **{"with": case.params})}
    found = await gather(wanted, collectors=collectors(), context=context_of(case, site), variables={})
    assert found.values == {}
    assert "0.3 s" in found.missing["it"]


@pytest.mark.parametrize("case", [case for case in CASES if not case.outside], ids=lambda case: case.id)
async def test_names_that_are_none_never_leave(case: Case, site: Site) -> None:
    """Fault 41."""
    collector = collectors()[case.collect]
    for name in (name for name in NAMES if name in collector.params.model_fields):
        if case.params.keys() & {"labels", "scope"} or case.variant == "wide":
            continue
        for bad in BAD_NAMES:
            with pytest.raises(InvalidInput):
                await collect(case, site, **{name: bad})
    assert [entry for entry in site.proxy.requests if entry.path.count("/") > 3] == []


def looks_at_its_target(case: Case) -> bool:
    """Whether it is the target's own object that it looks at, and no other one that a parameter names."""
    return case.absent == "name" and case.collect != "nodes" and "name" not in case.params


@pytest.mark.parametrize("case", [case for case in CASES if looks_at_its_target(case)], ids=lambda case: case.id)
async def test_a_target_with_a_bad_name_never_leaves(case: Case, site: Site) -> None:
    """Fault 41. Names from labels are checked when a target is made of them; a collector doesn't rely on that."""
    collector = collectors()[case.collect]
    for bad in (*BAD_NAMES, ""):
        context = context_of(case, site)
        target = msgspec.structs.replace(context.target, name=bad)
        with pytest.raises(InvalidInput):
            await collector.collect(
                msgspec.structs.replace(context, target=target), collector.params.model_validate(case.params)
            )
    assert site.proxy.requests == []


async def test_logs_are_those_of_the_time_that_is_asked_for(site: Site) -> None:
    simulated = only_simulated(site)
    await site.deploy(replicas=1)
    lines = [f"{format_time(time.time() - ago)} line {ago}" for ago in (600, 200, 10)]
    simulated.logs.set(site.namespace, "web-*", "main", lines)
    found = await collect(Case("logs"), site, since="5m", match={"all": "line"})
    assert found["matches"] == {"all": 2}
    assert found["text"].splitlines() == lines[1:], "newest last"
