"""Collector `endpoints`: which addresses stand behind a Service, and which of them are ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import PlaceParams, place
from bridge.model.permission import Permission
from bridge.model.permits import permit
from bridge.model.target import ObjectRef, check_name
from bridge.model.workload import Document, at
from bridge.ports import ActionContext

DISCOVERY = "discovery.k8s.io/v1"
_MOST_SLICES = 200
_MOST_ITEMS = 100
_SERVICE = "kubernetes.io/service-name"


class EndpointsParams(PlaceParams):
    service: str | None = Field(default=None, description="Name of the Service; left out: called as the target is.")


class AddressItem(Facts):
    address: str = Field(description="The address.")
    pod: str = Field(description="The pod that it is of; empty: of none.")
    node: str = Field(description="The node that it is on.")
    ready: bool = Field(description="Whether it gets traffic.")
    serving: bool = Field(description="Whether it would serve, also on its way out.")
    terminating: bool = Field(description="Whether it is on its way out.")


class EndpointsFacts(Facts):
    service: str = Field(description="The Service's name.")
    type: str = Field(description="ClusterIP, NodePort, LoadBalancer or ExternalName.")
    cluster_ip: str = Field(description="Its address in the cluster; None: it has none of its own.")
    external: list[str] = Field(description="Addresses that its load balancer has.")
    ports: list[str] = Field(description="Its ports, as `name:80/TCP`.")
    selector: dict[str, str] = Field(description="Labels of the pods that it is for; empty: it selects none.")
    total: int = Field(description="Addresses behind it.")
    ready: int = Field(description="Those that get traffic.")
    not_ready: int = Field(description="Those that don't.")
    terminating: int = Field(description="Those on their way out.")
    items: list[AddressItem] = Field(description="The addresses, those that are not ready first, 100 at most.")


class Endpoints(BaseCollector):
    name = "endpoints"
    summary = "The addresses behind a Service, from its EndpointSlices: ready and not ready."
    params: type[BaseModel] = EndpointsParams
    result: type[BaseModel] = EndpointsFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return [permit("v1", "Service", "get"), permit(DISCOVERY, "EndpointSlice", "list")]

    async def gather(self, context: ActionContext, params: EndpointsParams) -> EndpointsFacts:
        """Return the addresses; raise KubeNotFound when there is no such Service."""
        cluster, namespace = context.reach.cluster, place(context, params)
        name = check_name(params.service or context.target.name)
        service = await cluster.get(ObjectRef("v1", "Service", namespace, name, cluster=context.target.cluster))
        slices = await cluster.list(
            DISCOVERY, "EndpointSlice", namespace, labels={_SERVICE: name}, limit=_MOST_SLICES
        )
        # One address stands in several slices, one for each of its families.
        items = {item.address: item for one in slices for item in _addresses(one)}
        ordered = sorted(items.values(), key=lambda item: (item.ready, item.address))
        balancer = at(service, "status", "loadBalancer", "ingress") or []
        return EndpointsFacts(
            service=name,
            type=str(at(service, "spec", "type") or "ClusterIP"),
            cluster_ip=str(at(service, "spec", "clusterIP") or ""),
            external=[str(one.get("ip") or one.get("hostname") or "") for one in balancer],
            ports=[_port(port) for port in at(service, "spec", "ports") or []],
            selector=dict(at(service, "spec", "selector") or {}),
            total=len(ordered),
            ready=sum(item.ready for item in ordered),
            not_ready=sum(not item.ready for item in ordered),
            terminating=sum(item.terminating for item in ordered),
            items=ordered[:_MOST_ITEMS],
        )


def _addresses(piece: Document) -> list[AddressItem]:
    """Return a slice's addresses. A condition that is not known counts as ready and serving, as consumers take it.

    Source: Kubernetes API reference, EndpointConditions.
    """
    found = []
    for endpoint in piece.get("endpoints") or []:
        state = endpoint.get("conditions") or {}
        ready = state.get("ready") is not False
        serving = state.get("serving")
        reference = endpoint.get("targetRef") or {}
        found += [
            AddressItem(
                address=str(address),
                pod=str(reference.get("name") or "") if reference.get("kind") == "Pod" else "",
                node=str(endpoint.get("nodeName") or ""),
                ready=ready,
                serving=ready if serving is None else bool(serving),
                terminating=bool(state.get("terminating")),
            )
            for address in (endpoint.get("addresses") or [])[:1]
        ]
    return found


def _port(port: Document) -> str:
    name = f"{port['name']}:" if port.get("name") else ""
    return f"{name}{port.get('port')}/{port.get('protocol') or 'TCP'}"
