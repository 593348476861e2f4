"""Helm's records of a release: how they are stored, and which revision is a good one to go back to. Pure functions.

A revision is a Secret `sh.helm.release.v1.NAME.vN` of type `helm.sh/release.v1`, whose labels say name, version and
status, and whose `data.release` is base64 (the Secret's own) of base64 of gzip of JSON. What is written here reads
back as if Helm had written it: `helm history`, `helm upgrade` and `helm rollback` go on from there.
Source: helm.sh/helm/v3, pkg/storage/driver (secrets, util) and pkg/action/rollback.
"""

from __future__ import annotations

import base64
import binascii
import copy
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal

import msgspec

from bridge.model.workload import parse_time

SECRET_TYPE = "helm.sh/release.v1"  # noqa: S105 - the type of a Secret
PENDING = frozenset({"pending-install", "pending-upgrade", "pending-rollback"})
KNOWN = frozenset({"deployed", "superseded", "failed"})
"""States of a newest revision from which a rollback begins."""
_MAGIC = b"\x1f\x8b\x08"
_LARGEST = 32 * 1024 * 1024
_LARGEST_SECRET = 1024 * 1024
_SYSTEM_LABELS = frozenset({"name", "owner", "status", "version", "createdAt", "modifiedAt"})
_WENT_BACK = re.compile(r"Rollback to (\d+)\Z")
_NAME = re.compile(r"sh\.helm\.release\.v1\.(?P<name>.+)\.v(?P<version>\d+)\Z")
_PROVEN = 600.0
"""Seconds that a revision has to have served to be taken for good: as long as a rollout gets by default."""

Judgement = Literal["current", "deployed", "proven", "unproven", "same", "abandoned", "failed", "other"]


class BadRecord(ValueError):
    """A Secret that is no release record; its text quotes nothing of it."""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """One revision, as its record says. `body` is the record's JSON: it may hold credentials, and is never kept."""

    name: str
    namespace: str
    version: int
    status: str
    labels: dict[str, str]
    uid: str
    resource_version: str
    body: dict[str, Any]

    @property
    def secret(self) -> str:
        return secret_name(self.name, self.version)

    @property
    def description(self) -> str:
        return str(self._info.get("description") or "")

    @property
    def deployed_at(self) -> float:
        """When it was deployed, unix seconds; 0.0 where the record doesn't say."""
        return parse_time(self._info.get("last_deployed"))

    @property
    def chart(self) -> str:
        """Name and version, as `helm history` shows them."""
        meta = self._chart
        return f"{meta.get('name', '')}-{meta.get('version', '')}"

    @property
    def app_version(self) -> str:
        return str(self._chart.get("appVersion") or "")

    @property
    def manifest(self) -> str:
        return str(self.body.get("manifest") or "")

    @property
    def went_back_to(self) -> int:
        """The revision that this one brought back, 0 when it is no rollback."""
        match = _WENT_BACK.match(self.description)
        return int(match[1]) if match else 0

    def hooks(self, *events: str) -> list[str]:
        """Return the names of the hooks that run at one of the events."""
        found = [hook for hook in self.body.get("hooks") or [] if set(events) & set(hook.get("events") or [])]
        return [f"{hook.get('kind', '')}/{hook.get('name', '')}" for hook in found]

    @property
    def _info(self) -> Mapping[str, Any]:
        info = self.body.get("info")
        return info if isinstance(info, Mapping) else {}

    @property
    def _chart(self) -> Mapping[str, Any]:
        chart = self.body.get("chart")
        meta = chart.get("metadata") if isinstance(chart, Mapping) else None
        return meta if isinstance(meta, Mapping) else {}


def secret_name(release: str, version: int) -> str:
    return f"sh.helm.release.v1.{release}.v{version}"


def encode_body(body: Mapping[str, Any]) -> str:
    """Return a record's JSON as it stands in the Secret's `data.release`. Raises BadRecord when it is too large."""
    plain = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    # No time in the header: the same record is the same text.
    inner = base64.b64encode(gzip.compress(plain, compresslevel=9, mtime=0))
    if len(inner) > _LARGEST_SECRET:
        raise BadRecord(f"the record would be {len(inner)} bytes long, and a Secret takes {_LARGEST_SECRET}")
    return base64.b64encode(inner).decode()


def decode_body(encoded: object) -> dict[str, Any]:
    """Return a record's JSON from `data.release`. Raises BadRecord, with nothing of the record in its text."""
    try:
        inner = base64.b64decode(base64.b64decode(str(encoded or ""), validate=True), validate=True)
        # Helm reads records of its first versions as well, which are not compressed.
        plain = _unzip(inner) if inner.startswith(_MAGIC) else inner
        body = json.loads(plain)
    except (binascii.Error, ValueError, zlib.error, RecursionError) as error:
        raise BadRecord(f"the record cannot be read ({type(error).__name__})") from None
    if not isinstance(body, dict):
        raise BadRecord("the record is no JSON object")
    return body


def _unzip(data: bytes) -> bytes:
    unzip = zlib.decompressobj(wbits=31)
    plain = unzip.decompress(data, _LARGEST)
    if unzip.unconsumed_tail or not unzip.eof:
        raise ValueError("too large, or cut off")
    return plain


def release_of(secret: Mapping[str, Any]) -> Release:
    """Return the revision that a Secret records; raise BadRecord when it is none."""
    meta = secret.get("metadata") or {}
    labels = dict(meta.get("labels") or {})
    match = _NAME.match(str(meta.get("name") or ""))
    if match is None or secret.get("type") not in (SECRET_TYPE, None):
        raise BadRecord(f"Secret {meta.get('name')} is no release record")
    body = decode_body((secret.get("data") or {}).get("release"))
    info = body.get("info")
    version = body.get("version")
    if not isinstance(info, Mapping) or version != int(match["version"]):
        raise BadRecord(f"Secret {meta.get('name')} has a record of another revision, or none")
    return Release(
        name=match["name"],
        namespace=str(meta.get("namespace") or ""),
        version=int(match["version"]),
        status=str(info.get("status") or "unknown"),
        labels=labels,
        uid=str(meta.get("uid") or ""),
        resource_version=str(meta.get("resourceVersion") or ""),
        body=body,
    )


def releases_of(secrets: Iterable[Mapping[str, Any]], name: str) -> list[Release]:
    """Return the revisions of a release, oldest first; raise BadRecord for a record that cannot be read."""
    own = [secret for secret in secrets if _is_of(secret, name)]
    return sorted((release_of(secret) for secret in own), key=lambda release: release.version)


def _is_of(secret: Mapping[str, Any], name: str) -> bool:
    match = _NAME.match(str((secret.get("metadata") or {}).get("name") or ""))
    return match is not None and match["name"] == name


def judge(releases: Sequence[Release]) -> dict[int, Judgement]:
    """Return what each revision is worth as one to go back to, by its number; `releases` is oldest first.

    `deployed` still carries that state beside a newer failed attempt: it is what runs, or ran last. `proven` was
    replaced after it had served for ten minutes, `unproven` sooner. Never chosen by itself: the current one, one
    with the same manifest as the current deployed one (`same`), one that somebody left by a rollback to an older one
    (`abandoned`), and one that failed.
    """
    current = releases[-1]
    left = {
        release.version
        for later in releases
        if later.went_back_to
        for release in releases
        if later.went_back_to < release.version < later.version
    }
    # What was gone back to later was taken for good after all.
    left -= {later.went_back_to for later in releases if later.went_back_to}
    found: dict[int, Judgement] = {current.version: "current"}
    for release, follower in pairwise(releases):
        if release.status == "failed":
            found[release.version] = "failed"
        elif release.status not in ("deployed", "superseded"):
            found[release.version] = "other"
        elif release.version in left:
            found[release.version] = "abandoned"
        elif release.status == "deployed":
            found[release.version] = "deployed"
        elif current.status == "deployed" and release.manifest == current.manifest:
            found[release.version] = "same"
        else:
            served = follower.deployed_at - release.deployed_at
            found[release.version] = "proven" if served >= _PROVEN else "unproven"
    return found


def last_good(releases: Sequence[Release]) -> Release | None:
    """Return the newest revision of the best judgement, None where there is none to go back to."""
    worth = judge(releases)
    for judgement in ("deployed", "proven", "unproven"):
        for release in reversed(releases):
            if worth[release.version] == judgement:
                return release
    return None


def to_prune(releases: Sequence[Release], limit: int, spared: Iterable[int]) -> list[Release]:
    """Return the oldest records that go, so that with one more there are `limit`; 0 is no limit.

    As Helm does it the revision that is deployed stays; beyond Helm, those in `spared` do, which an undo needs.
    Source: helm.sh/helm/v3, pkg/storage.removeLeastRecent.
    """
    if limit <= 0:
        return []
    deployed = [release.version for release in releases if release.status == "deployed"][-1:]
    kept = {*deployed, *spared}
    surplus = len(releases) - (limit - 1)
    return [release for release in releases if release.version not in kept][: max(0, surplus)]


def rolled_back(current: Release, target: Release, *, at: float, status: str) -> dict[str, Any]:
    """Return the body of the revision that brings `target` back, as Helm composes it. `at` is in unix seconds.

    Source: helm.sh/helm/v3, pkg/action.Rollback.prepareRollback.
    """
    old, back = current.body["info"], target.body["info"]
    info = {
        "first_deployed": old.get("first_deployed", ""),
        "last_deployed": nano_time(at),
        "deleted": "",
        "description": f"Rollback to {target.version}",
        "status": status,
    }
    if back.get("notes"):
        info["notes"] = back["notes"]
    body: dict[str, Any] = {"name": current.body.get("name", current.name), "info": info}
    for key in ("chart", "config", "manifest", "hooks"):
        if key in target.body:
            body[key] = copy.deepcopy(target.body[key])
    return {**body, "version": current.version + 1, "namespace": current.body.get("namespace", current.namespace)}


def with_status(body: Mapping[str, Any], status: str, description: str = "") -> dict[str, Any]:
    """Return the body with another status, and another description where one is given."""
    info = {**body["info"], "status": status, **({"description": description} if description else {})}
    return {**body, "info": info}


def new_labels(current: Release, target: Release, *, at: float, status: str) -> dict[str, str]:
    """Return the labels of a record that is made; labels that people gave the target's release go with it."""
    own = {key: value for key, value in target.labels.items() if key not in _SYSTEM_LABELS}
    named = {"name": current.name, "owner": "helm", "status": status, "version": str(current.version + 1)}
    return {**own, "createdAt": str(int(at)), **named}


def changed_labels(labels: Mapping[str, str], *, at: float, status: str) -> dict[str, str]:
    """Return the labels of a record whose status changes.

    Helm rewrites them: a record that it has just made loses `createdAt` for `modifiedAt`, while one that it read
    before keeps the `modifiedAt` that it had.
    """
    kept = {key: value for key, value in labels.items() if key != "createdAt"}
    return {"modifiedAt": str(int(at)), **kept, "status": status}


def nano_time(seconds: float) -> str:
    """Return unix seconds as Go writes a time with nanoseconds: RFC 3339, UTC, no zeros at the end."""
    moment = datetime.fromtimestamp(round(seconds, 6), UTC)
    fraction = f".{moment.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
