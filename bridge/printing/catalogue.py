"""What `alertbridge actions` prints: the actions and collectors there are, and one of them in full."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click
from pydantic import BaseModel

from bridge.model.permission import Permission
from bridge.model.plan_text import yaml_lines
from bridge.ports import Action, Collector
from bridge.printing import table

_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "map",
    "null": "nothing",
}


def catalogue(actions: Mapping[str, Action], collectors: Mapping[str, Collector]) -> str:
    """Return both tables."""
    rows = [
        (name, one.repeat.value, one.undo.value, _undone(one), one.summary) for name, one in sorted(actions.items())
    ]
    lines = [table(("ACTION", "REPEAT", "UNDO", "IF IN VAIN", "SUMMARY"), rows), ""]
    lines.append(table(("EVIDENCE", "SUMMARY"), [(name, one.summary) for name, one in sorted(collectors.items())]))
    return "\n".join(lines)


def described_action(one: Action) -> dict[str, Any]:
    """Return everything about an action as plain JSON."""
    return {
        "name": one.name,
        "summary": one.summary,
        "parameters": one.params.model_json_schema(by_alias=True),
        "repeat": one.repeat.value,
        "undo": one.undo.value,
        "undo_failed": one.undo_failed,
        "example": dict(one.example),
    }


def described_collector(one: Collector) -> dict[str, Any]:
    """Return everything about a collector as plain JSON."""
    return {
        "name": one.name,
        "summary": one.summary,
        "parameters": one.params.model_json_schema(by_alias=True),
        "result": one.result.model_json_schema(by_alias=True),
    }


def action(one: Action, kind: str = "Deployment") -> str:
    """Return one action in full."""
    lines = [
        click.style(one.name, bold=True),
        f"  {one.summary}",
        "",
        f"  Repeat after a crash   {one.repeat.value}",
        f"  Undo                   {one.undo.value}; when it did not help: {_undone(one)}",
        "",
        *_fields("PARAMETER", one.params),
        "",
        click.style("Example", bold=True),
        *(f"  {line}" for line in yaml_lines([{"action": one.name, "with": dict(one.example)}], sort=False)),
    ]
    asked = list(_permissions(one.permissions(kind, one.example)))
    return "\n".join([*lines, *(["", click.style("Permissions", bold=True), *asked] if asked else [])])


def collector(one: Collector, kind: str = "Deployment") -> str:
    """Return one collector in full."""
    lines = [click.style(one.name, bold=True), f"  {one.summary}", "", *_fields("PARAMETER", one.params)]
    lines += ["", *_fields("GIVES", one.result)]
    asked = list(_permissions(one.permissions(kind, {})))
    return "\n".join([*lines, *(["", click.style("Permissions", bold=True), *asked] if asked else [])])


def _undone(one: Action) -> str:
    return "put back" if one.undo_failed else "left"


def fields(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, default and description of each field of a model, as people write them."""
    schema = model.model_json_schema(by_alias=True)
    needed = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        default = "needed" if name in needed else _default(field.get("default"))
        yield name, _type(field, schema.get("$defs", {})), default, " ".join(field.get("description", "").split())


def _fields(heading: str, model: type[BaseModel]) -> Iterable[str]:
    rows = list(fields(model))
    return table((heading, "TYPE", "DEFAULT", "WHAT IT IS"), rows).splitlines() if rows else []


def _type(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return a JSON Schema's type in words: `text`, `whole number`, `list of text`, `a or b`."""
    if "$ref" in field:
        return _type(definitions[field["$ref"].rpartition("/")[2]], definitions)
    if "const" in field or "enum" in field:
        return " or ".join(str(value) for value in field.get("enum", [field.get("const")]))
    if "anyOf" in field:
        kinds = (_type(one, definitions) for one in field["anyOf"])
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind != "nothing"))
    if field.get("type") == "array":
        inner = _type(field.get("items", {}), definitions)
        return f"list of {inner}" if inner != "anything" else "list"
    return _WORDS.get(str(field.get("type")), "anything")


def _default(value: Any) -> str:
    return "-" if value in (None, "") else value if isinstance(value, str) else json.dumps(value)


def _permissions(asked: Sequence[Permission]) -> Iterator[str]:
    for one in asked:
        resource = f"{one.resource}.{one.group}" if one.group else one.resource
        place = "" if one.namespace is None else " cluster-wide" if one.namespace == "" else f" in {one.namespace}"
        only = f" ({', '.join(one.names)} alone)" if one.names else ""
        yield f"  {', '.join(one.verbs)} {resource}{place}{only}"
