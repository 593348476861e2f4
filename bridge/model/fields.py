"""Types of fields that several schemas of the configuration share. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field


def as_list(value: object) -> object:
    """Return a list of one for a text alone."""
    return [value] if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(as_list)]
"""A list, or a single one written without brackets."""
Positive = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")]
