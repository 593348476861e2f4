"""A simulated cluster that speaks the Kubernetes API, for `alertbridge demo` and for the tests.

Its answers are measured against recordings of a real API server (`tests/contract/recordings`). What it does
not serve answers 501 with a Status that says so; the list is `bridge.demo.resources.NOT_SERVED`.

The simulated cluster stands alone: none of its modules imports the engine, the stores or the client.
"""

from bridge.demo.behavior import Behavior
from bridge.demo.cluster import SimulatedCluster
from bridge.demo.faults import Fault, FaultPlan
from bridge.demo.server import SimulatedServer

__all__ = ["Behavior", "Fault", "FaultPlan", "SimulatedCluster", "SimulatedServer"]
