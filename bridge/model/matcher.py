"""Label matchers in Alertmanager's notations. Used by the routing table, and by nothing that does I/O.

Two notations, parsed as Alertmanager does since 0.27 without feature flags: the classic one
(`alertname="X", severity=~"a|b"`, any bare text as a value) and the UTF-8 one, in which a name may be quoted too
(`"kube.namespace"="shop"`) and quoted text has Go's escapes. Alertmanager parses a text both ways and takes the
classic meaning wherever that is valid, also where the two differ; so the classic one is tried first here.
Source: prometheus/alertmanager, matcher/compat and its two parsers.

Regular expressions are RE2's and anchored at both ends: no label can make a match slow.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

from bridge.errors import InvalidInput
from bridge.model import matcher_utf8
from bridge.model.regex import MEMO, MEMO_LENGTH, compile_anchored, encode

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # Go's unicode.IsSpace
_CLASSIC = re.compile(r"[\t\n\f\r ]*([a-zA-Z_:][a-zA-Z0-9_:]*)[\t\n\f\r ]*(=~|=|!=|!~)[\t\n\f\r ]*(.*)\Z", re.DOTALL)
_TRIM = re.compile(f"[{_SPACE}]*(.*?)[{_SPACE}]*\\Z", re.DOTALL)
_NEEDS_QUOTES = re.compile(f"[{_SPACE}{{}}!=~,\\\\\"'`]")
_ALTERNATIVES = re.compile(r"[\w-]+(?:\|[\w-]+)*\Z", re.ASCII)


class MatchType(Enum):
    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


class Matcher:
    """One condition on one label. A label that is absent has the empty value, as in Alertmanager."""

    __slots__ = ("matches", "name", "type", "value", "values")

    matches: Callable[[str], bool]
    """Whether a label's value meets the condition."""
    values: frozenset[str] | None
    """The only values that can meet it, where these are few and known; for an index."""

    def __init__(self, type_: MatchType, name: str, value: str) -> None:
        """Compile; raise InvalidInput for a regular expression that RE2 refuses."""
        self.type = type_
        self.name = name
        self.value = value
        self.values = None
        match type_:
            case MatchType.EQUAL:
                self.matches = value.__eq__
                self.values = frozenset({value})
            case MatchType.NOT_EQUAL:
                self.matches = value.__ne__
            case MatchType.REGEX:
                self.matches = _regex(value, wanted=True)
                self.values = frozenset(value.split("|")) if _ALTERNATIVES.match(value) else None
            case MatchType.NOT_REGEX:
                self.matches = _regex(value, wanted=False)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.name, self.type.value, self.value

    def __str__(self) -> str:
        """Return the matcher as Alertmanager prints it."""
        name = matcher_utf8.quote(self.name) if _NEEDS_QUOTES.search(self.name) else self.name
        value = self.value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
        return f'{name}{self.type.value}"{value}"'

    def __repr__(self) -> str:
        return f"Matcher({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Matcher) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Return the matchers of `text`: none, one or several with commas between, braces around or not.

    Raises InvalidInput, which says what is wrong with `text` in the notation that it seems to be in.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"matcher {text!r} is not valid UTF-8") from None
    try:
        found = _parse_classic(text)
    except _NotClassic as classic:
        try:
            found = matcher_utf8.parse(text)
        except InvalidInput as utf8:
            looks_classic = classic.name_is_classic and '"' in text
            raise InvalidInput(f"matcher `{text}`: {classic if looks_classic else utf8}") from None
    try:
        return tuple(Matcher(MatchType(sign), name, value) for name, sign, value in found)
    except InvalidInput as error:
        raise InvalidInput(f"matcher `{text}`: {error}") from None


class _NotClassic(Exception):
    def __init__(self, message: str, *, name_is_classic: bool) -> None:
        super().__init__(message)
        self.name_is_classic = name_is_classic


def _parse_classic(text: str) -> list[tuple[str, str, str]]:
    return [_classic_one(part) for part in _split_classic(text.removeprefix("{").removesuffix("}"))]


def _split_classic(text: str) -> list[str]:
    """Split at the commas outside of double quotes; a last part of nothing but space is dropped."""
    parts: list[str] = []
    start = 0
    quoted = escaped = False
    for at, char in enumerate(text):
        if char == "," and not quoted:
            parts.append(text[start:at])
            start = at + 1
        elif char == '"':
            quoted ^= not escaped
            escaped = False
        elif char == "\\":
            escaped = not escaped
        elif char != ",":
            escaped = False
    last = _trimmed(text[start:])
    return [*parts, last] if last else parts


def _classic_one(text: str) -> tuple[str, str, str]:
    match = _CLASSIC.match(text)
    if match is None:
        raise _NotClassic('expected NAME="VALUE" with =, !=, =~ or !~', name_is_classic=False)
    name, sign, raw = match.group(1), match.group(2), match.group(3).rstrip("\t\n\f\r ")
    quoted = raw.startswith('"')
    value = ""
    rest = raw[1:] if quoted else raw
    at = 0
    while at < len(rest):
        char = rest[at]
        if char == "\\" and at + 1 < len(rest):
            following = rest[at + 1]
            value += "\n" if following == "n" else following if following in '"\\' else char + following
            at += 2
            continue
        if char == '"':
            if not quoted or at + 1 < len(rest):
                raise _NotClassic("a double quote inside the value needs a backslash", name_is_classic=True)
            return name, sign, value
        value += char
        at += 1
    if quoted:
        raise _NotClassic("the value's closing double quote is missing", name_is_classic=True)
    return name, sign, value


def _trimmed(text: str) -> str:
    match = _TRIM.match(text)
    return match.group(1) if match else text


def _regex(expression: str, *, wanted: bool) -> Callable[[str], bool]:
    """Return a test for the anchored expression, which remembers its latest answers."""
    search = compile_anchored(expression)
    memo: dict[str, bool] = {}

    def test(value: str) -> bool:
        answer = memo.get(value)
        if answer is None:
            answer = search(encode(value)) is wanted
            if len(value) <= MEMO_LENGTH:
                if len(memo) >= MEMO:
                    memo.clear()
                memo[value] = answer
        return answer

    return test
