"""Read the text of CEL expressions: find `${…}` in a template, and the names that an expression touches.

Used by expressions.py and by the checks of the loader. Tokens only: whether an expression is right is the
compiler's business. Source of the token rules: the CEL language definition, section "Lexis".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from bridge.errors import InvalidInput

_TOKEN = re.compile(
    r"""
    (?P<comment> //[^\n]* )
  | (?P<string>
        (?: [bB]?[rR] | [rR][bB] ) (?: \"{3}[\s\S]*?\"{3} | '{3}[\s\S]*?'{3} | "[^"\n]*" | '[^'\n]*' )
      | [bB]? (?: \"{3}(?:\\.|[^\\])*?\"{3} | '{3}(?:\\.|[^\\])*?'{3} | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' )
    )
  | (?P<name> [A-Za-z_]\w* )
  | (?P<number> \d[\w.]* )
  | (?P<space> \s+ )
  | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_PLAIN_STRING = re.compile(r"""(["'])([^"'\\]*)\1\Z""")
BINDING_MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})
WORDS = frozenset({"true", "false", "null", "in"})


class Token(NamedTuple):
    kind: str
    text: str
    end: int


class Piece(NamedTuple):
    """A part of a template: text as it is, or the text of an expression."""

    text: str
    is_expression: bool


def tokens(text: str, start: int = 0) -> Iterator[Token]:
    """Yield the tokens of an expression from a place on, space and comments left out."""
    for match in _TOKEN.finditer(text, start):
        kind = match.lastgroup or "sign"
        if kind not in ("space", "comment"):
            yield Token(kind, match.group(), match.end())


def plain_string(text: str) -> str | None:
    """Return what a string literal without escapes says; None for every other token."""
    match = _PLAIN_STRING.match(text)
    return match.group(2) if match else None


def split_template(text: str) -> tuple[Piece, ...]:
    """Return the pieces of a template; `$${` stands for a literal `${`.

    A brace inside a string or a map of the expression doesn't end it. Raises InvalidInput when an expression
    is empty or is not closed.
    """
    pieces: list[Piece] = []
    plain = ""
    at = 0
    while (found := text.find("${", at)) >= 0:
        if found > at and text[found - 1] == "$":
            plain += text[at : found - 1] + "${"
            at = found + 2
            continue
        end = _closing_brace(text, found + 2)
        inner = text[found + 2 : end].strip()
        if not inner:
            raise InvalidInput(f"the expression in {text!r} is empty: write ${{…}} around CEL, $${{ for a plain ${{")
        if plain := plain + text[at:found]:
            pieces.append(Piece(plain, False))
        pieces.append(Piece(inner, True))
        plain, at = "", end + 1
    if plain := plain + text[at:]:
        pieces.append(Piece(plain, False))
    return tuple(pieces)


def _closing_brace(text: str, start: int) -> int:
    depth = 0
    for token in tokens(text, start):
        if token.text == "{":
            depth += 1
        elif token.text == "}":
            if depth == 0:
                return token.end - 1
            depth -= 1
    raise InvalidInput(f"an expression in {text!r} is not closed: }} is missing")


@lru_cache(maxsize=4096)
def references(expression: str) -> tuple[tuple[str, ...], ...]:
    """Return the paths that an expression reads, such as `("evidence", "pods", "crashlooping")`, each once.

    A name that a macro binds (`list.exists(x, x > 1)`), a function and a literal are left out. A path ends where
    the next part is computed or a call.
    """
    found = [*tokens(expression)]
    bound = _bound_names(found)
    paths: dict[tuple[str, ...], None] = {}
    at = 0
    while at < len(found):
        token = found[at]
        after_dot = at > 0 and found[at - 1].text == "."
        if token.kind == "name" and not after_dot and token.text not in WORDS and token.text not in bound:
            path, at = _path(found, at)
            if path:
                paths[path] = None
        else:
            at += 1
    return tuple(paths)


def _bound_names(found: list[Token]) -> frozenset[str]:
    return frozenset(
        found[at + 2].text
        for at in range(1, len(found) - 3)
        if found[at].text in BINDING_MACROS
        and found[at - 1].text == "."
        and found[at + 1].text == "("
        and found[at + 2].kind == "name"
        and found[at + 3].text == ","
    )


def _path(found: list[Token], at: int) -> tuple[tuple[str, ...], int]:
    """Return the path that begins at a name, and the index of the token after it."""

    def text(index: int) -> str:
        return found[index].text if index < len(found) else ""

    if text(at + 1) == "(":
        return (), at + 1
    path = [found[at].text]
    at += 1
    while True:
        if text(at) == "." and at + 1 < len(found) and found[at + 1].kind == "name" and text(at + 2) != "(":
            path.append(found[at + 1].text)
            at += 2
        elif text(at) == "[" and text(at + 2) == "]" and (key := plain_string(text(at + 1))) is not None:
            path.append(key)
            at += 3
        else:
            return tuple(path), at
