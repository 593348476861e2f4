"""Collector `promql`: one number from Prometheus. No samples, or no number, is missing evidence, never zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from bridge.errors import PermanentError
from bridge.evidence.base import BaseCollector, Facts
from bridge.model.permission import Permission
from bridge.model.runbook import Strict
from bridge.ports import ActionContext

_REDUCE: Mapping[str, Callable[[list[float]], float]] = {"max": max, "min": min, "sum": math.fsum}
_MOST_SERIES = 50


class PromqlParams(Strict):
    query: str = Field(min_length=1, max_length=4096, description="An instant query in PromQL.")
    reduce: Literal["max", "min", "sum"] = Field(
        default="max", description="How several samples become one value: `max`, `min` or `sum`."
    )
    by: str = Field(default="", description="A label: `by_label` then has each of its values with their number.")


class Series(Facts):
    labels: dict[str, str] = Field(description="The sample's labels.")
    value: float = Field(description="Its value.")


class PromqlFacts(Facts):
    value: float = Field(description="The samples' value, made one by `reduce`.")
    samples: int = Field(description="How many samples the query has.")
    by_label: dict[str, float] = Field(description="Value for each value of the label `by`, made one by `reduce`.")
    series: list[Series] = Field(description="The samples, the largest first, 50 at most.")


class Promql(BaseCollector):
    """No sample, not-a-number and infinity are missing evidence: write `or vector(0)` where an absent series means
    none.
    """

    name = "promql"
    summary = "The value of an instant query at the configured Prometheus."
    params: type[BaseModel] = PromqlParams
    result: type[BaseModel] = PromqlFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return []

    async def gather(self, context: ActionContext, params: PromqlParams) -> PromqlFacts:
        """Return the value (a finite float) and the samples' number; raise PermanentError when there is none."""
        samples = await context.reach.promql(params.query)
        values = [value for _, value in samples]
        if not values:
            raise PermanentError("the query has no samples: that is not known, not zero")
        reduce = _REDUCE[params.reduce]
        value = reduce(values)
        if not all(map(math.isfinite, values)) or not math.isfinite(value):
            raise PermanentError(f"the query gives {value}: no traffic, or a division by zero")
        grouped: dict[str, list[float]] = {}
        for labels, number in samples if params.by else []:
            grouped.setdefault(str(labels.get(params.by, "")), []).append(number)
        largest = sorted(samples, key=lambda sample: (-sample[1], sorted(sample[0].items())))[:_MOST_SERIES]
        return PromqlFacts(
            value=value,
            samples=len(values),
            by_label={name: reduce(numbers) for name, numbers in sorted(grouped.items())},
            series=[Series(labels=dict(labels), value=number) for labels, number in largest],
        )
