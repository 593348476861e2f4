"""Collector `helm`: the revisions of a Helm release, from its records. Their values and manifests stay there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.errors import PermanentError
from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import age
from bridge.model.helm import PENDING, BadRecord, Release, judge, last_good, releases_of
from bridge.model.helm_manifest import RELEASE_NAME
from bridge.model.helm_target import MOST_RECORDS, NAMESPACE_HELP, RELEASE_HELP, bearer, bearers
from bridge.model.permission import Permission
from bridge.model.permits import permit
from bridge.model.redact import redact
from bridge.model.runbook import Strict
from bridge.model.target import check_name, check_namespace
from bridge.model.workload import annotations_of
from bridge.ports import ActionContext

_MOST_HISTORY = 20
_LONGEST_TEXT = 400


class HelmParams(Strict):
    """Which release."""

    release: str | None = Field(
        default=None,
        description=RELEASE_HELP,
    )
    namespace: str | None = Field(default=None, description=NAMESPACE_HELP)


class HelmBrief(Facts):
    revision: int = Field(description="Its number; 0: there is none.")
    status: str = Field(description="As Helm calls it: `deployed`, `superseded`, `failed`, `pending-upgrade`, …")
    chart: str = Field(description="Name and version of the chart.")
    app_version: str = Field(description="Version of what the chart installs, as the chart says.")
    description: str = Field(description="What Helm noted of it, without credentials.")
    age_seconds: float = Field(description="How long ago it was deployed.")
    judgement: str = Field(
        description="What it is worth as one to go back to: `current`, `deployed` (still marked so beside failed "
        "attempts), `proven` (served for 10 minutes), `unproven`, `same` (as the current one), `abandoned` (rolled "
        "back from), `failed` or `other`."
    )


class HelmFacts(HelmBrief):
    """The newest revision, and those before it."""

    release: str = Field(description="Name of the release.")
    pending: bool = Field(description="Whether Helm is at work on it, or was interrupted.")
    went_back: bool = Field(description="Whether what is deployed was gone back to from a newer revision.")
    last_good: HelmBrief = Field(description="The revision that a rollback would bring back.")
    history: list[HelmBrief] = Field(description="Its revisions, the newest first, 20 at most.")


class HelmEvidence(BaseCollector):
    name = "helm"
    summary = "A Helm release's revisions with their states, and the one that a rollback would bring back."
    params: type[BaseModel] = HelmParams
    result: type[BaseModel] = HelmFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return [permit("v1", "Secret", "list"), *(permit(*named, "get") for named in bearers(kind, params))]

    async def gather(self, context: ActionContext, params: HelmParams) -> HelmFacts:
        """Return the revisions. Raises PermanentError where there are none, or Secrets may not be read."""
        namespace = check_namespace(params.namespace or context.target.namespace)
        name = await _release(context, params)
        found = await context.reach.cluster.list(
            "v1", "Secret", namespace, labels={"owner": "helm", "name": name}, limit=MOST_RECORDS
        )
        try:
            history = releases_of(found, name)
        except BadRecord as error:
            raise PermanentError(f"release {name} in namespace {namespace}: {error}") from None
        if not history:
            raise PermanentError(f"there is no release {name} with its records in Secrets in namespace {namespace}")
        now, worth = context.reach.clock.now(), judge(history)
        current, good = history[-1], last_good(history)
        return HelmFacts(
            **_facts(current, worth, now),
            release=name,
            pending=current.status in PENDING,
            went_back=current.status == "deployed" and bool(current.went_back_to),
            last_good=HelmBrief(**_facts(good, worth, now)),
            history=[HelmBrief(**_facts(release, worth, now)) for release in reversed(history[-_MOST_HISTORY:])],
        )


async def _release(context: ActionContext, params: HelmParams) -> str:
    if params.release is not None:
        return check_name(params.release, "release")
    ref = bearer(context.target)
    if ref is None:
        return context.target.name
    release = annotations_of(await context.reach.cluster.get(ref)).get(RELEASE_NAME)
    if not release:
        raise PermanentError(f"{ref} is of no Helm release: set `release`")
    return check_name(release, "release")


def _facts(release: Release | None, worth: Mapping[int, str], now: float) -> dict[str, Any]:
    if release is None:
        return {
            **dict.fromkeys(("status", "chart", "app_version", "description", "judgement"), ""),
            "revision": 0,
            "age_seconds": 0.0,
        }
    return {
        "revision": release.version,
        "status": release.status,
        "chart": release.chart,
        "app_version": release.app_version,
        "description": redact(release.description, longest=_LONGEST_TEXT),
        "age_seconds": age(release.deployed_at, now),
        "judgement": worth[release.version],
    }
