"""Collector `network_policies`: which of them select a workload's pods, and what they let through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import APPS, ObjectParams, meta, object_ref
from bridge.model.permission import Permission
from bridge.model.permits import kind_of, permit
from bridge.model.workload import WORKLOADS, Document, at, labels_of
from bridge.ports import ActionContext

NETWORKING = "networking.k8s.io/v1"
_MOST = 500
_MOST_ITEMS = 50
_MOST_RULES = 20


class PolicyItem(Facts):
    name: str = Field(description="Its name.")
    selects: bool = Field(description="Whether it is about the workload's pods.")
    pods: str = Field(description="The pods that it is about, in words.")
    ingress: list[str] = Field(description="What it lets in, a sentence each.")
    egress: list[str] = Field(description="What it lets out, a sentence each.")
    restricts_ingress: bool = Field(description="Whether it restricts what comes in.")
    restricts_egress: bool = Field(description="Whether it restricts what goes out.")


class PolicyFacts(Facts):
    total: int = Field(description="Policies in the namespace.")
    selecting: int = Field(description="Those that are about the workload's pods.")
    names: list[str] = Field(description="Names of those.")
    isolated_ingress: bool = Field(description="Whether only what a policy lets in may come in.")
    isolated_egress: bool = Field(description="Whether only what a policy lets out may go out.")
    ingress_ports: list[str] = Field(description="Ports of the pods that may be reached, as `80/TCP`; `*`: all.")
    egress_ports: list[str] = Field(
        description="Ports elsewhere that they may reach, as `443/TCP`; `*`: all of them."
    )
    items: list[PolicyItem] = Field(description="The policies, those that select the pods first, 50 at most.")


class NetworkPolicies(BaseCollector):
    """Only what the policies say: who may talk from where is in the items' sentences."""

    name = "network_policies"
    summary = "The NetworkPolicies of a namespace: which select the target's pods, and what they allow."
    params: type[BaseModel] = ObjectParams
    result: type[BaseModel] = PolicyFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        of = kind_of(kind, params)
        return [permit("v1" if of == "Pod" else APPS, of, "get"), permit(NETWORKING, "NetworkPolicy", "list")]

    async def gather(self, context: ActionContext, params: ObjectParams) -> PolicyFacts:
        """Return the policies; raise KubeNotFound when the workload is not there."""
        kind = params.kind or context.target.kind
        ref = object_ref(context, params, "v1" if kind == "Pod" else APPS, (*WORKLOADS, "Pod"))
        document = await context.reach.cluster.get(ref)
        labels = labels_of(document if kind == "Pod" else at(document, "spec", "template") or {})
        found = await context.reach.cluster.list(NETWORKING, "NetworkPolicy", ref.namespace, limit=_MOST)
        mine = [policy for policy in found if selects(at(policy, "spec", "podSelector"), labels)]
        items = [_item(policy, policy in mine) for policy in found]
        items.sort(key=lambda item: (not item.selects, item.name))
        return PolicyFacts(
            total=len(found),
            selecting=len(mine),
            names=sorted(meta(policy, "name") for policy in mine),
            isolated_ingress=any(_restricts(policy, "Ingress") for policy in mine),
            isolated_egress=any(_restricts(policy, "Egress") for policy in mine),
            ingress_ports=_open(mine, "ingress"),
            egress_ports=_open(mine, "egress"),
            items=items[:_MOST_ITEMS],
        )


def selects(selector: Document | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector selects something with these labels; an empty one selects everything."""
    wanted = selector or {}
    if any(labels.get(key) != value for key, value in (wanted.get("matchLabels") or {}).items()):
        return False
    return all(_holds(term, labels) for term in wanted.get("matchExpressions") or [])


def _holds(term: Document, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(term["key"]), term.get("values") or []
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }.get(term["operator"], False)


def _restricts(policy: Document, direction: str) -> bool:
    """Whether it restricts a direction. Source: Kubernetes API reference, NetworkPolicySpec.policyTypes."""
    types = at(policy, "spec", "policyTypes")
    return direction in types if types else direction == "Ingress" or bool(at(policy, "spec", "egress"))


def _open(policies: Sequence[Document], direction: str) -> list[str]:
    """Return the ports that are open to somebody; all where no policy restricts the direction."""
    restricting = [policy for policy in policies if _restricts(policy, direction.capitalize())]
    if not restricting:
        return ["*"]
    ports = {port for policy in restricting for rule in at(policy, "spec", direction) or [] for port in _ports(rule)}
    return ["*"] if "*" in ports else sorted(ports)


def _ports(rule: Document) -> list[str]:
    return [
        f"{port.get('port', '*')}{'-' + str(port['endPort']) if port.get('endPort') else ''}"
        f"/{port.get('protocol') or 'TCP'}"
        for port in rule.get("ports") or []
    ] or ["*"]


def _item(policy: Document, mine: bool) -> PolicyItem:
    return PolicyItem(
        name=meta(policy, "name"),
        selects=mine,
        pods=_pods(at(policy, "spec", "podSelector")),
        ingress=[_sentence(rule, "from") for rule in (at(policy, "spec", "ingress") or [])[:_MOST_RULES]],
        egress=[_sentence(rule, "to") for rule in (at(policy, "spec", "egress") or [])[:_MOST_RULES]],
        restricts_ingress=_restricts(policy, "Ingress"),
        restricts_egress=_restricts(policy, "Egress"),
    )


def _sentence(rule: Document, side: str) -> str:
    """Return e.g. `from pods with app=web in namespaces with team=shop, on 80/TCP`."""
    peers = " or ".join(_peer(peer) for peer in (rule.get(side) or [])[:_MOST_RULES]) or "anywhere"
    ports = ", ".join(_ports(rule))
    return f"{side} {peers}, on {'every port' if ports == '*' else ports}"[:400]


def _peer(peer: Document) -> str:
    block = peer.get("ipBlock")
    if block:
        beside = f" but {', '.join(block['except'])}" if block.get("except") else ""
        return f"{block.get('cidr')}{beside}"
    space = peer.get("namespaceSelector")
    where = "" if space is None else f" in {_in_words(space, 'namespaces')}"
    return f"{_pods(peer.get('podSelector'))}{where}"


def _pods(selector: Document | None) -> str:
    return _in_words(selector or {}, "pods")


def _in_words(selector: Document, what: str) -> str:
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for term in selector.get("matchExpressions") or []:
        values = f" ({', '.join(term['values'])})" if term.get("values") else ""
        terms.append(f"{term['key']} {term['operator']}{values}")
    return f"{what} with {' and '.join(terms)}" if terms else f"all {what}"
