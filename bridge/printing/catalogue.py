"""What `alertbridge actions` prints: the actions and collectors there are, and one of them in full."""

from __future__ import annotations

import json
import shutil
import textwrap
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
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1), ("ms", 0.001))
_MOST_KINDS = 3
_DEEPEST = 4
_LONGEST_DEFAULT = 24
_LONGEST_TYPE = 42
_WIDTH, _NARROWEST = 120, 40
"""Columns: of a screen that nobody knows, and of the last one of a table on a narrow screen."""

Schema = Mapping[str, Any]
"""A JSON Schema, or a part of one."""


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
    lines += ["", *_fields("GIVES", one.result, defaults=False)]
    asked = list(_permissions(one.permissions(kind, {})))
    return "\n".join([*lines, *(["", click.style("Permissions", bold=True), *asked] if asked else [])])


def _undone(one: Action) -> str:
    return "put back" if one.undo_failed else "left"


def fields(model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, type, default and description of each field of a model, and of those within it: `edit[].path`."""
    schema = model.model_json_schema(by_alias=True)
    yield from _fields_of(schema, schema.get("$defs", {}))


def _fields_of(schema: Schema, definitions: Schema, before: str = "") -> Iterator[tuple[str, str, str, str]]:
    needed = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        default = "needed" if name in needed else _default(field)
        yield f"{before}{name}", _type(field, definitions), default, " ".join(field.get("description", "").split())
        inner, step = _inner(field, definitions)
        if inner is not None and before.count(".") < _DEEPEST:
            yield from _fields_of(inner, definitions, f"{before}{name}{step}.")


def _inner(field: Schema, definitions: Schema) -> tuple[Schema | None, str]:
    """Return the model within a field, and what stands behind the field's name for it: nothing, `[]` or `[KEY]`."""
    if "$ref" in field:
        found = definitions[field["$ref"].rpartition("/")[2]]
        return (found, "") if "properties" in found else (None, "")
    for key, step in (("items", "[]"), ("additionalProperties", "[KEY]")):
        if isinstance(field.get(key), dict):
            inner, more = _inner(field[key], definitions)
            return inner, step + more
    found_in = (_inner(one, definitions) for one in field.get("anyOf", ()))
    return next((found for found in found_in if found[0] is not None), (None, ""))


def _fields(heading: str, model: type[BaseModel], *, defaults: bool = True) -> Iterable[str]:
    """Return the table of a model's fields, what they are folded to the width of the screen."""
    rows = []
    for name, kind, default, text in fields(model):
        if len(default) > _LONGEST_DEFAULT:
            default, text = "see there", f"{text} Default: {default}"
        if len(kind) > _LONGEST_TYPE:
            kind, text = "one word", f"{text} One of {kind.replace(' or ', ', ')}."
        rows.append([name, kind, default, text] if defaults else [name, kind, text])
    if not rows:
        return []
    heads = [heading, "TYPE", "DEFAULT", "WHAT IT IS"] if defaults else [heading, "TYPE", "WHAT IT IS"]
    taken = sum(3 + max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads) - 1))
    room = max(shutil.get_terminal_size((_WIDTH, 0)).columns - taken, _NARROWEST)
    folded = []
    for *cells, text in rows:
        first, *more = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
        folded += [[*cells, first], *([*[""] * len(cells), line] for line in more)]
    return table(heads, folded).splitlines()


def _type(field: Schema, definitions: Schema) -> str:
    """Return a JSON Schema's type in words: `text`, `whole number`, `list of text`, `a or b`."""
    if "$ref" in field:
        return _type(definitions[field["$ref"].rpartition("/")[2]], definitions)
    if _is_duration(field):
        return "duration"
    if "const" in field or "enum" in field:
        return " or ".join(str(value) for value in field.get("enum", [field.get("const")]))
    if "anyOf" in field:
        kinds = dict.fromkeys(_type(one, definitions) for one in field["anyOf"])
        if "number" in kinds:
            kinds.pop("whole number", None)
        named = [kind for kind in kinds if kind != "nothing"]
        return " or ".join(named) if len(named) <= _MOST_KINDS else "any value"
    if field.get("type") == "array":
        inner = _type(field.get("items", {}), definitions)
        return "list" if inner in ("anything", "any value") else f"list of {inner}"
    return _WORDS.get(str(field.get("type")), "anything")


def _is_duration(field: Schema) -> bool:
    return any("ms|" in one.get("pattern", "") for one in field.get("anyOf", ()))


def _default(field: Schema) -> str:
    value = field.get("default")
    if value in (None, ""):
        return "-"
    if _is_duration(field):
        return next(f"{value / size:g}{unit}" for unit, size in _UNITS if not value % size)
    return value if isinstance(value, str) else json.dumps(value)


def _permissions(asked: Sequence[Permission]) -> Iterator[str]:
    for one in asked:
        resource = f"{one.resource}.{one.group}" if one.group else one.resource
        place = "" if one.namespace is None else " cluster-wide" if one.namespace == "" else f" in {one.namespace}"
        only = f" ({', '.join(one.names)} alone)" if one.names else ""
        yield f"  {', '.join(one.verbs)} {resource}{place}{only}"
