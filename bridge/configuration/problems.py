"""Collect everything that is wrong, one readable line each: file, line, column, key, and what was expected.

Used by the loader and its checks. Turns what pydantic found into sentences for people.
"""

from __future__ import annotations

import copy
import difflib
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bridge.configuration.document import Document, Loc
from bridge.errors import ConfigurationError
from bridge.model.text import printable

Model = TypeVar("Model", bound=BaseModel)

_INLINE = frozenset({"secret", "secrets", "password", "token", "api_key", "key", "bearer", "passphrase"})
_MOST = 200
"""Problems that are told; the rest is counted."""
_ROUNDS = 10
_ANY_MATCHER = ('alertname=~".*"',)
"""Stands in for matchers that are wrong while the rest is checked."""


class Problems:
    """What was found so far, in any order; told in the order of files and lines."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int, int, str], None] = {}
        self._patched: set[tuple[str, Loc]] = set()

    def add(self, document: Document, loc: Loc, text: str) -> None:
        """Note that the value at `loc` is wrong: `text` says why and what was expected."""
        if (document.name, loc) in self._patched:
            return
        mark = document.mark(loc)
        key = key_path(document.place(loc))
        self._note(document.name, mark.line, mark.column, f"{key}: {text}" if key else text)

    def add_flaws(self, document: Document) -> None:
        for flaw in document.flaws:
            key = key_path(flaw.loc)
            self._note(document.name, flaw.mark.line, flaw.mark.column, f"{key}: {flaw.text}" if key else flaw.text)

    def _note(self, name: str, line: int, column: int, text: str) -> None:
        self._found[name, line, column, printable(text)] = None

    def __bool__(self) -> bool:
        return bool(self._found)

    def lines(self) -> list[str]:
        """Return one line for each, e.g. `config/bridge.yml:12:7: route.routes[0].matchers: …`."""
        lines = [f"{name}:{line}:{column}: {text}" for name, line, column, text in sorted(self._found)]
        return lines if len(lines) <= _MOST else [*lines[:_MOST], f"… and {len(lines) - _MOST} more"]

    def raise_if_any(self) -> None:
        """Raise ConfigurationError with every problem."""
        if self._found:
            raise ConfigurationError(self.lines())

    def validate(
        self, model: type[Model], document: Document, value: Any, *, refused: Mapping[str, str] | None = None
    ) -> Model | None:
        """Return the model of a whole file after noting what is wrong; None when nothing can be made of it.

        What is wrong is left out and the rest is taken, so that the checks that follow still find the mistakes in
        the rest. `refused` explains keys that are unknown on purpose.
        """
        told = False
        for _ in range(_ROUNDS):
            try:
                return model.model_validate(value)
            except ValidationError as error:
                for place, text in [] if told else sentences(model, error, refused=refused or {}):
                    self.add(document, place, text)
                told = True
                value = copy.deepcopy(value)
                for place in [tuple(found["loc"]) for found in error.errors(include_url=False)]:
                    if not self._leave_out(document, value, place):
                        return None
        return None

    def _leave_out(self, document: Document, value: Any, place: Loc) -> bool:
        """Take the innermost key on the way to `place` out of `value`; False when that would leave nothing."""
        while place:
            *way, key = place
            holder: Any = value
            for part in way:
                holder = _step(holder, part)
            if isinstance(holder, dict) and key in holder:
                self._patched.add((document.name, tuple(way)))
                if key == "matchers":
                    holder[key] = _ANY_MATCHER
                else:
                    del holder[key]
                return True
            place = tuple(way)
        return False


def key_path(loc: Iterable[str | int]) -> str:
    """Return `route.routes[0].matchers` for the way to a value."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean X?", or what there is, to be put behind a sentence about an unknown name."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known are {', '.join(names[:20])}{', …' if len(names) > 20 else ''}" if names else ""


def sentences(
    model: type[BaseModel], error: ValidationError, *, refused: Mapping[str, str]
) -> Iterator[tuple[Loc, str]]:
    """Yield the place within the value and a sentence for each of pydantic's findings."""
    all_found = error.errors(include_url=False)
    places = [tuple(found["loc"]) for found in all_found]
    for found, place in zip(all_found, places, strict=True):
        if found["type"] == "too_short" and any(len(at) > len(place) and at[: len(place)] == place for at in places):
            continue  # It has entries, and what is wrong with them is told.
        last = str(place[-1]) if place else ""
        if found["type"] == "extra_forbidden":
            yield place, _unknown_key(last, fields_at(model, place[:-1]), refused)
        elif found["type"] == "missing":
            yield place, "is required"
        else:
            yield place, _words(found["type"], found["msg"], found["input"])


_EXPECTED = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "dict": "a mapping",
    "model": "a mapping",
    "list": "a list",
    "tuple": "a list",
}


def _words(kind: str, message: str, given: object) -> str:
    """Return what was expected and what was given; our own validators have said both already."""
    if kind in ("value_error", "assertion_error"):
        return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind in ("too_short", "too_long"):
        bound = re.search(r"at (?:least|most) \d+", message)
        many = bound.group() if bound else "another number of"
        return f"expected {many} {'entry' if many.endswith(' 1') else 'entries'}, got {_shown(given)}"
    if kind == "timezone_aware":
        return f"expected a time with its zone, such as 2026-11-21T22:00:00+01:00, got {_shown(given)}"
    expected = _EXPECTED.get(kind.split("_")[0]) if kind.endswith(("_type", "_parsing")) else None
    words = f"expected {expected}" if expected else message.replace("Input should be", "expected")
    return f"{words[:1].lower()}{words[1:]}, got {_shown(given)}"


def _unknown_key(key: str, known: Iterable[str], refused: Mapping[str, str]) -> str:
    if key in refused:
        return f"is not a key of alertbridge: {refused[key]}"
    if key in _INLINE:
        places = sorted(name for name in known if name.endswith(("_file", "_env")) and name.split("_")[0] != "ca")
        hint = f": name its place by {' or '.join(places)}" if places else ""
        return f"a secret is never written into the configuration{hint}"
    return f"is an unknown key{nearest(key, known)}"


def _shown(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _step(value: Any, part: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(str(part))
    return value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None


def fields_at(model: type[BaseModel], place: Loc) -> list[str]:
    """Return the keys that the schema has at a place; none where it isn't a model."""
    at: Any = model
    for part in place:
        at = _inside(at, part)
    found = model_in(at)
    return [field.alias or name for name, field in found.model_fields.items()] if found else []


def _inside(annotation: Any, part: str | int) -> Any:
    found = model_in(annotation)
    if found is not None:
        for name, field in found.model_fields.items():
            if part in (name, field.alias):
                return field.annotation
        return None
    for option in _options(annotation):
        origin, args = get_origin(option), get_args(option)
        if origin in (tuple, list, frozenset) and isinstance(part, int):
            return args[0]
        if origin is dict and isinstance(part, str):
            return args[1]
    return None


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a field's annotation holds, by itself or as one of several; None without one."""
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None


def _options(annotation: Any) -> Iterator[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _options(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for option in get_args(annotation):
            yield from _options(option)
    else:
        yield annotation
