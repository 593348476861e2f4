"""Alertmanager's UTF-8 notation of matchers. Called by matcher.py when the classic notation doesn't fit.

Names and values are bare text without reserved characters, or double-quoted with the escapes of a Go string.
Source: prometheus/alertmanager, matcher/parse; the Go specification, section "String literals".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from bridge.errors import InvalidInput

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_TOKEN = re.compile(
    rf"""[{_SPACE}]*(?:
        (?P<open>\{{) | (?P<close>\}}) | (?P<comma>,) | (?P<sign>=~|=|!=|!~)
      | (?P<quoted>"(?:\\.|[^"\\])*") | (?P<bare>[^{_SPACE}{{}}!=~,\\"'`]+) | (?P<end>\Z) | (?P<wrong>.)
    )""",
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(
    r"""\\(?:(?P<short>[abfnrtv\\"])|x(?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-7]{3})"""
    r"""|(?:u(?P<u4>[0-9a-fA-F]{4})|U(?P<u8>[0-9a-fA-F]{8}))|(?P<wrong>.?))""",
    re.DOTALL,
)
_SHORT = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(text: str) -> list[tuple[str, str, str]]:
    """Return (name, sign, value) of each matcher in `text`; raise InvalidInput, which names the place."""
    tokens = _tokens(text)
    found: list[tuple[str, str, str]] = []
    token = next(tokens)
    braces = token.kind == "open"
    if braces:
        token = next(tokens)
    if token.kind not in ("close", "end") or (token.kind == "end" and braces):
        token = _matchers(token, tokens, found)
    if token.kind == "close":
        if not braces:
            raise _wrong(token, "no opening brace before it")
        token = next(tokens)
    elif braces:
        raise _wrong(token, "expected a comma or the closing brace")
    if token.kind != "end":
        raise _wrong(token, "expected a comma or the end")
    return found


def _matchers(token: _Token, tokens: Iterator[_Token], found: list[tuple[str, str, str]]) -> _Token:
    """Read matchers with commas between (and one after them, if it likes); return the token behind."""
    while True:
        name = _text(token, "expected a label name")
        if not name:
            raise _wrong(token, "a label name cannot be empty")
        sign = next(tokens)
        if sign.kind != "sign":
            raise _wrong(sign, "expected one of =, !=, =~ and !~")
        found.append((name, sign.text, _text(next(tokens), "expected a value")))
        token = next(tokens)
        if token.kind != "comma":
            return token
        token = next(tokens)
        if token.kind in ("close", "end"):
            return token


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "wrong"
        yield _Token(kind, match.group(kind), match.start(kind) + 1)
        if kind == "end":
            return


def _text(token: _Token, expected: str) -> str:
    if token.kind == "bare":
        return token.text
    if token.kind == "quoted":
        return _unquote(token)
    raise _wrong(token, expected)


def _wrong(token: _Token, message: str) -> InvalidInput:
    if token.text.startswith('"') and token.kind == "wrong":
        message = "its closing double quote is missing"
    place = "at the end" if token.kind == "end" else f"at character {token.at}, `{token.text}`"
    return InvalidInput(f"{place}: {message}")


def _unquote(token: _Token) -> str:
    inner = token.text[1:-1]
    if "\n" in inner:
        raise _wrong(token, "a line feed inside quotes is written \\n")
    data = b""
    at = 0
    for match in _ESCAPE.finditer(inner):
        data += inner[at : match.start()].encode() + _escaped(match, token)
        at = match.end()
    data += inner[at:].encode()
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _wrong(token, "its escapes give no valid UTF-8") from None


def _escaped(match: re.Match[str], token: _Token) -> bytes:
    kind, text = match.lastgroup, match.group(match.lastgroup or 0)
    if kind == "short":
        return _SHORT[text].encode()
    code = int(text, 8 if kind == "octal" else 16) if kind in ("hex", "octal", "u4", "u8") else -1
    if kind in ("hex", "octal") and code < 256:
        return bytes([code])
    if kind in ("u4", "u8") and code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
        return chr(code).encode()
    raise _wrong(token, f"`{match.group()}` is no escape sequence")


def quote(text: str) -> str:
    """Return `text` in double quotes, so that `parse` reads it back."""
    return '"' + "".join(_ESCAPES_OUT.get(char, char) for char in text) + '"'


_ESCAPES_OUT = {char: f"\\{name}" for name, char in _SHORT.items()}
