"""What an expression may read of a value: its fields, and their types, from a pydantic model. Pure functions."""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel

_KINDS: Mapping[Any, str] = {str: "text", int: "int", float: "float", bool: "bool"}


class Shape(msgspec.Struct, frozen=True):
    """A value's type as CEL has it."""

    kind: str = ""
    """int, float, bool, text, list or map; empty: anything."""
    members: Mapping[str, Shape] | None = None
    """Its fields; None: any."""
    each: Shape | None = None
    """What an item of a list, or a value of a map with free keys, is; None: anything."""


ANYTHING = Shape()
TEXT, INT, FLOAT, BOOL = (Shape(kind, {}) for kind in ("text", "int", "float", "bool"))
EACH, INDEX = "[*]", "[]"
"""Steps of a path: an item that a macro goes through (of a map: its keys), and one that is picked."""


@lru_cache(maxsize=256)
def shape_of(model: type[BaseModel]) -> Shape:
    """Return the shape of a model's values."""
    return Shape("map", {name: _shape(field.annotation) for name, field in model.model_fields.items()})


def _shape(kind: Any) -> Shape:
    if kind in _KINDS:
        return Shape(_KINDS[kind], {})
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return shape_of(kind)
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (list, tuple):
        return Shape("list", {}, _shape(inside[0]))
    if origin is dict:
        return Shape("map", None, _shape(inside[1]))
    if origin is Literal:
        shapes = {_KINDS.get(type(item)) for item in inside}
        return Shape(shapes.pop() or "", {}) if len(shapes) == 1 else ANYTHING
    if origin in (Union, types.UnionType):
        known = [_shape(item) for item in inside if item is not type(None)]
        return known[0] if len(known) == 1 else ANYTHING
    return ANYTHING


def step(shape: Shape, part: str) -> Shape | None:
    """Return the shape of what `part` leads to; None when there can be no such thing."""
    if not shape.kind:
        return ANYTHING
    if part == EACH and shape.kind == "map":
        return TEXT
    if part in (EACH, INDEX):
        return (shape.each or ANYTHING) if shape.kind in ("list", "map") else None
    if shape.members is None:
        return shape.each or ANYTHING
    return shape.members.get(part)
