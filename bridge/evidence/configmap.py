"""Collector `configmap`: what a ConfigMap holds, and what changed since its last good copy."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.errors import PermanentError, StoreUnavailable
from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import PlaceParams, age, meta, place
from bridge.model.outside import Copy
from bridge.model.permission import Permission
from bridge.model.permits import permit
from bridge.model.redact import mask_values
from bridge.model.target import ObjectRef, check_name
from bridge.model.workload import Document, at, parse_time
from bridge.ports import ActionContext

_LONGEST_VALUE = 8 * 1024
_MOST_KEYS = 200
_MOST_LINES = 400


class ConfigMapParams(PlaceParams):
    configmap: str | None = Field(default=None, description="Its name; left out: called as the target is.")


class LastGood(Facts):
    found: bool = Field(description="Whether a copy is kept that stood while all was well.")
    taken_at: float = Field(description="When it was taken.")
    age_seconds: float = Field(description="How long ago that was.")
    why: str = Field(description="Who or what kept it.")
    added: list[str] = Field(description="Keys that are there now and were not then.")
    removed: list[str] = Field(description="Keys that were there then and are not now.")
    changed: list[str] = Field(description="Keys with another value.")
    diff: str = Field(description="From then to now, as a unified diff without credentials, 400 lines at most.")


class ConfigMapFacts(Facts):
    name: str = Field(description="Its name.")
    uid: str = Field(description="Its uid: another one is another object.")
    data: dict[str, str] = Field(description="Its values by their keys, 8 KiB each at most, without credentials.")
    keys: list[str] = Field(description="All its keys, binary ones included.")
    immutable: bool = Field(description="Whether it can't be changed.")
    created_at: float = Field(description="When it was made.")
    changed_at: float = Field(description="When somebody changed it last.")
    changed_seconds: float = Field(description="How long ago that was.")
    changed_by: str = Field(description="The program that did, as the API server knows it, e.g. `kubectl-edit`.")
    differs: bool | None = Field(description="Whether it differs from the last good copy; null: there is none.")
    last_good: LastGood = Field(description="The last good copy.")
    copies: int = Field(description="Copies that are kept of it.")
    copies_error: str = Field(description="Why the copies cannot be read; empty: they can.")


class ConfigMap(BaseCollector):
    name = "configmap"
    summary = "A ConfigMap's values, who changed it when, and how it differs from its last good copy."
    params: type[BaseModel] = ConfigMapParams
    result: type[BaseModel] = ConfigMapFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return [permit("v1", "ConfigMap", "get")]

    async def gather(self, context: ActionContext, params: ConfigMapParams) -> ConfigMapFacts:
        """Return what it holds; raise KubeNotFound when it is not there."""
        name = check_name(params.configmap or context.target.name)
        ref = ObjectRef("v1", "ConfigMap", place(context, params), name, cluster=context.target.cluster)
        document = await context.reach.cluster.get(ref)
        now = context.reach.clock.now()
        try:
            copies, error = await context.reach.copies.of(ref), ""
        except (StoreUnavailable, PermanentError) as unavailable:
            copies, error = [], str(unavailable)
        good = next((copy for copy in copies if copy.good), None)
        values = _values(document)
        changed_at, changed_by = _last_change(document)
        return ConfigMapFacts(
            name=name,
            uid=meta(document, "uid"),
            data=mask_values(dict(list(values.items())[:_MOST_KEYS]), longest=_LONGEST_VALUE),
            keys=sorted([*values, *(document.get("binaryData") or {})]),
            immutable=bool(document.get("immutable")),
            created_at=parse_time(meta(document, "creationTimestamp")),
            changed_at=changed_at,
            changed_seconds=age(changed_at, now),
            changed_by=changed_by,
            differs=_values(good.manifest) != values if good else None,
            last_good=_compared(good, values, now),
            copies=len(copies),
            copies_error=error,
        )


def _values(document: Document) -> dict[str, str]:
    return {str(key): str(value) for key, value in sorted((document.get("data") or {}).items())}


def _last_change(document: Document) -> tuple[float, str]:
    """Return when it was changed last and by which program, as far as the API server keeps that."""
    managers = at(document, "metadata", "managedFields") or []
    newest = max(managers, key=lambda entry: parse_time(entry.get("time")), default=None)
    if newest is None or not parse_time(newest.get("time")):
        return parse_time(meta(document, "creationTimestamp")), ""
    return parse_time(newest.get("time")), str(newest.get("manager") or "")


def _compared(good: Copy | None, values: dict[str, str], now: float) -> LastGood:
    before = _values(good.manifest) if good else values
    changed = [key for key in values if key in before and values[key] != before[key]]
    return LastGood(
        found=good is not None,
        taken_at=good.taken_at if good else 0.0,
        age_seconds=age(good.taken_at, now) if good else 0.0,
        why=good.why if good else "",
        added=[key for key in values if key not in before],
        removed=[key for key in before if key not in values],
        changed=changed,
        diff=_diff(before, values),
    )


def _diff(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return a unified diff of what differs. Masked before it is compared: a line of a key's block has no name."""
    old, new = mask_values(before, longest=_LONGEST_VALUE), mask_values(after, longest=_LONGEST_VALUE)
    lines: list[str] = []
    for key in sorted({*before, *after}):
        if before.get(key) == after.get(key):
            continue
        found = difflib.unified_diff(
            old.get(key, "").splitlines(), new.get(key, "").splitlines(), f"then/{key}", f"now/{key}", lineterm=""
        )
        lines += found or [f"{key}: changed"]
    return "\n".join(lines[:_MOST_LINES])
