"""The type of texts that a runbook writes down as they are: statements and the like. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

NO_TEMPLATE = "no_template"
"""The kind of the error: it is told for a template as well, where other errors wait until that is rendered."""


def _fixed(value: str) -> str:
    if "${" in value:
        raise PydanticCustomError(
            NO_TEMPLATE, "a statement is fixed text: `${…}` belongs into `arguments`, which are bound as values"
        )
    return value


Statement = Annotated[str, Field(min_length=1, max_length=16_384), AfterValidator(_fixed)]
"""Text without templates: what comes from an alert can only be an argument of it."""
