"""The log: one line an event, bounded, without secrets. Configured once by app."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import FilteringBoundLogger

from bridge.model.text import printable

LogFormat = Literal["json", "console"]
LOG_LEVELS = ("debug", "info", "warning", "error")

_LONGEST = 4000  # characters of one value; a traceback gets four times as many
_DEEPEST = 6
_SECRET_KEYS = re.compile(r"authorization|password|passwd|secret|signature|cookie", re.IGNORECASE)
_HIDDEN = "[hidden]"
_secrets: set[str] = set()


def get_logger(**bound: Any) -> FilteringBoundLogger:
    """Return a logger; `bound` goes with every line. Ids are bound once with `bound_contextvars(...)`."""
    logger: FilteringBoundLogger = structlog.get_logger(**bound)
    return logger


def hide(*secrets: str) -> None:
    """Keep these values out of every later log line. Shorter than 4 characters are left: they are no secrets."""
    _secrets.update(secret for secret in secrets if len(secret) >= 4)


def configure_logging(style: LogFormat = "json", level: str = "info", stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's log to `stream` (default stderr), one line an event.

    `json` is for programs: ASCII, one object a line, whatever is in the values. `console` is for people: one
    line as well, but for tracebacks, which are indented below theirs.
    """
    out = stream or sys.stderr
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _clean,
    ]
    render = _render_json if style == "json" else _render_console
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=stream is None,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared[:-1]],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _clean, render],
        )
    )
    logging.basicConfig(handlers=[handler], level=threshold, force=True)
    logging.captureWarnings(True)
    # The Kubernetes client logs whole bodies, Secrets among them, at DEBUG: never, whatever the level is.
    for name in ("kubernetes_asyncio", "kubernetes_asyncio.client.rest", "aiohttp.access", "asyncio"):
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    # The addresses of channels are credentials: what sends there logs parts of them, and our own line says the rest.
    logging.getLogger("apprise").propagate = False
    logging.getLogger("apprise").addHandler(logging.NullHandler())
    # Whatever the log's level is: why a service took no message is read from there.
    logging.getLogger("apprise").setLevel(logging.WARNING)
    for name in ("urllib3", "requests"):
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


Event = MutableMapping[str, Any]


def _clean(_logger: object, _method: str, event: Event) -> Event:
    return {
        key: _HIDDEN
        if isinstance(value, str) and _SECRET_KEYS.search(key)
        else _plain(value, _LONGEST * (4 if key == "exception" else 1), _DEEPEST)
        for key, value in event.items()
    }


def _plain(value: Any, longest: int, depth: int) -> Any:
    """Return `value` as bounded plain JSON without secrets."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping) and depth:
        return {
            str(key)[:200]: _HIDDEN if _SECRET_KEYS.search(str(key)) else _plain(item, longest, depth - 1)
            for key, item in list(value.items())[:100]
        }
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_plain(item, longest, depth - 1) for item in list(value)[:100]]
    text = value if isinstance(value, str) else str(value)
    for secret in _secrets:
        text = text.replace(secret, _HIDDEN)
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"


def _render_json(_logger: object, _method: str, event: Event) -> str:
    # ASCII on purpose: it escapes CR, LF, ESC, U+2028 and lone surrogates, so an event is a line everywhere.
    head = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return json.dumps({**head, **event}, ensure_ascii=True)


_MARKS = {"debug": "·", "info": " ", "warning": "!", "error": "✗", "critical": "✗"}


def _render_console(_logger: object, _method: str, event: Event) -> str:
    clock = str(event.pop("timestamp", ""))[11:19]
    mark = _MARKS.get(str(event.pop("level", "info")), " ")
    text = printable(str(event.pop("event", "")))
    trace = event.pop("exception", "")
    facts = "  ".join(f"{printable(key)}={_word(value)}" for key, value in event.items())
    line = f"{clock} {mark} {text}{'  ' if facts else ''}{facts}"
    return "\n    | ".join([line, *(printable(part) for part in str(trace).splitlines())])


def _word(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(json.dumps(text, ensure_ascii=False) if isinstance(value, str) and " " in text else text)
