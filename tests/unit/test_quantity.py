"""Quantities: the same worth in other words is the same, and is written as the API server writes it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.quantity import canonical_quantity, parse_quantity

SUFFIXES = ("n", "u", "m", "", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti", "e3", "E6", "e-3")
written = st.builds(
    lambda whole, part, suffix: f"{whole}{part}{suffix}",
    st.integers(0, 9999),
    st.one_of(st.just(""), st.integers(0, 999).map(lambda digits: f".{digits}")),
    st.sampled_from(SUFFIXES),
)


@pytest.mark.parametrize(
    ("text", "worth", "canonical"),
    [
        ("2000m", "2", "2"),
        ("1500m", "1.5", "1500m"),
        ("0.5", "0.5", "500m"),
        (2, "2", "2"),
        (0.25, "0.25", "250m"),
        ("1024Mi", "1073741824", "1Gi"),
        ("1.5Gi", "1610612736", "1536Mi"),
        ("0.5Ki", "512", "512"),
        ("1000", "1000", "1k"),
        ("1E", "1000000000000000000", "1E"),
        ("12E6", "12000000", "12e6"),
        ("0.1n", "0.000000001", "1n"),
        ("0Gi", "0", "0"),
    ],
)
def test_a_quantity_is_worth_and_written_what_the_server_says(text: object, worth: str, canonical: str) -> None:
    assert parse_quantity(text) == Decimal(worth)
    assert canonical_quantity(text) == canonical


@given(written)
def test_the_servers_writing_is_stable_and_worth_the_same(text: str) -> None:
    canonical = canonical_quantity(text)
    assert canonical_quantity(canonical) == canonical
    # Fractions of a byte are rounded up, as the server does.
    assert 0 <= parse_quantity(canonical) - parse_quantity(text) < 1


@given(written, written)
def test_quantities_are_compared_by_worth_not_by_text(one: str, other: str) -> None:
    if canonical_quantity(one) == canonical_quantity(other):
        assert abs(parse_quantity(one) - parse_quantity(other)) < 1


@pytest.mark.parametrize(
    "text", ["", ".", "1 Gi", "1gi", "1K", "1e", "--1", "1..2", "٢Gi", "9" * 65, "1e99", "9Ei", "NaN", True, None, []]
)
def test_what_is_no_quantity_is_refused(text: object) -> None:
    """Fault 36 for numbers that mean memory or cores: never a crash, never a guess."""
    with pytest.raises(ValueError, match=r"quantity|beyond"):
        canonical_quantity(text)
