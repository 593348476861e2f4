"""Logs and metrics: what alertbridge tells about itself.

`app` configures the log once and makes one `Metrics`, which it hands to engine, configuration and API. The
receiver counts in plain integers of its own (`bridge.ingest.counters`) and is registered as a collector.
Nothing here waits or talks to anybody: figures that live in Redis are put in by `Metrics.queue` and
`Metrics.breakers`, which `app` calls from a loop, so that a scrape never touches the store.
"""

from structlog.contextvars import bound_contextvars

from bridge.telemetry.log import configure_logging, get_logger, hide
from bridge.telemetry.metrics import Metrics

__all__ = ["Metrics", "bound_contextvars", "configure_logging", "get_logger", "hide"]
