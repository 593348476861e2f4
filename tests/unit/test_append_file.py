"""Telling a file that was cut from one that is damaged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.stores.append_file import is_cut

_words = st.lists(st.binary(min_size=1, max_size=20), min_size=0, max_size=4)
_commands = st.lists(_words, min_size=1, max_size=6).map(lambda many: [packed(b"HSET", *words) for words in many])


def packed(*words: bytes) -> bytes:
    """Return a command as the append-only file has it (RESP)."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


@given(_commands, st.data())
def test_any_cut_of_any_stream_is_a_cut(commands: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(commands)
    assert is_cut(stream[: data.draw(st.integers(0, len(stream)))])


@given(_commands, _commands)
def test_a_length_that_swallows_what_follows_is_damage(before: list[bytes], after: list[bytes]) -> None:
    wrong = packed(b"SET", b"key", b"value").replace(b"$5", b"$5000")
    assert not is_cut(b"".join(before) + wrong + b"".join(after))


@given(_commands, _commands)
def test_anything_that_is_no_command_is_damage(before: list[bytes], after: list[bytes]) -> None:
    assert not is_cut(b"".join(before) + b"\x00\x00\x00" + b"".join(after))
