"""Read a metrics text as Prometheus does: sums by label, ratios, quantiles. Pure functions.

Sources: Prometheus' exposition format (through prometheus_client's parser) and PromQL's `histogram_quantile`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from bridge.errors import InvalidInput
from bridge.model.matcher import Matcher, parse_matchers

_SELECTOR = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\})?\s*\Z", re.DOTALL)
REDUCE: Mapping[str, Callable[[Sequence[float]], float]] = {"sum": math.fsum, "max": max, "min": min}


class Sample(NamedTuple):
    name: str
    labels: Mapping[str, str]
    value: float


class Selector(NamedTuple):
    """A metric's name, and conditions on its labels."""

    name: str
    matchers: tuple[Matcher, ...]

    def matches(self, sample: Sample) -> bool:
        return sample.name == self.name and all(m.matches(sample.labels.get(m.name, "")) for m in self.matchers)


def parse_selector(text: str) -> Selector:
    """Return the selector of e.g. `http_requests_total{status=~"5..",method!="GET"}`; raise InvalidInput."""
    match = _SELECTOR.match(text)
    if match is None:
        raise InvalidInput(f'{text!r} selects no metric: expected e.g. http_requests_total{{status=~"5.."}}')
    return Selector(match.group(1), parse_matchers(match.group(2)) if (match.group(2) or "").strip() else ())


def parse_text(text: str, most: int) -> list[Sample]:
    """Return the samples of a metrics text, `most` at most. Raises ValueError for what is none."""
    samples: list[Sample] = []
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if len(samples) >= most:
                raise ValueError(f"it has more than {most} samples")
            samples.append(Sample(sample.name, sample.labels, float(sample.value)))
    return samples


def reduced(samples: Iterable[Sample], selector: Selector, how: str) -> float | None:
    """Return the samples' values made one; None where there is none, or no number."""
    values = [sample.value for sample in samples if selector.matches(sample)]
    value = REDUCE[how](values) if values else math.nan
    return value if math.isfinite(value) else None


def by_label(samples: Iterable[Sample], selector: Selector, label: str, how: str) -> dict[str, float]:
    """Return the values made one for each value of a label, the largest first."""
    groups: dict[str, list[float]] = {}
    for sample in samples:
        if selector.matches(sample):
            groups.setdefault(sample.labels.get(label, ""), []).append(sample.value)
    found = {name: REDUCE[how](values) for name, values in groups.items()}
    known = {name: value for name, value in found.items() if math.isfinite(value)}
    return dict(sorted(known.items(), key=lambda item: (-item[1], item[0])))


def quantile(samples: Iterable[Sample], selector: Selector, q: float) -> float | None:
    """Return a quantile: of a histogram from its buckets, of a summary the worst series that has just this one."""
    known = list(samples)
    buckets = _buckets(known, selector)
    if buckets:
        return _of_buckets(buckets, q)
    matching = [s for s in known if selector.matches(s) and "quantile" in s.labels]
    values = [s.value for s in matching if _number(s.labels["quantile"]) == q and math.isfinite(s.value)]
    return max(values, default=None)


def _buckets(samples: Sequence[Sample], selector: Selector) -> list[tuple[float, float]]:
    """Return upper bounds and cumulative counts, all series together, in order."""
    name = selector.name.removesuffix("_bucket")
    counts: dict[float, float] = {}
    for sample in samples:
        bound = _number(sample.labels.get("le", ""))
        if bound is None or sample.name != f"{name}_bucket":
            continue
        if all(m.matches(sample.labels.get(m.name, "")) for m in selector.matchers):
            counts[bound] = counts.get(bound, 0.0) + sample.value
    return sorted(counts.items())


def _of_buckets(buckets: Sequence[tuple[float, float]], q: float) -> float | None:
    """Source: Prometheus, promql/quantile.go, bucketQuantile: linear within the bucket that the rank falls into."""
    total = buckets[-1][1]
    if len(buckets) < 2 or not math.isinf(buckets[-1][0]) or not math.isfinite(total) or total <= 0:
        return None
    rank = q * total
    at = next(index for index, (_, count) in enumerate(buckets) if count >= rank)
    if at == len(buckets) - 1:
        # Above the last bound nothing is known but that it is above.
        return buckets[-2][0]
    upper, count = buckets[at]
    lower, before = buckets[at - 1] if at else (0.0, 0.0)
    if at == 0 and upper <= 0:
        return upper
    if count == before:
        return lower
    return lower + (upper - lower) * (rank - before) / (count - before)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
