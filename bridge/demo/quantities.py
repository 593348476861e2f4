"""Quantities as the simulated server takes and writes them: those of the model, with the server's own refusal."""

from __future__ import annotations

from decimal import Decimal

from bridge.model.quantity import canonical_quantity, parse_quantity

_REFUSAL = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def value_of(text: object) -> Decimal:
    """The number that a quantity stands for. Raises ValueError for what is none."""
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise ValueError(_REFUSAL) from error


def canonical(text: object) -> str:
    """The quantity as the server writes it back: `2000m` becomes `2`, `1024Mi` becomes `1Gi`."""
    value_of(text)
    return canonical_quantity(text)
