"""What is added to a channel's address for one message: what keeps a thread together, and what ends an incident.

The address is apprise's own way to say all that. What an address says itself stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote

from bridge.model.outside import Message

Fields = Iterator[tuple[str, str]]


def addressed(url: str, message: Message) -> str:
    """Return the channel's address for a message of a thread, where apprise has a way to say so.

    E-mail by References to an id that all messages of a thread share (RFC 5322), PagerDuty, Opsgenie and Jira by
    the key of their own incident, Google Chat by its thread key, webhooks as one more field. Slack, Teams and others
    would need the id of the first message, which apprise does not return: there the text's own id has to do.
    """
    scheme, _, rest = url.partition("://")
    added = _ADDED.get(scheme.lower())
    if not message.thread or added is None:
        return url
    taken = {field.partition("=")[0] for field in rest.partition("?")[2].split("&")}
    more = "&".join(
        f"{name}={quote(value, safe='')}" for name, value in added(message) if value and name not in taken
    )
    return f"{url}{'&' if '?' in url else '?'}{more}" if more else url


def incidents(url: str) -> bool:
    """Whether each remediation has an incident of its own there, or a program reads it: none may be left out."""
    return url.partition("://")[0].lower() in _ONE_BY_ONE


def _mail(message: Message) -> Fields:
    root = f"<{message.thread}@alertbridge>"
    yield "%2BReferences", root
    yield "%2BIn-Reply-To", root


def _pagerduty(message: Message) -> Fields:
    # apprise has no way to acknowledge there: that is one more event of the same incident. What went well opens none.
    yield "dedup", message.thread
    yield "action", "resolve" if "resolve" in (message.sign, *_well(message)) else "trigger"
    yield "click", message.link


def _alias(message: Message) -> Fields:
    # apprise closes there only what the same object of its own has opened, which is gone by then.
    yield "alias", message.thread
    yield "action", "" if message.sign or _well(message) else "new"


def _well(message: Message) -> tuple[str, ...]:
    return ("resolve",) if message.level == "success" else ()


def _field(message: Message) -> Fields:
    yield ":thread", message.thread


def _thread(message: Message) -> Fields:
    yield "thread", message.thread


_ADDED: dict[str, Callable[[Message], Fields]] = {
    "mailto": _mail,
    "mailtos": _mail,
    "pagerduty": _pagerduty,
    "opsgenie": _alias,
    "jira": _alias,
    "gchat": _thread,
    **dict.fromkeys(("json", "jsons", "form", "forms", "xml", "xmls"), _field),
}
_ONE_BY_ONE = frozenset({"pagerduty", "opsgenie", "jira", "json", "jsons", "form", "forms", "xml", "xmls"})
