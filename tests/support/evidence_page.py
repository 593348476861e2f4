"""Writes docs/evidence.md from the collectors' own models: `python -m tests.support.evidence_page`."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bridge.evidence.registry import collectors
from bridge.ports import Collector

PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"
_HEAD = """# What the collectors give

A piece of evidence is asked for by its collector's name, under `evidence:` or under `verify.evidence:` of a runbook:
`pods: {collect: pods, with: {scope: namespace}, timeout: 5s}`. Pieces are gathered side by side, each within its
`timeout` (10s); one that cannot be had is *missing*, with a reason that is kept, and an expression that touches it is
unknown. None of them changes anything, and none can fail a run.

Expressions read a field as `evidence.NAME.FIELD`; `check-config` rejects a field that is not on this page. *int*,
*float*, *bool* and *text* are CEL's; arithmetic does not mix int and float. Times are unix seconds, and 0.0 where
they are not known; `…_seconds` is how long ago something was. `kind`, `namespace` and `name` stand for the
remediation's target when they are left out. What looks like a credential is taken out of every text, and values whose
key is called like one are masked.

Kept with a remediation, compressed, is what its choice rested on, what the first write rested on where more was
gathered after that, and what the last look of its proof saw; each with 512 KiB of JSON at most, the largest texts cut
first, which is noted. `alertbridge show ID --evidence FILE` writes all of it, with the plans, the journal and the
runbook, into one tar.gz whose `index.md` says what is where.

This page is written from the code (`python -m tests.support.evidence_page`), and a test holds it to that.
"""
_PLAIN = {str: "text", int: "int", float: "float", bool: "bool", Any: "any", type(None): "null"}


def page() -> str:
    """Return the whole page."""
    return "\n".join([_HEAD, *(_section(item) for _, item in sorted(collectors().items()))]).rstrip() + "\n"


def _section(collector: Collector) -> str:
    # A collector's own docstring says what its fields cannot.
    more = inspect.cleandoc(type(collector).__dict__["__doc__"] or "")
    said = f"{collector.summary} {' '.join(more.split())}".rstrip()
    lines = [f"## `{collector.name}`", said, "", "| parameter | type | default | |", "|---|---|---|---|"]
    for name, field in collector.params.model_fields.items():
        lines.append(f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {_said(field)} |")
    lines += ["", "| gives | type | |", "|---|---|---|"]
    for name, kind, field in _fields(collector.result):
        lines.append(f"| `{name}` | {kind} | {_said(field)} |")
    return "\n".join([*lines, ""])


def _fields(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield f"{before}{name}", _type(field.annotation), field
        inner, step = _inner(field.annotation)
        if inner is not None:
            yield from _fields(inner, f"{before}{name}{step}.")


def _inner(kind: Any) -> tuple[type[BaseModel] | None, str]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind, ""
    for item in get_args(kind):
        inner, step = _inner(item)
        if inner is not None:
            return inner, {list: "[]", dict: "[KEY]"}.get(get_origin(kind), "") + step
    return None, ""


def _type(kind: Any) -> str:
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f"`{item}`" for item in inside)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(item) for item in inside)
    if origin in (list, tuple):
        return f"list of {_type(inside[0])}"
    if origin is dict:
        return f"map of {_type(inside[1])}"
    if hasattr(kind, "__metadata__"):
        return _type(inside[0])
    return "map"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return f"`{json.dumps(field.default)}`" if field.default is not None else ""


def _said(field: FieldInfo) -> str:
    assert field.description, field
    return field.description.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
