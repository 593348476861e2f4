"""Change one value inside a text that holds YAML, JSON or lines of `NAME=value`, and nothing else of it.

A path is written as people say it: `rateLimit.rps`, `servers[0].host`, `servers[name=web].host`; a dot within a key
has a backslash before it. In lines of `NAME=value` the path is the whole name. Pure functions; called by actions on
ConfigMaps.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

from bridge.model.yaml_edits import (
    EditError,
    Step,
    assign,
    find,
    load_yaml,
    same,
    splice,
    through_ruamel,
)

__all__ = ["EditError", "Form", "edit_text", "form_of", "parse_path", "value_at"]

Form = Literal["yaml", "json", "env", "properties"]
LONGEST = 1 << 20
"""Characters; a ConfigMap holds no more than a MiB."""

_FORMS: dict[str, Form] = {
    "yaml": "yaml",
    "yml": "yaml",
    "json": "json",
    "env": "env",
    "properties": "properties",
}
_PART = re.compile(r"\[(\d{1,6})\]|\[([^\]=\[]{1,100})=([^\]]{0,200})\]|\.?((?:\\[.\[\]\\]|[^.\[\]\\])+)")
_PLAIN = re.compile(r"[-\w./:@%+,=*~^]*\Z")


def form_of(key: str) -> Form | None:
    """Return the form that a file's ending says, None when it says none."""
    return _FORMS.get(key.rpartition(".")[2].lower()) if "." in key else None


def parse_path(path: str) -> list[Step]:
    """Return the steps of a path: a key, an index, or the (key, value) that picks an item. Raises EditError."""
    steps: list[Step] = []
    place = 0
    while place < len(path):
        match = _PART.match(path, place)
        # A dot stands between two steps, and only before a key.
        if match is None or match[0].startswith(".") != bool(steps and match[4]) or not (steps or match[4]):
            raise EditError(f"path {path[:80]!r} is not of the form a.b, a[0].b or a[name=x].b")
        index, key, wanted, name = match.groups()
        steps.append(int(index) if index else (key, wanted) if key else re.sub(r"\\(.)", r"\1", name))
        place = match.end()
    if not steps:
        raise EditError("the path is empty")
    return steps


def value_at(text: str, path: str, form: Form) -> Any:
    """Return the value at a path, None when there is none. Raises EditError for a text that is not of the form."""
    _check_length(text)
    if form in ("env", "properties"):
        found = _line(text, path, form)
        return None if found is None else _unquoted(found[2])[0]
    return find(_load(form)(text), parse_path(path), missing=None)


def edit_text(text: str, path: str, value: Any, form: Form, *, create: bool = False) -> str:
    """Return the text with `value` at the path. Comments, order and everything else stay as they are.

    `value` is a plain JSON value; for lines of `NAME=value` a text, a number or a switch. Raises EditError: not of
    the form, no such path (and not `create`), or a change that would take something else along.
    """
    _check_length(text)
    if form in ("env", "properties"):
        return _edit_line(text, path, value, form, create=create)
    load, steps = _load(form), parse_path(path)
    before = load(text)
    if not create:
        find(before, steps)
    wanted = assign(before, steps, value)
    for changed in _candidates(text, steps, value, wanted, form):
        try:
            if changed is not None and same(load(changed), wanted):
                return changed
        except EditError:
            continue
    raise EditError(f"{path} cannot be changed without changing something else (is it used by an alias?)")


def _load(form: Form) -> Callable[[str], Any]:
    return _load_json if form == "json" else load_yaml


def _load_json(text: str) -> Any:
    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no JSON number")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise EditError(f"it is no JSON: {str(error)[:200]}") from None


def _candidates(text: str, steps: list[Step], value: Any, wanted: Any, form: Form) -> Iterator[str | None]:
    """Yield what the changed text may be, those first that keep most of it; the caller reads them again."""
    yield from splice(text, steps, value)
    if form == "json":
        indent = re.search(r"\n([ \t]+)\S", text)
        written = json.dumps(wanted, indent=indent[1] if indent else None, ensure_ascii=False)
        yield written + ("\n" if text.endswith("\n") else "")
        return
    yield through_ruamel(text, steps, value)
    yield from splice(text, steps, value, anything=True)


# -- lines of NAME=value


def _line(text: str, name: str, form: Form) -> tuple[int, str, str] | None:
    """Return the number of the one line that sets `name`, its part before the value, and the value."""
    before, between = ("", r"[ \t]*[=:][ \t]*|[ \t]+")
    if form == "env":
        before, between = (r"(?:export[ \t]+)?", r"[ \t]*=[ \t]*")
    pattern = re.compile(rf"([ \t]*{before}{re.escape(name)}(?:{between}))(.*)\Z")
    lines = text.split("\n")
    found = [(number, m[1], m[2]) for number, line in enumerate(lines) if (m := pattern.match(line.rstrip("\r")))]
    if len(found) > 1:
        raise EditError(f"{name} is set {len(found)} times: which one counts is for a person")
    if found and form == "properties" and found[0][2].endswith("\\"):
        raise EditError(f"{name} goes on over several lines: set the whole key instead")
    return found[0] if found else None


def _edit_line(text: str, name: str, value: Any, form: Form, *, create: bool) -> str:
    if isinstance(value, dict | list) or value is None:
        raise EditError(f"{name} takes a text, a number or a switch, not {type(value).__name__}")
    written = str(value).lower() if isinstance(value, bool) else str(value)
    if "\n" in written or "\r" in written or not name or re.search(r"[\s=#]", name):
        raise EditError(f"{name[:80]!r} cannot be one line of NAME=value")
    found = _line(text, name, form)
    if found is None:
        if not create:
            raise EditError(f"there is no {name} in it")
        gap = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{gap}{name}={_line_value(written, '', form)}\n"
    number, head, old = found
    _, quote, rest = _unquoted(old) if form == "env" else (old, "", "")
    lines = text.split("\n")
    end = "\r" if lines[number].endswith("\r") else ""
    lines[number] = head + _line_value(written, quote, form) + rest + end
    return "\n".join(lines)


def _unquoted(value: str) -> tuple[str, str, str]:
    """Return what a value of an env file says, its quote, and what stands after it (a comment)."""
    for quote in ("'", '"'):
        if value.startswith(quote) and (end := value.find(quote, 1)) > 0:
            return value[1:end], quote, value[end + 1 :]
    comment = re.search(r"[ \t]+(?:#.*)?\Z", value)
    return (value[: comment.start()], "", comment[0]) if comment else (value, "", "")


def _line_value(value: str, quote: str, form: Form) -> str:
    if form == "properties":
        escaped = value.replace("\\", "\\\\")
        return f"\\{escaped}" if escaped[:1] in (" ", "\t") else escaped
    if not quote and _PLAIN.match(value):
        return value
    quote = quote or '"'
    if quote in value or "\\" in value or (quote == '"' and "$" in value):
        quote = "'" if quote == '"' else '"'
        if quote in value or (quote == '"' and ("\\" in value or "$" in value)):
            raise EditError("the value holds quotes of both sorts: set the whole key instead")
    return f"{quote}{value}{quote}"


def _check_length(text: str) -> None:
    if len(text) > LONGEST:
        raise EditError(f"it is longer than {LONGEST} characters")
