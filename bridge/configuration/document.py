"""Read one YAML file: plain values, and for each of them the line and column it stands at. Called by the loader.

The files are small and bounded: by their size, and by the number of values after aliases are expanded, so that a
"bomb" of nested aliases is refused instead of filling the memory. YAML 1.2: `no` and `12:30` are texts.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_BYTES = 1 << 20
MAX_VALUES = 100_000
MAX_DEPTH = 100

_TAG = "tag:yaml.org,2002:"
_TEXTS = frozenset({f"{_TAG}str", f"{_TAG}timestamp"})

Loc = tuple[str | int, ...]
"""The way to a value: keys and indexes."""


class Mark(NamedTuple):
    """A place in a file; both count from 1."""

    line: int
    column: int


class Flaw(NamedTuple):
    """Something wrong with the file itself."""

    mark: Mark
    loc: Loc
    text: str


class Document:
    """One file: its value, and where each part of it stands."""

    def __init__(self, name: str, value: Any, marks: dict[Loc, Mark], flaws: list[Flaw]) -> None:
        self.name = name
        """The file as people name it."""
        self.value = value
        self.flaws = flaws
        self._marks = marks
        self._moved: tuple[str, list[int]] | None = None
        self._below: Loc = ()

    def at(self, loc: Loc) -> Document:
        """Return the part of the document at a place, as one of its own."""
        other = Document(self.name, None, self._marks, self.flaws)
        other._below = loc
        return other

    def moved(self, value: Any, key: str, origins: list[int]) -> Document:
        """Return the document with another value, whose list `key` has items of other places, or of other files."""
        other = Document(self.name, value, self._marks, self.flaws)
        other._moved = (key, origins)
        return other

    def place(self, loc: Loc) -> Loc:
        """Return the way to a value as the file has it."""
        loc = (*self._below, *loc)
        if self._moved is None or len(loc) < 2 or loc[0] != self._moved[0] or not isinstance(loc[1], int):
            return loc
        return (loc[0], self._moved[1][loc[1]], *loc[2:])

    def mark(self, loc: Loc) -> Mark:
        """Return the place of a value: of its key in a mapping; for what is not there, of what should hold it."""
        loc = self.place(loc)
        while loc and loc not in self._marks:
            loc = loc[:-1]
        return self._marks.get(loc, Mark(1, 1))


def read_document(path: Path, name: str, *, max_bytes: int = MAX_BYTES) -> Document:
    """Read and parse a file. Never raises: what is wrong is in `flaws`, and then the value may be None."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        return _broken(name, f"cannot be read: {error.strerror or error}")
    if len(data) > max_bytes:
        return _broken(name, f"is larger than {max_bytes} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return _broken(name, "is not UTF-8", Mark(line, error.start - data.rfind(b"\n", 0, error.start)))
    return parse_document(text, name)


def parse_document(text: str, name: str) -> Document:
    """Parse a text, as `read_document` does with a file."""
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(str(part) for part in (error.context, error.problem) if part)
        return _broken(name, f"is not YAML: {words}", Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1))
    except YAMLError as error:
        return _broken(name, f"is not YAML: {str(error).splitlines()[0]}")
    except RecursionError:
        return _broken(name, "is nested too deep")
    build = _Build()
    value = build.value(root, ()) if root is not None else None
    return Document(name, value, build.marks, build.flaws)


def _broken(name: str, text: str, mark: Mark = Mark(1, 1)) -> Document:  # noqa: B008 - a constant
    return Document(name, None, {}, [Flaw(mark, (), text)])


class _Build:
    """Turns nodes into plain values, and notes where they stand."""

    def __init__(self) -> None:
        self.marks: dict[Loc, Mark] = {}
        self.flaws: list[Flaw] = []
        self._left = MAX_VALUES

    def value(self, node: Node, loc: Loc) -> Any:
        self.marks.setdefault(loc, _mark(node))
        self._left -= 1
        if self._left < 0 or len(loc) > MAX_DEPTH:
            if self._left == -1 or self._left >= 0:
                self._flaw(node, loc, f"holds more than {MAX_VALUES} values or {MAX_DEPTH} levels")
            return None
        if isinstance(node, MappingNode):
            return self._mapping(node, loc)
        if isinstance(node, SequenceNode):
            return self._sequence(node, loc)
        return self._scalar(node, loc)

    def _sequence(self, node: SequenceNode, loc: Loc) -> list[Any]:
        found = []
        for at, item in enumerate(node.value):
            if self._left < 0:
                break
            found.append(self.value(item, (*loc, at)))
        return found

    def _mapping(self, node: MappingNode, loc: Loc) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if self._left < 0:
                break
            if key_node.tag == f"{_TAG}merge":
                merged |= {key: value for key, value in self._merge(value_node, loc).items() if key not in merged}
                continue
            key = self._key(key_node, loc)
            if key is None:
                continue
            if key in found:
                first = self.marks[*loc, key]
                self._flaw(key_node, (*loc, key), f"the key is there twice, first in line {first.line}")
                continue
            self.marks[*loc, key] = _mark(key_node)
            found[key] = self.value(value_node, (*loc, key))
        return {**merged, **found}

    def _merge(self, node: Node, loc: Loc) -> dict[str, Any]:
        parts = node.value if isinstance(node, SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for part in parts:
            value = self.value(part, loc) if isinstance(part, MappingNode) else None
            if not isinstance(value, dict):
                self._flaw(part, loc, "`<<` takes a mapping")
                continue
            merged |= {key: item for key, item in value.items() if key not in merged}
        return merged

    def _key(self, node: Node, loc: Loc) -> str | None:
        if not isinstance(node, ScalarNode):
            self._flaw(node, loc, "a key has to be a text")
            return None
        return str(node.value)

    def _scalar(self, node: Node, loc: Loc) -> Any:
        tag, text = str(node.tag), str(node.value)
        if tag in _TEXTS:
            return text
        try:
            return _plain(tag.removeprefix(_TAG), text.replace("_", ""))
        except (ValueError, KeyError):
            pass
        known = tag.removeprefix(_TAG) in ("int", "float", "bool", "null")
        self._flaw(node, loc, f"is no number that can be used: {text[:40]}" if known else f"the tag {tag} is unknown")
        return None

    def _flaw(self, node: Node, loc: Loc, text: str) -> None:
        self.flaws.append(Flaw(_mark(node), loc, text))


def _plain(tag: str, text: str) -> Any:
    """Return the value of a scalar; raise KeyError for a tag that is not plain data, ValueError for its text."""
    if tag == "null":
        return None
    if tag == "bool":
        return {"true": True, "false": False}[text.lower()]
    if tag == "int":
        sign, digits = (text[0], text[1:]) if text[:1] in "+-" else ("", text)
        base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2].lower(), 10)
        return int(sign + digits, 0 if base != 10 else 10)
    if tag == "float":
        value = float(text)
        if math.isfinite(value):
            return value
    raise KeyError(tag) if tag != "float" else ValueError(text)


def _mark(node: Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)
