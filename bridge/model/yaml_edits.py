"""Change one value of a YAML (or JSON) text in its place, which the parser tells. Used by bridge.model.edits.

A plain value is exchanged character for character, so that comments, order and style stay. Only what adds a key or a
whole list goes through ruamel's round trip, which keeps comments but may change spaces. The caller reads the result
again and compares it, so nothing else can have changed unnoticed.
"""

from __future__ import annotations

import copy
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.util import load_yaml_guess_indent

Step = str | int | tuple[str, str]
"""A key, an index, or the (key, value) that picks an item of a list."""

_REQUIRED = object()
_MOST_VALUES = 100_000
_ANYWHERE = re.compile(r"[A-Za-z/][\w./-]*|\d+(?:\.\d+)?(?:ms|[smhd]|[KMGTPE]i?|%)")
"""Texts that mean themselves without quotes to every version of YAML, but for these words:"""
_WORDS = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"])
_UNREADABLE = (YAMLError, ValueError, RecursionError, LookupError, AttributeError, TypeError, StopIteration)

"""What ruamel raises for texts that are no YAML, and for some that are odd."""


class EditError(ValueError):
    """The change cannot be made; the message says why, and holds nothing of the text but names."""


def load_yaml(text: str) -> Any:
    """Return the only document as plain values; raise EditError."""
    try:
        return _unshared(_parser("safe").load(text), [_MOST_VALUES])
    except EditError:
        raise
    except _UNREADABLE as error:
        raise EditError(f"it is not one document of YAML: {_short(error)}") from None


def find(data: Any, steps: list[Step], *, missing: Any = _REQUIRED) -> Any:
    """Return the value at the steps; `missing`, or without one EditError that names what is there."""
    node, way = data, ""
    for step in steps:
        try:
            node = node[_index(node, step)]
        except (KeyError, IndexError, TypeError):
            if missing is not _REQUIRED:
                return missing
            raise EditError(f"there is no {_shown(step)}{_inside(node, way)}") from None
        way += f".{step}" if way and isinstance(step, str) else _shown(step)
    return node


def assign(data: Any, steps: list[Step], value: Any) -> Any:
    """Return a copy of the data with `value` at the steps, mappings made on the way. Raises EditError."""
    root = {} if data is None else copy.deepcopy(data)
    node: Any = root
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        try:
            key: Any = step if isinstance(step, str) else _index(node, step)
            if isinstance(node, dict) != isinstance(step, str) or not isinstance(node, dict | list):
                raise TypeError
            if last:
                node[key] = copy.deepcopy(value)
                return root
            if isinstance(node, dict) and node.get(key) is None:
                node[key] = {}
            node = node[key]
        except (KeyError, IndexError, TypeError):
            raise EditError(f"there is no place for {_shown(step)} in it") from None
    return root


def splice(text: str, steps: list[Step], value: Any, *, anything: bool = False) -> Iterator[str]:
    """Yield the text with the value at the steps exchanged in its place, in each way to write the new one.

    Plain values in the place of plain values (or of `[…]` and `{…}`); with `anything` whatever it is, on one line.
    """
    try:
        node = _parser("rt").compose(text)
        for step in steps:
            node = _child(node, step)
    except _UNREADABLE:
        return
    block = node.style in ("|", ">") if isinstance(node, ScalarNode) else not node.flow_style
    if not anything and (block or isinstance(value, dict | list)):
        return
    start, end = node.start_mark.index, node.end_mark.index
    if start == end:
        # A key without a value: the parser's place is that of the next key.
        start = end = text.rfind(":", 0, start) + 1
    elif block:
        # It reaches to where the next thing begins, empty lines included.
        end = start + len(text[start:end].rstrip())
    for written in yaml_values(value, node.style if isinstance(node, ScalarNode) else None):
        for space in ("", " "):
            yield text[:start] + space + written + text[end:]


def yaml_values(value: Any, style: str | None) -> list[str]:
    """Return the ways to write a value on one line, the best first; quotes stay where there were some."""
    if not isinstance(value, str):
        return [_quoted(value)]
    quoted = _quoted(value)
    single = "'" + value.replace("'", "''") + "'"
    if style == "'":
        return [single, quoted]
    if style != '"' and _ANYWHERE.fullmatch(value) and value.lower() not in _WORDS:
        return [value, quoted]
    return [quoted]


def _quoted(value: Any) -> str:
    """Return JSON that is YAML as well: line breaks that only YAML knows are escaped."""
    return re.sub(
        r"[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]",
        lambda match: f"\\u{ord(match[0]):04x}",
        json.dumps(value, ensure_ascii=False),
    )


def through_ruamel(text: str, steps: list[Step], value: Any) -> str | None:
    """Return the text read, changed and written again, comments and indentation kept; None when that fails."""
    try:
        _, indent, offset = load_yaml_guess_indent(text)
        yaml = _parser("rt")
        yaml.preserve_quotes = True
        yaml.width = 1 << 20
        yaml.explicit_start = text.startswith("---")
        yaml.indent(mapping=indent or 2, sequence=(offset or 0) + 2, offset=offset or 0)
        changed = assign(yaml.load(text), steps, value)
        out = io.StringIO()
        yaml.dump(changed, out)
    except EditError:
        raise
    except _UNREADABLE:
        return None
    written = out.getvalue()
    return written if text.endswith("\n") or not text else written.rstrip("\n")


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are equal, types and order of keys included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


def _parser(kind: str) -> Any:
    # Without plug-ins: looking for them costs more than reading a ConfigMap.
    return YAML(typ=kind, pure=True, plug_ins=[])


def _unshared(value: Any, left: list[int]) -> Any:
    """Return plain values in which nothing that an alias repeats is one and the same object, of a bounded number."""
    left[0] -= 1
    if left[0] < 0:
        raise EditError(f"it holds more than {_MOST_VALUES} values, those of aliases included")
    if isinstance(value, dict):
        return {key: _unshared(item, left) for key, item in value.items()}
    return [_unshared(item, left) for item in value] if isinstance(value, list) else value


def _index(node: Any, step: Step) -> Any:
    if isinstance(step, tuple):
        key, wanted = step
        if not isinstance(node, list):
            raise TypeError
        places = [at for at, item in enumerate(node) if isinstance(item, dict) and str(item.get(key)) == wanted]
        if len(places) != 1:
            raise KeyError(step)
        return places[0]
    if isinstance(node, list) != isinstance(step, int):
        raise TypeError
    return step


def _child(node: Any, step: Step) -> Any:
    if isinstance(node, MappingNode) and isinstance(step, str):
        return next(value for key, value in node.value if key.value == step)
    if isinstance(node, SequenceNode) and isinstance(step, int):
        return node.value[step]
    if isinstance(node, SequenceNode) and isinstance(step, tuple):
        return next(item for item in node.value if _picked(item, step))
    raise ValueError("no such place")


def _picked(item: Any, step: tuple[str, str]) -> bool:
    return isinstance(item, MappingNode) and any(
        key.value == step[0] and value.value == step[1] for key, value in item.value
    )


def _inside(node: Any, way: str) -> str:
    place = f" in {way}" if way else " in it"
    if isinstance(node, dict):
        known = ", ".join(str(key) for key in list(node)[:12])
        return f"{place}, which has {known or 'nothing'}"
    if isinstance(node, list):
        return f"{place}, a list of {len(node)}"
    return f"{place}, a plain value"


def _shown(step: Step) -> str:
    if isinstance(step, tuple):
        return f"[{step[0]}={step[1]}]"
    return f"[{step}]" if isinstance(step, int) else step


def _short(error: BaseException) -> str:
    """Return the parser's problem and its place, without the text around it."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    where = f" (line {mark.line + 1})" if mark is not None else ""
    return f"{problem or type(error).__name__}{where}"
