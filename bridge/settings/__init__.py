"""Process settings: where to listen, who may call, which Redis and which clusters. Read by app; does no I/O.

The schema of everything in `bridge.yml` but routes and runbooks, and the defaults. Secrets are never written here:
a setting names the file or the environment variable that holds one, and `bridge.configuration.secrets` reads it.
"""

from bridge.settings.clusters import Connection
from bridge.settings.listening import is_loopback, listen_problem
from bridge.settings.process import KeepCopy, Prometheus, Settings, own_redis, unknown_clusters

__all__ = [
    "Connection",
    "KeepCopy",
    "Prometheus",
    "Settings",
    "is_loopback",
    "listen_problem",
    "own_redis",
    "unknown_clusters",
]
