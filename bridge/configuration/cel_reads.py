"""What an expression reads, down to the items of lists, and which values it puts an operator between.

Used by scope.py, where the types are known. Tokens only, as in cel_text.py: what is not plain is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from bridge.configuration.cel_text import BINDING_MACROS, WORDS, Token, plain_string, tokens
from bridge.configuration.shapes import EACH, INDEX

Path = tuple[str, ...]

_OPERATORS = frozenset({"+", "-", "*", "/", "%", "==", "!=", "<", ">", "<=", ">="})


class Operand(NamedTuple):
    """A value that stands alone: a path, or a literal of that kind."""

    path: Path
    kind: str
    text: str


class Pair(NamedTuple):
    """Two operands with an operator between them."""

    left: Operand
    operator: str
    right: Operand


class _Found(NamedTuple):
    operand: Operand
    start: int
    end: int
    """Index of the token after it."""


@lru_cache(maxsize=4096)
def reads(expression: str) -> tuple[Path, ...]:
    """Return the paths that an expression reads, each once: `("evidence", "pods", "items", "[*]", "ready")` for
    `evidence.pods.items.exists(p, !p.ready)`. A path ends where something is called.
    """
    return tuple({found.operand.path: None for found in _walk(_all(expression)) if found.operand.path})


@lru_cache(maxsize=4096)
def pairs(expression: str) -> tuple[Pair, ...]:
    """Return the operands that stand side by side. CEL gives both sides of an operator one type, so that two
    neighbours of different types are wrong whatever stands around them.
    """
    known = _all(expression)
    alone = {one.start: one for one in _walk(known) if _stands_alone(known, one)}
    found = []
    for left in alone.values():
        # What stands in the brackets of a path begins before the path ends.
        right = next((alone[start] for start in sorted(alone) if start >= left.end), None)
        if right is None:
            continue
        between = "".join(token.text for token in known[left.end : right.start])
        operator = between if len(between) < 2 else between.rstrip("-")
        if operator in _OPERATORS:
            found.append(Pair(left.operand, operator, right.operand))
    return tuple(found)


@lru_cache(maxsize=4096)
def lone_path(expression: str) -> Path:
    """Return the path that is the whole expression, or the empty one."""
    known = _all(expression)
    return next((f.operand.path for f in _walk(known) if f.start == 0 and f.end == len(known)), ())


def _all(expression: str) -> tuple[Token, ...]:
    return tuple(tokens(expression))


def _walk(known: tuple[Token, ...]) -> Iterator[_Found]:
    bound: dict[str, Path] = {}
    yield from _operands(known, 0, len(known), bound)


def _operands(known: tuple[Token, ...], at: int, stop: int, bound: dict[str, Path]) -> Iterator[_Found]:
    while at < stop:
        token = known[at]
        after_dot = at > 0 and known[at - 1].text == "."
        if token.kind == "name" and not after_dot and token.text not in WORDS and _text(known, at + 1) != "(":
            yield from _path(known, at, bound)
            at = _end_of(known, at)
            continue
        kind = _literal(token)
        if kind and not after_dot:
            yield _Found(Operand((), kind, token.text), at, at + 1)
        at += 1


def _path(known: tuple[Token, ...], start: int, bound: dict[str, Path]) -> Iterator[_Found]:
    """Yield the path that begins at a name, what is read inside its brackets, and remember what a macro binds."""
    name = known[start].text
    path: Path = bound.get(name, (name,))
    at = start + 1
    while True:
        following = _text(known, at)
        if following == "." and at + 1 < len(known) and known[at + 1].kind == "name":
            word = known[at + 1].text
            if _text(known, at + 2) == "(":
                if word in BINDING_MACROS and _text(known, at + 4) == ",":
                    # A name that is bound twice in one expression is left out rather than mistaken.
                    variable = known[at + 3].text
                    bound[variable] = () if variable in bound else (*path, EACH) if path else ()
                break
            path = (*path, word) if path else ()
            at += 2
        elif following == "[":
            closing = _closing(known, at)
            key = plain_string(_text(known, at + 1)) if closing == at + 2 else None
            if key is None:
                yield from _operands(known, at + 1, closing, bound)
            path = (*path, INDEX if key is None else key) if path else ()
            at = closing + 1
        else:
            break
    yield _Found(Operand(path, "", ".".join(path)), start, at)


def _end_of(known: tuple[Token, ...], at: int) -> int:
    """Return the index after the path that begins at `at`: of a call's name, where its arguments begin."""
    at += 1
    while True:
        if _text(known, at) == "." and at + 1 < len(known) and known[at + 1].kind == "name":
            if _text(known, at + 2) == "(":
                # The variable of a macro is no operand.
                binds = known[at + 1].text in BINDING_MACROS and _text(known, at + 4) == ","
                return at + 5 if binds else at + 3
            at += 2
        elif _text(known, at) == "[":
            at = _closing(known, at) + 1
        else:
            return at


def _closing(known: tuple[Token, ...], at: int) -> int:
    """Return the index of the bracket that closes the one at `at`."""
    depth = 0
    for index in range(at, len(known)):
        depth += {"[": 1, "]": -1}.get(known[index].text, 0)
        if depth == 0:
            return index
    return len(known)


def _literal(token: Token) -> str:
    if token.kind == "string":
        return "text" if token.text[0] in "\"'rR" and token.text[1] not in "bB" else ""
    if token.text in ("true", "false"):
        return "bool"
    if token.kind != "number" or token.text[-1] in "uU":
        return ""
    plain = token.text.lower()
    return "float" if not plain.startswith("0x") and ("." in plain or "e" in plain) else "int"


def _stands_alone(known: tuple[Token, ...], found: _Found) -> bool:
    """Whether nothing is called on it and it is no part of something longer."""
    if found.operand.path == () and not found.operand.kind:
        return False
    return _text(known, found.end) not in (".", "(", "[") and (found.start == 0 or known[found.start - 1].text != ".")


def _text(known: tuple[Token, ...], index: int) -> str:
    return known[index].text if index < len(known) else ""
