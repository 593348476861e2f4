"""The collectors by name. The engine gathers with them; the configuration checks `with` against their parameters."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from bridge.evidence.api_health import ApiHealth
from bridge.evidence.autoscaler import Autoscaler
from bridge.evidence.certificate import CertificateEvidence
from bridge.evidence.certificates import Certificates
from bridge.evidence.claims import Claims
from bridge.evidence.configmap import ConfigMap
from bridge.evidence.deployment import DeploymentEvidence
from bridge.evidence.describe import Describe, Objects
from bridge.evidence.endpoints import Endpoints
from bridge.evidence.events import Events
from bridge.evidence.helm import HelmEvidence
from bridge.evidence.http import Http, Service
from bridge.evidence.jobs import Jobs
from bridge.evidence.logs import Logs
from bridge.evidence.metrics import Metrics
from bridge.evidence.nodes import Nodes
from bridge.evidence.pods import Pods
from bridge.evidence.policies import NetworkPolicies
from bridge.evidence.promql import Promql
from bridge.evidence.quotas import Quotas
from bridge.evidence.redis import RedisEvidence, SentinelEvidence
from bridge.evidence.rollout import RolloutEvidence
from bridge.evidence.served import Tls
from bridge.evidence.sql import SqlEvidence
from bridge.evidence.top import Top, TopNodes
from bridge.ports import Collector


def collectors() -> dict[str, Collector]:
    """Return every built-in collector by its name."""
    built_in: tuple[Collector, ...] = (
        Pods(),
        Events(),
        Logs(),
        RolloutEvidence(),
        HelmEvidence(),
        DeploymentEvidence(),
        Autoscaler(),
        CertificateEvidence(),
        Promql(),
        Http(),
        Service(),
        Metrics(),
        Nodes(),
        Top(),
        TopNodes(),
        Claims(),
        Endpoints(),
        NetworkPolicies(),
        ConfigMap(),
        Certificates(),
        Tls(),
        Describe(),
        Objects(),
        Jobs(),
        Quotas(),
        ApiHealth(),
        SqlEvidence(),
        RedisEvidence(),
        SentinelEvidence(),
    )
    return {collector.name: collector for collector in built_in}


def results() -> Mapping[str, type[BaseModel]]:
    """Return what each collector gives, for the check of expressions."""
    return {name: collector.result for name, collector in collectors().items()}


def parameters() -> Mapping[str, type[BaseModel]]:
    """Return each collector's parameters, for the check of runbooks."""
    return {name: collector.params for name, collector in collectors().items()}
