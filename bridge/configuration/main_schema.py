"""The JSON Schema of `bridge.yml` and of the files that it includes, for editors, and for the page of all keys.

Made of the models that the loader checks with; what a key means is the text under its field. What a validator takes
beyond a field's type (a text for a list of one, a range of a time interval) is let through here and checked there.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from bridge.configuration.included import Included
from bridge.configuration.loader import Main
from bridge.configuration.runbook_schema import Json, without_titles
from bridge.model.fields import as_list

_BOUNDS = ("minLength", "maxLength", "minItems", "maxItems")


def main_schema(*, included: bool = False) -> Json:
    """Return the schema (JSON Schema 2020-12) of `bridge.yml`, or of a file that it includes."""
    model: type[BaseModel] = Included if included else Main
    schema = model.model_json_schema(by_alias=True, schema_generator=_Generator)
    for key, text in _texts(Main).items():  # what a file that is included may say as well means the same there
        if key in schema["properties"]:
            schema["properties"][key].setdefault("description", text)
    title = "alertbridge: an included file" if included else "alertbridge: bridge.yml"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **_tidy(without_titles(schema)),
    }


def _tidy(value: Any) -> Any:
    """Return a schema in which what is said beside alternatives holds for the one that it is about."""
    if isinstance(value, list):
        return [_tidy(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: _tidy(item) for key, item in value.items()}
    if isinstance(options := made.get("anyOf"), list):
        # A bound of the list would be taken for one of the text that may stand for it.
        made = {key: item for key, item in made.items() if key not in _BOUNDS}
        if made.get("additionalProperties") is False:
            del made["additionalProperties"]
            made["anyOf"] = [
                {**each, "additionalProperties": False} if "properties" in each else each for each in options
            ]
    return made


class _Generator(GenerateJsonSchema):
    def model_schema(self, schema: Any) -> Json:
        made = super().model_schema(schema)
        for name, text in _texts(schema["cls"]).items():
            key = _alias(schema["cls"], name)
            if key in made.get("properties", {}):
                made["properties"][key].setdefault("description", text)
        return made

    def is_instance_schema(self, schema: Any) -> Json:
        return {"type": "string"}

    def function_before_schema(self, schema: Any) -> Json:
        inner = self.generate_inner(schema["schema"])
        if schema["function"]["function"] is as_list and "items" in inner:
            return {"anyOf": [inner["items"], inner]}
        return {"anyOf": [inner, {"not": {"type": "object"}}]}


def _alias(model: type[BaseModel], name: str) -> str:
    return model.model_fields[name].alias or name if name in model.model_fields else name


@functools.cache
def _texts(model: type[BaseModel]) -> dict[str, str]:
    """Return the text that stands under each field of a model, as its source has it; the bases' where it has none."""
    found: dict[str, str] = {}
    for base in reversed([each for each in model.__mro__ if issubclass(each, BaseModel) and each is not BaseModel]):
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        statements = getattr(body, "body", [])
        for field, said in itertools.pairwise(statements):
            match field, said:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[name] = " ".join(text.split())
    return found
