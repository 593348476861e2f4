"""Evidence is kept within a bound: the largest texts go first, from their beginning, and it says so."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.fit import fit

LEAF = st.none() | st.booleans() | st.integers(0, 1000) | st.text(max_size=3000)
VALUES = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=5),
    st.recursive(
        LEAF, lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text("xyz", max_size=2), inner)
    ),
    max_size=5,
)


def size(values: Any) -> int:
    return len(msgspec.json.encode(values))


def test_what_fits_is_left_as_it_is() -> None:
    values = {"pods": {"ready": 3}, "logs": {"text": "x" * 1000}}
    assert fit(values, 5000) == (values, {})


def test_the_largest_text_is_cut_first_and_keeps_its_end() -> None:
    values = {"logs": {"text": f"begin{'x' * 50_000}end"}, "events": {"text": "y" * 900}, "pods": {"ready": 0}}
    kept, cut = fit(values, 10_000)
    assert size(kept) <= 10_000
    assert kept["events"] == values["events"]
    assert kept["pods"] == values["pods"]
    assert kept["logs"]["text"].endswith("end")
    assert "of 50008 characters" in kept["logs"]["text"]
    assert list(cut) == ["logs.text"]


def test_lists_lose_their_middle_when_texts_are_not_enough() -> None:
    values = {"events": {"items": [{"at": at, "message": "m" * 100} for at in range(1000)], "total": 1000}}
    kept, cut = fit(values, 5000)
    assert size(kept) <= 5000
    assert kept["events"]["items"][0]["at"] == 0
    assert kept["events"]["items"][-1]["at"] == 999
    assert kept["events"]["total"] == 1000
    assert "events.items" in cut


def test_what_cannot_be_cut_is_left_out_as_a_whole_and_named() -> None:
    values = {"big": {str(n): n for n in range(5000)}, "pods": {"ready": 0}}
    kept, cut = fit(values, 1000)
    assert kept == {"pods": {"ready": 0}}
    assert "too large" in cut["big"]


@given(VALUES, st.integers(500, 20_000))
def test_it_always_fits_and_never_touches_what_came_in(values: dict[str, Any], most: int) -> None:
    before = copy.deepcopy(values)
    kept, cut = fit(values, most)
    assert values == before
    assert size(kept) <= most or not kept
    assert set(values) - set(kept) <= set(cut)
