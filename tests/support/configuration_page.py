"""Writes docs/configuration.md from the settings' own models: `python -m tests.support.configuration_page`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bridge.configuration.main_schema import main_schema

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
_HEAD = """# Every key of the configuration

`bridge.yml`, key by key; what its words mean stands in `config/bridge.yml` with examples, and in the pages on
[guards](guards.md), [people](people.md), [runbooks](runbooks.md) and [Alertmanager](alertmanager.md). `KEY` stands
for a name of yours, `[]` for an item of a list; a list of one may be written without brackets. A duration is `30s`,
`10m`, `2h`, `1d`. ° marks what a file that is included may say as well. `alertbridge check-config` names every
mistake with file, line, column and key; with `--schema main` (or `included`) it prints the JSON Schema for editors.

This page is written from the code (`python -m tests.support.configuration_page`), and a test holds it to that.
"""


def page() -> str:
    """Return the whole page."""
    schema, included = main_schema(), main_schema(included=True)
    lines = [_HEAD]
    for key, field in sorted(schema["properties"].items()):
        mark = " °" if key in included["properties"] else ""
        lines += [f"## `{key}`{mark}", *_section(schema, key, field), ""]
    lines += [
        "## `routes` °",
        "",
        "In an included file: routes as under `route.routes`, after those of the main file.",
        "",
    ]
    return "\n".join(lines)


def _section(schema: Any, key: str, field: Any) -> Iterator[str]:
    rows = list(_rows(schema, key, field, ()))
    yield ""
    yield "| key | type | default | |"
    yield "|---|---|---|---|"
    yield from rows


def _rows(schema: Any, path: str, field: Any, above: tuple[str, ...]) -> Iterator[str]:
    """Yield a row for the key, and one for each below it; a key that holds its like is described once."""
    kind, default = _kind(schema, field), field.get("default")
    if path.endswith(".matchers") or kind == "list of list of any":
        kind = "list of text"  # what their validators make of it is theirs
    if path.endswith((".start_time", ".end_time")):
        kind = "text"
    told = " ".join((field.get("description") or "").split())
    shown = "" if default in (None, "", [], {}) or isinstance(default, dict) else f"`{json.dumps(default)}`"
    if shown and kind == "duration":
        shown = f"`{_duration(default)}`"
    yield f"| `{path}` | {kind} | {shown} | {told.replace('|', chr(92) + '|')} |"
    for step, name in _inside(field):
        if name in above:
            continue
        made = schema["$defs"][name]
        maps = [each["properties"] for each in (made, *made.get("anyOf", ())) if "properties" in each]
        for key, inner in (maps[0] if maps else {}).items():
            yield from _rows(schema, f"{path}{step}.{key}", inner, (*above, name))


def _inside(field: Any, step: str = "") -> Iterator[tuple[str, str]]:
    """Yield the models that a field leads to, with what stands between: `[]` or `.KEY`."""
    if "$ref" in field:
        yield step, field["$ref"].rsplit("/", 1)[1]
    for option in [*field.get("anyOf", ()), *field.get("allOf", ()), *field.get("oneOf", ())]:
        yield from _inside(option, step)
    if isinstance(field.get("items"), dict):
        yield from _inside(field["items"], f"{step}[]")
    for value in _named(field):
        yield from _inside(value, f"{step}.KEY")


def _named(field: Any) -> list[Any]:
    """Return the schemas of what stands under names of one's own."""
    values = [field.get("additionalProperties"), *field.get("patternProperties", {}).values()]
    return [value for value in values if value and isinstance(value, dict)]


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _kind(schema: Any, field: Any) -> str:
    """Return the type in a few words."""
    if any("[smhdwy]" in option.get("pattern", "") for option in field.get("anyOf", ())):
        return "duration"
    if "enum" in field or "const" in field:
        return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if "$ref" in field:
        made = schema["$defs"][field["$ref"].rsplit("/", 1)[1]]
        return _kind(schema, made) if "enum" in made else "map"
    options = [*field.get("anyOf", ()), *field.get("oneOf", ()), *field.get("allOf", ())]
    words = [_kind(schema, option) for option in options if option.get("type") != "null" and "not" not in option]
    if any(word.startswith("list of") for word in words):
        words = [word for word in words if word.startswith("list of")]
    if words:
        return " or ".join(dict.fromkeys(words))
    if field.get("type") == "array":
        return f"list of {_kind(schema, field.get('items', {}))}"
    if field.get("type") == "object":
        named = _named(field)
        return f"map of {_kind(schema, named[0])}" if named else "map"
    return {"string": "text", "integer": "int", "number": "number", "boolean": "bool"}.get(field.get("type"), "any")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
