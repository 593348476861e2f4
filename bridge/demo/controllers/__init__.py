"""The controllers of the simulated cluster, one thing a file. Run by `SimulatedCluster.step`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.demo.controllers.autoscaling import Autoscaling
from bridge.demo.controllers.base import Controller
from bridge.demo.controllers.certificates import Certificates
from bridge.demo.controllers.deployments import Deployments
from bridge.demo.controllers.disruption import Disruption
from bridge.demo.controllers.endpoints import EndpointsOfServices
from bridge.demo.controllers.housekeeping import Definitions, Garbage, Namespaces
from bridge.demo.controllers.jobs import Jobs
from bridge.demo.controllers.kubelet import Kubelet
from bridge.demo.controllers.nodes import Cordons
from bridge.demo.controllers.replicasets import ReplicaSets
from bridge.demo.controllers.scheduler import Scheduler
from bridge.demo.controllers.statefulsets import DaemonSets, StatefulSets
from bridge.demo.controllers.volumes import Protection, Provisioner

if TYPE_CHECKING:
    from bridge.demo.cluster import SimulatedCluster


def all_controllers(cluster: SimulatedCluster) -> list[Controller]:
    """One of each, in the order in which they run."""
    kinds: list[type[Controller]] = [
        Definitions,
        Namespaces,
        Garbage,
        Deployments,
        StatefulSets,
        DaemonSets,
        Jobs,
        ReplicaSets,
        Cordons,
        Provisioner,
        Scheduler,
        Kubelet,
        EndpointsOfServices,
        Disruption,
        Autoscaling,
        Certificates,
        Protection,
    ]
    return [kind(cluster) for kind in kinds]


__all__ = ["Controller", "all_controllers"]
