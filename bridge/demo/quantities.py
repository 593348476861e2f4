"""Kubernetes quantities (`500m`, `1Gi`): their value and their canonical text. Pure functions."""

from __future__ import annotations

import re
from decimal import Decimal

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
}
_FORM = re.compile(r"^([+-]?[0-9.]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$")


def value_of(text: object) -> Decimal:
    """The number that a quantity stands for. Raises ValueError for what is none."""
    match = _FORM.match(str(text))
    if match is None:
        raise ValueError(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    number, suffix = Decimal(match.group(1)), match.group(2) or ""
    if suffix in _BINARY:
        return number * _BINARY[suffix]
    if suffix in _DECIMAL:
        return number * _DECIMAL[suffix]
    return number * Decimal(f"1{suffix}")


def canonical(text: object) -> str:
    """The quantity as the server writes it back: `2000m` becomes `2`, `1024Mi` becomes `1Gi`."""
    value = value_of(text)
    match = _FORM.match(str(text))
    suffix = match.group(2) if match else None
    if suffix in _BINARY and value == value.to_integral_value():
        return _shortest(int(value), _BINARY)
    if value != value.to_integral_value():
        for unit in ("m", "u", "n"):
            scaled = value / _DECIMAL[unit]
            if scaled == scaled.to_integral_value():
                return f"{int(scaled)}{unit}"
    scales = {unit: int(_DECIMAL[unit]) for unit in ("k", "M", "G", "T", "P", "E")}
    return _shortest(int(value), scales)


def _shortest(value: int, scales: dict[str, int]) -> str:
    for unit in reversed(scales):
        if value and value % scales[unit] == 0:
            return f"{value // scales[unit]}{unit}"
    return str(value)
