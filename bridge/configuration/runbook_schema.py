"""The JSON Schema of a runbook's file, for editors: completion, descriptions and red lines while one writes.

Made of the same models that the loader checks with. Called by the command line and by the test of the shipped file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from bridge.model.runbook import Runbook, Use

Json = dict[str, Any]

_TEMPLATE: Json = {
    "type": "string",
    "pattern": r"\$\{",
    "description": "A CEL expression in ${…}; alone, it keeps its type.",
}


def runbook_schema(
    actions: Mapping[str, type[BaseModel]], collectors: Mapping[str, type[BaseModel]], *, title: str = "Runbook"
) -> Json:
    """Return the schema (JSON Schema 2020-12) of a runbook that may call these, with their parameters."""
    schema = Runbook.model_json_schema(by_alias=True)
    definitions: Json = schema["$defs"]
    definitions["Template"] = dict(_TEMPLATE)
    _calls(definitions, "Step", "action", actions)
    _calls(definitions, "Collect", "collect", collectors)
    _uses(schema)
    # A file that does not name itself is called as its way below the folder; a library has no target.
    required = [name for name in schema["required"] if name not in ("name", "target")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **without_titles(schema),
        "required": required,
        "if": {"properties": {"library": {"const": True}}, "required": ["library"]},
        "else": {"required": ["target"]},
    }


def _uses(schema: Json) -> None:
    """Let a scenario be one of another runbook."""
    definitions: Json = schema["$defs"]
    definitions["Use"] = Use.model_json_schema(by_alias=True)
    scenarios = schema["properties"]["scenarios"]
    used = {"required": ["use"]}
    scenarios["items"] = {"if": used, "then": {"$ref": "#/$defs/Use"}, "else": scenarios["items"]}
    del definitions["Scenario"]["properties"]["of"]


def _calls(definitions: Json, caller: str, key: str, models: Mapping[str, type[BaseModel]]) -> None:
    """Let `with` of a caller fit the parameters of what it names under `key`."""
    definition = definitions[caller]
    definition["properties"][key] = {**definition["properties"][key], "enum": sorted(models)}
    cases = []
    for name in sorted(models):
        place = f"{caller}.{name}"
        definitions[place] = _parameters(models[name], definitions, place)
        named = {"properties": {key: {"const": name}}, "required": [key]}
        cases.append({"if": named, "then": {"properties": {"with": {"$ref": f"#/$defs/{place}"}}}})
    definition["allOf"] = cases


def _parameters(model: type[BaseModel], definitions: Json, place: str) -> Json:
    """Return the schema of parameters, each of which may be a template as well; its own definitions move out."""
    prefix = f"#/$defs/{place}."
    schema = model.model_json_schema(by_alias=True, ref_template=prefix + "{model}")
    for name, inner in schema.pop("$defs", {}).items():
        definitions[f"{place}.{name}"] = _templated(inner)
    return _templated(schema)


def _templated(schema: Json) -> Json:
    properties = {
        name: _or_template(inner) if isinstance(inner, dict) else inner
        for name, inner in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties} if properties else schema


def _or_template(schema: Json) -> Json:
    about: Json = {key: schema[key] for key in ("description", "default") if key in schema}
    inner = {key: value for key, value in schema.items() if key not in (*about, "title")}
    values = inner.get("additionalProperties")
    if isinstance(values, dict) and values.get("type") in ("integer", "number", "boolean"):
        # Of a map of numbers, each may be a template too; a map of texts takes them anyway.
        inner["additionalProperties"] = _or_template(values)
    # Alternatives of a type stand beside the template, not inside one of its alternatives.
    options = inner["anyOf"] if inner.keys() == {"anyOf"} else [inner]
    return {**about, "anyOf": [*options, {"$ref": "#/$defs/Template"}]}


def without_titles(value: Any) -> Any:
    """Return a schema without the titles that only repeat what a field is called."""
    if isinstance(value, dict):
        return {
            key: without_titles(item) for key, item in value.items() if not (key == "title" and isinstance(item, str))
        }
    return [without_titles(item) for item in value] if isinstance(value, list) else value
