"""Collector `promql`: one number from Prometheus. No samples, or no number, is missing evidence, never zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.errors import PermanentError
from bridge.model.runbook import Strict
from bridge.ports import ActionContext

_REDUCE: Mapping[str, Callable[[list[float]], float]] = {"max": max, "min": min, "sum": math.fsum}


class PromqlParams(Strict):
    query: str = ParamField(min_length=1, max_length=4096)
    reduce: Literal["max", "min", "sum"] = "max"
    """How several samples become one value."""


class Promql:
    """Implements bridge.ports.Collector."""

    name = "promql"
    summary = "The value of an instant query at the configured Prometheus."
    params: type[BaseModel] = PromqlParams

    async def collect(self, context: ActionContext, params: PromqlParams) -> dict[str, Any]:
        """Return the value (a finite float) and the samples' number; raise PermanentError when there is none."""
        samples = await context.reach.promql(params.query)
        values = [value for _, value in samples]
        if not values:
            raise PermanentError("the query has no samples: that is not known, not zero")
        value = _REDUCE[params.reduce](values)
        if not all(map(math.isfinite, values)) or not math.isfinite(value):
            raise PermanentError(f"the query gives {value}: no traffic, or a division by zero")
        return {"value": float(value), "samples": len(values)}
