"""Collector `quotas`: how much of a namespace's ResourceQuotas is used up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import PlaceParams, meta, place, worth
from bridge.evidence.requests import percent
from bridge.model.permission import Permission
from bridge.model.permits import permit
from bridge.model.workload import Document, at
from bridge.ports import ActionContext

_MOST = 100


class QuotaItem(Facts):
    quota: str = Field(description="Name of the ResourceQuota.")
    resource: str = Field(description="What is limited, such as `requests.cpu`.")
    hard: float = Field(description="How much there may be: cores, bytes or objects.")
    used: float = Field(description="How much there is.")
    percent: float = Field(description="That in percent.")


class QuotaFacts(Facts):
    total: int = Field(description="ResourceQuotas in the namespace.")
    exhausted: int = Field(description="Resources of which nothing is left.")
    percent: float = Field(description="The highest percentage among them; 0: there is no quota.")
    items: list[QuotaItem] = Field(description="The limits, the fullest first.")


class Quotas(BaseCollector):
    name = "quotas"
    summary = "The ResourceQuotas of a namespace, and how much of them is used up."
    params: type[BaseModel] = PlaceParams
    result: type[BaseModel] = QuotaFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return [permit("v1", "ResourceQuota", "list")]

    async def gather(self, context: ActionContext, params: PlaceParams) -> QuotaFacts:
        found = await context.reach.cluster.list("v1", "ResourceQuota", place(context, params), limit=_MOST)
        items = sorted((item for quota in found for item in _items(quota)), key=lambda item: -item.percent)
        return QuotaFacts(
            total=len(found),
            exhausted=sum(item.used >= item.hard for item in items),
            percent=max((item.percent for item in items), default=0.0),
            items=items[:_MOST],
        )


def _items(quota: Document) -> list[QuotaItem]:
    hard, used = at(quota, "status", "hard") or {}, at(quota, "status", "used") or {}
    return [
        QuotaItem(
            quota=meta(quota, "name"),
            resource=str(resource),
            hard=worth(limit),
            used=worth(used.get(resource)),
            percent=percent(worth(used.get(resource)), worth(limit)),
        )
        for resource, limit in hard.items()
    ]
