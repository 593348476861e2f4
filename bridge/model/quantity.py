"""Kubernetes quantities (`500m`, `1Gi`, `2e3`): what they are worth, and how the API server writes them back.

Source: Kubernetes, apimachinery pkg/api/resource. Two texts of the same worth are one quantity; the server answers
with a canonical one, which is why what is planned has to be written that way. Pure functions.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Context, Decimal
from typing import Annotated

from pydantic import BeforeValidator

_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?", re.ASCII)
_LONGEST = 64
_STEPS = ("", "K", "M", "G", "T", "P", "E")
_BINARY = {f"{letter}i": Decimal(1024) ** step for step, letter in enumerate(_STEPS) if step}
_DECIMAL = {
    **{letter: Decimal(1000) ** -step for step, letter in enumerate(("", "m", "u", "n"))},
    **{letter.replace("K", "k"): Decimal(1000) ** step for step, letter in enumerate(_STEPS)},
}
_MOST = Decimal(2**63 - 1)
_EXACT = Context(prec=120)
_NANO = Decimal("1e-9")


def parse_quantity(text: object) -> Decimal:
    """Return what a quantity is worth: bytes, cores or a plain number. Raises ValueError for what is none."""
    return _parts(text)[0]


def canonical_quantity(text: object) -> str:
    """Return a quantity as the API server writes it: `2000m` is `2`, `1024Mi` is `1Gi`, `1.5Gi` is `1536Mi`.

    What is finer than a billionth is rounded away from zero. Raises ValueError.
    """
    value, suffix = _parts(text)
    if suffix in _BINARY and abs(value) >= 1024:
        whole = value.to_integral_value(rounding=ROUND_CEILING)
        return _shortest(whole, {"": Decimal(1), **_BINARY})
    if suffix[:1] in ("e", "E") and suffix not in _DECIMAL:
        scales = {f"e{power}" if power else "": Decimal(10) ** power for power in range(-9, 19, 3)}
        return _shortest(value, scales)
    return _shortest(value, _DECIMAL)


def _parts(text: object) -> tuple[Decimal, str]:
    if isinstance(text, bool) or not isinstance(text, str | int | float | Decimal):
        raise ValueError(f"expected a quantity such as 500m or 1Gi, got {text!r}")
    written = str(text).strip()
    match = _FORM.fullmatch(written) if len(written) <= _LONGEST else None
    if match is None:
        raise ValueError(f"expected a quantity such as 500m or 1Gi, got {written[:_LONGEST]!r}")
    number, suffix = Decimal(match.group(1)), match.group(2) or ""
    scale = _BINARY.get(suffix) or _DECIMAL.get(suffix) or Decimal(f"1{suffix}")
    value = _EXACT.multiply(number, scale)
    if value.copy_abs() > _MOST:
        raise ValueError(f"{written} is beyond what a quantity can hold")
    fine = _EXACT.divide(value.copy_abs(), _NANO).to_integral_value(rounding=ROUND_CEILING, context=_EXACT)
    return _EXACT.multiply(fine.copy_sign(value), _NANO), suffix


def _shortest(value: Decimal, scales: dict[str, Decimal]) -> str:
    """Return it as a whole number of the largest unit that it is a multiple of."""
    if not value:
        return "0"
    for unit, scale in sorted(scales.items(), key=lambda item: -item[1]):
        count = _EXACT.divide(value, scale)
        if count == count.to_integral_value(context=_EXACT):
            return f"{int(count)}{unit}"
    raise AssertionError("every quantity is a whole number of billionths")


Quantity = Annotated[str, BeforeValidator(canonical_quantity, json_schema_input_type=str | int | float)]
"""A parameter that is a quantity, in the server's own writing; a plain number is taken as well."""
