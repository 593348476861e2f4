"""The OpenAPI 3.1 document, generated from the table of operations and the types that the handlers use."""

from __future__ import annotations

import http
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from bridge.api.operation import Operation
from bridge.model.problem import CONTENT_TYPE, Problem

_REF = "#/components/schemas/{name}"
_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"basic": []}]


def openapi(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """Return the document for exactly these operations, but for `/`: its other methods are the receiver's."""
    operations = [op for op in operations if op.path != "/"]
    types = {kind for op in operations for kind in (op.answer, op.body) if kind and _is_struct(kind)} | {Problem}
    ordered = sorted(types, key=lambda kind: kind.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    refs = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for op in operations:
        paths.setdefault(op.path, {})[op.method.lower()] = _operation(op, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "alertbridge",
            "version": version,
            "summary": "Alerts into planned, guarded and verified repairs",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
    }


def _is_struct(kind: type | None) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _operation(op: Operation, refs: dict[type, dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": op.name, "summary": op.summary}
    parameters = [*_path_parameters(op), *_query_parameters(op)]
    if parameters:
        described["parameters"] = parameters
    if op.body:
        described["requestBody"] = {
            "required": op.body_required,
            "content": {"application/json": {"schema": {**refs[op.body], **op.rules}}},
        }
    if op.role:
        described["security"] = _SECURITY
        described["description"] = f"Needs the role `{op.role.value}`."
    content = {"schema": refs.get(op.answer, {"type": "object" if op.answer is dict else "string"})}
    media = {part: content if part == "application/json" else {"schema": {"type": "string"}} for part in op.media}
    described["responses"] = {
        str(op.status): {"description": _text(op.answer), "content": media},
        **{str(status): _problem(status, refs) for status in statuses(op)},
    }
    return described


def statuses(op: Operation) -> list[int]:
    """Return the statuses of the problem documents that `op` can answer."""
    found = {400, 500, *op.problems}
    if op.role:
        found |= {401, 403, 429}
    if op.method == "POST":
        found |= {403}
    if op.body:
        found |= {408, 413, 415}
    if op.parameter:
        found |= {404}
    return sorted(found)


def _problem(status: int, refs: dict[type, dict[str, Any]]) -> dict[str, Any]:
    return {"description": http.HTTPStatus(status).phrase, "content": {CONTENT_TYPE: {"schema": refs[Problem]}}}


def _path_parameters(op: Operation) -> list[dict[str, Any]]:
    schema = {"type": "string", "pattern": op.parameter}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema} for name in re.findall(r"{(\w+)}", op.path)
    ]


def _query_parameters(op: Operation) -> list[dict[str, Any]]:
    if op.query is None:
        return []
    _, components = msgspec.json.schema_components([op.query], ref_template=_REF)
    properties = components[op.query.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": _inline(schema, components)}
        for name, schema in properties.items()
    ]


def _inline(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Return a query parameter's schema without references, and without the null that a query cannot say."""
    choices = [choice for choice in schema.get("anyOf", [schema]) if choice.get("type") != "null"]
    (only,) = choices
    if "$ref" in only:
        only = components[only["$ref"].rsplit("/", 1)[1]]
    default = {"default": schema["default"]} if schema.get("default") is not None else {}
    return {**{key: value for key, value in only.items() if key != "default"}, **default}


def _text(kind: type) -> str:
    return (kind.__doc__ or "").strip().split("\n")[0] if _is_struct(kind) else "The answer"
