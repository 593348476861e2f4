"""Label and field selectors, parsed as the API server parses them. Used by lists, watches and controllers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from bridge.demo.objects import Obj, dig, labels_of
from bridge.demo.status_errors import bad_request

Predicate = Callable[[Obj], bool]
Requirement = Callable[[dict[str, str]], bool]

_TOKEN = re.compile(r"\s*(?:(==|!=|=|!|\(|\)|,|<|>)|([^\s=!(),<>]+))")
_KEY = re.compile(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")

_POD_FIELDS = {
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
}
_EVENT_FIELDS = {
    *(f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "apiVersion")),
    *("involvedObject.resourceVersion", "involvedObject.fieldPath"),
    *("reason", "reportingComponent", "source", "type"),
}
_FIELDS: dict[str, set[str]] = {
    "pods": _POD_FIELDS,
    "events": _EVENT_FIELDS,
    "nodes": {"spec.unschedulable"},
    "secrets": {"type"},
    "namespaces": {"status.phase"},
    "replicasets.apps": {"status.replicas"},
    "jobs.batch": {"status.successful"},
}


class _LabelParser:
    """A recursive descent over the grammar of label selectors."""

    def __init__(self, text: str) -> None:
        self.tokens = [symbol or word for symbol, word in _TOKEN.findall(text)]
        self.place = 0

    def peek(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.place += 1
        return token

    def parse(self) -> list[Requirement]:
        found: list[Requirement] = []
        while self.peek():
            found.append(self.requirement())
            if self.peek() and self.take() != ",":
                raise self.wrong(self.tokens[self.place - 1], "',' or 'end of string'")
        return found

    def requirement(self) -> Requirement:
        if self.peek() == "!":
            self.take()
            absent = self.key()
            return lambda labels: absent not in labels
        key = self.key()
        operator = self.peek()
        if operator in ("", ","):
            return lambda labels: key in labels
        self.take()
        if operator in ("in", "notin"):
            values = self.values()
            if operator == "in":
                return lambda labels: labels.get(key) in values
            return lambda labels: labels.get(key) not in values
        if operator in ("=", "==", "!="):
            value = "" if self.peek() in ("", ",") else self.value(self.take())
            if operator == "!=":
                return lambda labels: labels.get(key) != value
            return lambda labels: labels.get(key) == value
        raise self.wrong(operator, "in, notin, =, ==, !=, gt, lt")

    def key(self) -> str:
        key = self.take()
        if not _KEY.match(key):
            raise self.wrong(key, "!, identifier, or 'end of string'")
        return key

    def value(self, value: str) -> str:
        if not _VALUE.match(value):
            raise bad_request(f"unable to parse requirement: values[0][]: Invalid value: {value!r}")
        return value

    def values(self) -> set[str]:
        if self.take() != "(":
            raise self.wrong(self.tokens[-1], "'('")
        found: set[str] = set()
        while True:
            part = self.take()
            if part == ")":
                return found
            if part in ("", "(", "=", "!", "!=", "=="):
                raise self.wrong(part, "',', ')' or identifier")
            if part != ",":
                found.add(self.value(part))

    @staticmethod
    def wrong(token: str, expected: str) -> Exception:
        return bad_request(f"unable to parse requirement: found '{token}', expected: {expected}")


def label_predicate(text: str) -> Predicate | None:
    """What a labelSelector parameter asks for; None when it asks for nothing. Raises ApiError 400."""
    if not text.strip():
        return None
    requirements = _LabelParser(text).parse()
    return lambda obj: all(requirement(labels_of(obj)) for requirement in requirements)


def matches_selector(selector: Obj | None, labels: dict[str, str]) -> bool:
    """Whether a LabelSelector of an object (matchLabels, matchExpressions) takes these labels."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression_holds(entry, labels) for entry in selector.get("matchExpressions") or ())


def _expression_holds(entry: Obj, labels: dict[str, str]) -> bool:
    key, operator, values = entry["key"], entry["operator"], entry.get("values") or []
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    if operator == "Exists":
        return key in labels
    return operator == "DoesNotExist" and key not in labels


def selector_text(selector: Obj) -> str:
    """A LabelSelector in its one-line form, as the scale subresource shows it."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    words = {"In": "in", "NotIn": "notin"}
    for entry in selector.get("matchExpressions") or ():
        if entry["operator"] in words:
            parts.append(f"{entry['key']} {words[entry['operator']]} ({','.join(sorted(entry['values']))})")
        else:
            parts.append(entry["key"] if entry["operator"] == "Exists" else f"!{entry['key']}")
    return ",".join(parts)


def field_predicate(key: str, text: str) -> Predicate | None:
    """What a fieldSelector parameter asks for. Raises ApiError 400 for fields that can't be selected by."""
    if not text.strip():
        return None
    allowed = _FIELDS.get(key, set()) | {"metadata.name", "metadata.namespace"}
    checks: list[tuple[str, str, bool]] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([\w.]+?)\s*(==|!=|=)(.*)", part)
        if match is None:
            raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
        field, operator, value = match.groups()
        if field not in allowed:
            raise bad_request(f"field label not supported: {field}")
        checks.append((field, value.strip(), operator != "!="))
    return lambda obj: all((_field(obj, field) == value) is wanted for field, value, wanted in checks)


def _field(obj: Obj, path: str) -> str:
    if path == "source":
        return str(dig(obj, "source", "component", default=""))
    if path == "status.successful":
        path = "status.succeeded"
    value: Any = dig(obj, *path.split("."), default="")
    if isinstance(value, bool):
        return "true" if value else "false"
    if value == "" and path in ("spec.unschedulable", "spec.hostNetwork"):
        return "false"
    if value == "" and path in ("status.replicas", "status.succeeded"):
        return "0"
    return str(value)
