"""Collector `metrics`: numbers out of a metrics text that a Service or an allow-listed address shows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from bridge.errors import InvalidInput, PermanentError
from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.exposition import Sample, by_label, parse_selector, parse_text, quantile, reduced
from bridge.evidence.objects import PlaceParams, place
from bridge.model.outside import HttpReply, HttpRequest
from bridge.model.peers import PeerName
from bridge.model.permission import Permission
from bridge.model.permits import permit
from bridge.model.runbook import Strict
from bridge.ports import ActionContext

_MOST_SAMPLES = 50_000
_MOST_GROUPS = 50
_LARGE = 64 * 1024
_LARGEST = 4 * 1024 * 1024


def _checked(text: str) -> str:
    try:
        parse_selector(text)
    except InvalidInput as error:
        raise ValueError(str(error)) from None
    return text


Selecting = Annotated[str, Field(max_length=1000), AfterValidator(_checked)]


class Reading(Strict):
    """One number: a metric's value, its ratio to another, or a quantile of it."""

    metric: Selecting = Field(description='Metric, with conditions on labels: `requests_total{status=~"5.."}`.')
    reduce: Literal["sum", "max", "min"] = Field(default="sum", description="How several samples become one value.")
    to: Selecting | None = Field(default=None, description="A metric that it is divided by, reduced in the same way.")
    plus: Selecting | None = Field(
        default=None, description="A metric that is added to `to`, or to `metric` without."
    )
    quantile: float | None = Field(
        default=None, ge=0, le=1, description="A quantile, e.g. 0.95, of a histogram or a summary."
    )
    by: str = Field(default="", description="A label: `by` of the result has each of its values with its number.")

    @model_validator(mode="after")
    def _one_sort(self) -> Reading:
        if self.quantile is not None and (self.to or self.by or self.plus):
            raise ValueError("a quantile is taken of one metric: without `to`, `plus` and `by`")
        if self.by and (self.to or self.plus):
            raise ValueError("`by` is for one metric: without `to` and `plus`")
        return self


class MetricsParams(PlaceParams):
    url: Annotated[str | None, PeerName("http.hosts")] = Field(
        default=None, max_length=2048, description="Address; its host has to be in `http.hosts`. Left out: a Service."
    )
    service: str | None = Field(default=None, description="Name of the Service; left out: called as the target is.")
    port: str = Field(default="http", description="Name or number of its port; `https:` before it for TLS.")
    path: str = Field(default="/metrics", description="Path at the Service.")
    read: dict[str, Reading] = Field(min_length=1, max_length=50, description="Names with what is to be read.")


class MetricsFacts(Facts):
    values: dict[str, float] = Field(
        description="The numbers by the names in `read`; one that is not known is absent."
    )
    by: dict[str, dict[str, float]] = Field(
        description="For a name with `by`, each of the label's values with its number, the largest first, 50 at most."
    )
    absent: dict[str, str] = Field(description="Names whose number is not known, and why.")
    samples: int = Field(description="Samples in the text.")


class Metrics(BaseCollector):
    """A number that is not known is absent from `values`, so that an expression that touches it is unknown. A
    Service is asked through the API server, and one of its pods answers: for sums over all of them ask Prometheus.
    """

    name = "metrics"
    summary = "Numbers out of a metrics text: sums by label, ratios, quantiles of histograms and summaries."
    params: type[BaseModel] = MetricsParams
    result: type[BaseModel] = MetricsFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return [] if params.get("url") else [permit("v1", "Service", "get", subresource="proxy")]

    async def gather(self, context: ActionContext, params: MetricsParams) -> MetricsFacts:
        """Return the numbers. Raises PermanentError for an answer that is no metrics text."""
        reply = await _fetch(context, params)
        if reply.status != 200:
            raise PermanentError(f"the metrics answer with status {reply.status}")
        if reply.truncated:
            raise PermanentError("the metrics text is longer than what is read of one: ask Prometheus")
        try:
            parse = asyncio.to_thread(parse_text, reply.body, _MOST_SAMPLES) if len(reply.body) > _LARGE else None
            samples = await parse if parse else parse_text(reply.body, _MOST_SAMPLES)
        except ValueError as error:
            raise PermanentError(f"the answer is no metrics text: {str(error)[:200]}") from None
        values: dict[str, float] = {}
        groups: dict[str, dict[str, float]] = {}
        absent: dict[str, str] = {}
        for name, reading in params.read.items():
            value, why = _read(samples, reading)
            if value is None:
                absent[name] = why
            else:
                values[name] = value
            if reading.by:
                found = by_label(samples, parse_selector(reading.metric), reading.by, reading.reduce)
                groups[name] = dict(list(found.items())[:_MOST_GROUPS])
        return MetricsFacts(values=values, by=groups, absent=absent, samples=len(samples))


async def _fetch(context: ActionContext, params: MetricsParams) -> HttpReply:
    if params.url:
        return await context.reach.http(HttpRequest(url=params.url, keep=_LARGEST))
    return await context.reach.cluster.service_text(
        place(context, params), params.service or context.target.name, params.port, params.path
    )


def _read(samples: Sequence[Sample], reading: Reading) -> tuple[float | None, str]:
    """Return the number, or None and why it is not known."""
    selector = parse_selector(reading.metric)
    if reading.quantile is not None:
        value = quantile(samples, selector, reading.quantile)
        return value, f"{reading.metric} has no observations, or no quantile {reading.quantile:g}"
    if reading.to is None:
        parts = [reading.metric, *filter(None, (reading.plus,))]
        numbers = [reduced(samples, parse_selector(part), reading.reduce) for part in parts]
        lacking = [part for part, number in zip(parts, numbers, strict=True) if number is None]
        return (None, f"{lacking[0]} has no sample") if lacking else (sum(filter(None, numbers)), "")
    return _ratio(samples, reading)


def _ratio(samples: Sequence[Sample], reading: Reading) -> tuple[float | None, str]:
    parts = [reading.metric, *filter(None, (reading.to, reading.plus))]
    numbers = []
    for part in parts:
        selector = parse_selector(part)
        number = reduced(samples, selector, reading.reduce)
        if number is None and not any(sample.name == selector.name for sample in samples):
            return None, f"{selector.name} is not in the text"
        # A counter whose labels nobody has counted up yet has no sample at all: of the whole that is nothing.
        numbers.append(number or 0.0)
    whole = sum(numbers[1:])
    return (numbers[0] / whole, "") if whole else (None, f"{reading.to} is 0: nothing has happened yet")
