"""Matchers in both notations; what amtool 0.25 cannot know is fixed here."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import InvalidInput
from bridge.model import matcher_utf8
from bridge.model.matcher import Matcher, MatchType, parse_matchers


def read(text: str) -> list[tuple[str, str, str]]:
    return [matcher.key for matcher in parse_matchers(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("{}", []),
        ('alertname="X"', [("alertname", "=", "X")]),
        ("foo=bar,dings!=bums", [("foo", "=", "bar"), ("dings", "!=", "bums")]),
        ('{a="b", c=~"d|e", }', [("a", "=", "b"), ("c", "=~", "d|e")]),
        ('statuscode!~"5.."', [("statuscode", "!~", "5..")]),
        (r'{quote="She said: \"Hi, ladies! That\'s…\""}', [("quote", "=", 'She said: "Hi, ladies! That\\\'s…"')]),
        (r'a="x\ny\\z\t"', [("a", "=", "x\ny\\z\\t")]),
        ("job=", [("job", "=", "")]),
        ("tricky=~~~", [("tricky", "=~", "~~")]),
        ("{foo=bar}}", [("foo", "=", "bar}")]),
        ("a = b c ", [("a", "=", "b c")]),
        ("a:b=c", [("a:b", "=", "c")]),
    ],
)
def test_the_classic_notation(text: str, found: list[tuple[str, str, str]]) -> None:
    assert read(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"foo bar"="x"', [("foo bar", "=", "x")]),
        ("kube.namespace=shop", [("kube.namespace", "=", "shop")]),
        ('{name-with-dashes = "bar", "ü🙂"!="n"}', [("name-with-dashes", "=", "bar"), ("ü🙂", "!=", "n")]),
        (r'"a\"b"=~"c\\.d"', [('a"b', "=~", r"c\.d")]),
        (r'"\u00fc"="\x41\101\t\U0001F642"', [("ü", "=", "AA\t🙂")]),
        (' {a="b"}', [("a", "=", "b")]),
        ('ü="a,b}"', [("ü", "=", "a,b}")]),
        ('"{"="}",', [("{", "=", "}")]),
        # Both notations can read it, and the classic meaning counts, as in Alertmanager.
        (r'a="\t"', [("a", "=", r"\t")]),
        (r'a="\x41"', [("a", "=", r"\x41")]),
    ],
)
def test_the_utf8_notation(text: str, found: list[tuple[str, str, str]]) -> None:
    assert read(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a", "at the end: expected one of =, !=, =~ and !~"),
        ("{,}", "at character 2, `,`: expected a label name"),
        ("{ü=a", "expected a comma or the closing brace"),
        ("ü=a}", "no opening brace before it"),
        ("ü=a b=c", "at character 5, `b`: expected a comma or the end"),
        ("ü==a", "at character 3, `=`: expected a value"),
        ('ü="a', "its closing double quote is missing"),
        ('ü="a\nb"', "a line feed inside quotes is written \\n"),
        (r'ü="\xff"', "its escapes give no valid UTF-8"),
        (r'ü="\ud800"', "is no escape sequence"),
        (r'ü="\q"', "is no escape sequence"),
        ('""="x"', "a label name cannot be empty"),
        ('job="value', "the value's closing double quote is missing"),
        ('job=value"', "a double quote inside the value needs a backslash"),
        ('a="b" c="d"', "a double quote inside the value needs a backslash"),
        ('a=~"["', "regular expression `[`: missing ]"),
        ('a=~"(?=x)"', "regular expression `(?=x)`: invalid perl operator"),
        (r'a=~"\\C"', "invalid escape sequence"),
        ('a=~"x{1001}"', "invalid repetition size"),
        ("a=\ud800", "is not valid UTF-8"),
    ],
)
def test_what_is_no_matcher_is_refused_with_the_place(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_matchers(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ('a="x"', "x", True),
        ('a="x"', "", False),
        ('a=""', "", True),
        ('a!="x"', "", True),
        ('a=~"x|y"', "y", True),
        ('a=~"x|y"', "xy", False),
        ('a=~"x"', "axb", False),
        ('a=~".*"', "", True),
        ('a=~".+"', "", False),
        ('a=~".*"', "x\ny", False),
        ('a=~"(?s).*"', "x\ny", True),
        ('a!~"x|y"', "x", False),
        ('a!~"x|y"', "z", True),
        ('a=~"ü."', "üü", True),
        ('a=~"[a-z]{2,3}"', "abcd", False),
        ('a=~"x)|(y"', "xz", True),
    ],
)
def test_a_matcher_holds_for_the_whole_value(text: str, value: str, holds: bool) -> None:
    (matcher,) = parse_matchers(text)
    assert matcher.matches(value) is holds
    assert matcher.matches(value) is holds, "also from memory"


def test_no_label_value_can_make_a_match_slow() -> None:
    (matcher,) = parse_matchers('a=~"(x+x+)+y|(.*)*z|(a|aa)+b"')
    started = time.perf_counter()
    assert not matcher.matches("x" * 100_000)
    assert not matcher.matches("a" * 100_000)
    # Backtracking would take longer than the age of the universe; the bound only has to be far from that.
    assert time.perf_counter() - started < 5


def test_what_a_matcher_remembers_is_bounded() -> None:
    (matcher,) = parse_matchers('a=~".*7"')
    for number in range(2000):
        assert matcher.matches(str(number)) is (number % 10 == 7)


def test_a_lone_surrogate_in_a_label_matches_nothing_special_and_breaks_nothing() -> None:
    """Fault 37."""
    assert parse_matchers('a=~".*"')[0].matches("\ud800") in (True, False)
    assert not parse_matchers('a=~"x"')[0].matches("\ud800")


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(st.characters(exclude_categories=["Cs"]))
)
def test_what_is_printed_is_read_back(name: str, value: str) -> None:
    assert matcher_utf8.parse(f"{matcher_utf8.quote(name)}={matcher_utf8.quote(value)}") == [(name, "=", value)]
    if name.isascii() and name.isidentifier():
        assert read(str(Matcher(MatchType.EQUAL, name, value))) == [(name, "=", value)]


@given(st.text(alphabet='ab="~!,\\{} \nü'))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse_matchers(text)
    except InvalidInput:
        return
    assert all(matcher.name for matcher in found)


@given(st.from_regex(r"[a-c_-]{0,3}(\|[a-c_-]{0,3}){0,3}", fullmatch=True), st.text(alphabet="abc_-|", max_size=4))
def test_the_values_for_an_index_are_exactly_those_that_match(expression: str, value: str) -> None:
    matcher = Matcher(MatchType.REGEX, "a", expression)
    if matcher.values is not None:
        assert matcher.matches(value) is (value in matcher.values)
