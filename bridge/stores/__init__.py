"""The only user of redis: intake, queue, journal, locks, guards' memory, breakers.

`open_stores(StoreOptions(...))` returns every store of bridge.ports over one Redis: a private one that it starts
itself (embedded), one behind a URL, Sentinel, or a Cluster. All keys of an installation share a hash tag. What must
happen together happens in one Lua script (lua/); the scripts run on Redis 6.2 and later.

What this folder must not do: decide anything about routes, guards or clusters; retry a write; let an error of
redis-py out (everything is StoreUnavailable, LeaseLost, CircuitOpen or ConfigurationError).
"""

from bridge.stores.factory import Stores, connect, open_stores
from bridge.stores.link import Link
from bridge.stores.options import Endpoint, StoreOptions

__all__ = ["Endpoint", "Link", "StoreOptions", "Stores", "connect", "open_stores"]
