"""The writes of a TLS rotation: a copy of the old pair, the new pair, and the way back. Used by tls_rotate.

Private keys are made or fetched here, at the moment they are written, and go from Secret to Secret: no plan, no
journal, no log and no result holds one. What is ours is known by the remediation's mark, and a new certificate by its
serial number or its fingerprint, which are public. Each write looks first, and raises PlanStale, with nothing
written, where somebody was there since.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from bridge.errors import KubeConflict, KubeNotFound, PermanentError, PlanStale
from bridge.model.certificates import BadPair, KeyType, Leaf, Wanted, read_leaf, self_signed
from bridge.model.marks import BACKUP_OF, REMEDIATION
from bridge.model.plan import Change
from bridge.model.target import ObjectRef
from bridge.model.workload import annotations_of, format_time
from bridge.ports import ActionContext

TLS = "kubernetes.io/tls"
CERTIFICATE, KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"
_LONGEST_LABEL = 63


class Pair(msgspec.Struct, frozen=True):
    """A certificate with its chain, and its private key, as PEM. Never shown."""

    certificate: bytes
    key: bytes
    authority: bytes = b""

    def __repr__(self) -> str:
        return "Pair(…)"


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a new pair comes from. Plain and public: it is part of the plan."""

    kind: Literal["self-signed", "secret", "files"]
    name: str = ""
    namespace: str = ""
    fingerprint: str = ""
    """Of a given pair's certificate: it has to be this one still when it is written."""
    not_after: float = 0.0
    serial: str = ""
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    seconds: float = 0.0
    key_type: KeyType = "ecdsa-p256"
    at: float = 0.0

    @property
    def text(self) -> str:
        """One phrase for people."""
        if self.kind == "self-signed":
            until = format_time(self.at + self.seconds)
            names = ", ".join((*self.dns_names, *self.ip_addresses)[:5])
            return f"a self-signed one for {names or 'the same names'} ({self.key_type}), valid until {until}"
        place = f"secret/{self.namespace}/{self.name}" if self.kind == "secret" else f"the files of {self.name}"
        return f"that of {place}" + (f", valid until {format_time(self.not_after)}" if self.not_after else "")

    def plain(self) -> dict[str, Any]:
        """Return it as plain JSON, as it stands in a plan."""
        return dict(msgspec.json.decode(msgspec.json.encode(self)))

    def matches(self, leaf: Leaf) -> bool:
        """Whether a certificate is the one that comes from here."""
        if self.kind == "self-signed":
            return leaf.serial == self.serial
        return bool(self.fingerprint) and leaf.fingerprint == self.fingerprint


def data_of(secret: Mapping[str, Any]) -> Pair:
    """Return the pair in a Secret; raise BadPair when there is none."""
    data = secret.get("data") or {}
    try:
        certificate, key = (base64.b64decode(data.get(name) or "", validate=True) for name in (CERTIFICATE, KEY))
        authority = base64.b64decode(data.get(AUTHORITY) or "", validate=True)
    except (binascii.Error, ValueError):
        raise BadPair(f"{CERTIFICATE} or {KEY} is not base64") from None
    if not certificate:
        raise BadPair(f"it has no {CERTIFICATE}")
    return Pair(certificate, key, authority)


def backup_label(name: str) -> str:
    """Return the label's value for copies of a Secret: its name, or a digest of one that is too long for a label."""
    return name if len(name) <= _LONGEST_LABEL else hashlib.sha256(name.encode()).hexdigest()[:32]


async def fetch(context: ActionContext, source: Source) -> Pair:
    """Return a pair that was put ready. Raises BadPair, KubeError, and PermanentError that names a setting."""
    if source.kind == "files":
        certificate, key = await context.reach.tls_pair(source.name)
        return Pair(certificate, key)
    ref = ObjectRef("v1", "Secret", source.namespace, source.name, cluster=context.target.cluster)
    try:
        return data_of(await context.reach.cluster.get(ref))
    except KubeNotFound:
        raise BadPair("it does not exist") from None


class TlsSecrets:
    """The calls of one change, made or looked at."""

    def __init__(self, context: ActionContext, change: Change) -> None:
        self._context = context
        self._cluster = context.reach.cluster
        self._ref = change.ref
        self._call = change.call
        self._source = msgspec.convert(change.call["source"], Source)
        name = f"{change.ref.name[:200]}-alertbridge-{context.remediation.lower()}"
        self._copy_ref = msgspec.structs.replace(change.ref, name=name, uid="")

    async def perform(self) -> dict[str, Any]:
        """Make it. Raises PlanStale (nothing was written), KubeError and PermanentError."""
        steps = {
            "keep": self._keep,
            "rotate": self._rotate,
            "create": self._create,
            "restore": self._restore,
            "forget": self._forget,
            "remove": self._remove,
        }
        try:
            return await steps[self._call["do"]]()
        except KubeConflict as error:
            raise PlanStale(f"{self._ref} was changed by somebody else just now") from error
        except BadPair as error:
            raise PermanentError(f"{self._source.text}: {error}") from None

    async def done(self) -> bool | None:
        """Whether it was made."""
        what = self._call["do"]
        if what in ("keep", "forget"):
            copy = await self._get(self._copy_ref)
            return (copy is not None and self._is_ours(copy)) is (what == "keep")
        live = await self._get(self._ref)
        if what in ("rotate", "create"):
            return live is not None and self._has_new(live)
        if what == "remove":
            return live is None
        copy = await self._get(self._copy_ref)
        return live is not None and copy is not None and live.get("data") == copy.get("data")

    async def _keep(self) -> dict[str, Any]:
        """Copy the Secret's data into a Secret beside it, which goes with it."""
        live = self._as_planned(await self._get(self._ref))
        copy = await self._get(self._copy_ref)
        if copy is not None:
            raise PlanStale(f"{self._copy_ref} is there already")
        owner = {"apiVersion": "v1", "kind": "Secret", "name": self._ref.name, "uid": self._ref.uid}
        manifest = {
            # Not of the type for TLS: nothing may take the old pair for one to serve.
            "type": "Opaque",
            "metadata": {
                "labels": {BACKUP_OF: backup_label(self._ref.name)},
                "annotations": {REMEDIATION: self._context.remediation},
                "ownerReferences": [owner],
            },
            "data": live.get("data") or {},
        }
        await self._cluster.create(self._copy_ref, manifest)
        return {"copy": self._copy_ref.name}

    async def _rotate(self) -> dict[str, Any]:
        """Put the new pair in, if the old one is in the copy."""
        live = self._as_planned(await self._get(self._ref))
        copy = self._own_copy(await self._get(self._copy_ref))
        if copy.get("data") != live.get("data"):
            raise PlanStale(f"{self._ref} is not what {self._copy_ref.name} keeps")
        pair = await self._new_pair()
        data = _encoded(pair, with_authority=AUTHORITY in (live.get("data") or {}))
        await self._patch(live, data)
        return self._told(pair)

    async def _create(self) -> dict[str, Any]:
        pair = await self._new_pair()
        await self._cluster.create(
            self._ref,
            {
                "type": TLS,
                "metadata": {"annotations": {REMEDIATION: self._context.remediation}},
                "data": _encoded(pair, with_authority=bool(pair.authority)),
            },
        )
        return self._told(pair)

    async def _restore(self) -> dict[str, Any]:
        """Put the old pair back, as long as the new one is there."""
        live = self._own(await self._get(self._ref))
        copy = self._own_copy(await self._get(self._copy_ref))
        old = copy.get("data") or {}
        gone: dict[str, str | None] = dict.fromkeys(set(live.get("data") or {}) - set(old))
        await self._patch(live, {**old, **gone})
        return {"name": self._ref.name}

    async def _forget(self) -> dict[str, Any]:
        """Remove the copy, once what it keeps is in its place again."""
        copy = self._own_copy(await self._get(self._copy_ref))
        live = await self._get(self._ref)
        if live is not None and live.get("data") != copy.get("data"):
            raise PlanStale(f"{self._copy_ref} stays: {self._ref.name} does not hold the old pair")
        meta = copy["metadata"]
        ref = msgspec.structs.replace(self._copy_ref, uid=meta["uid"])
        await self._cluster.delete(ref, resource_version=meta["resourceVersion"])
        return {"name": self._copy_ref.name}

    async def _remove(self) -> dict[str, Any]:
        """Remove the Secret that was made here."""
        meta = self._own(await self._get(self._ref))["metadata"]
        ref = msgspec.structs.replace(self._ref, uid=meta["uid"])
        await self._cluster.delete(ref, resource_version=meta["resourceVersion"])
        return {"name": self._ref.name}

    async def _new_pair(self) -> Pair:
        source = self._source
        if source.kind != "self-signed":
            pair = await fetch(self._context, source)
            if not source.matches(read_leaf(pair.certificate)):
                raise PlanStale(f"{self._ref}: {source.text} is another certificate than when planned")
            return pair
        wanted = Wanted(
            dns_names=source.dns_names,
            ip_addresses=source.ip_addresses,
            seconds=source.seconds,
            key_type=source.key_type,
            serial=int(source.serial, 16),
            at=source.at,
        )
        certificate, key = await asyncio.to_thread(self_signed, wanted)
        return Pair(certificate, key, certificate)

    async def _patch(self, live: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        meta = {
            "resourceVersion": live["metadata"]["resourceVersion"],
            "annotations": {REMEDIATION: self._context.remediation},
        }
        await self._cluster.patch(self._ref, {"metadata": meta, "data": data})

    def _told(self, pair: Pair) -> dict[str, Any]:
        leaf = read_leaf(pair.certificate)
        return {
            "name": self._ref.name,
            "serial": leaf.serial,
            "fingerprint": leaf.fingerprint,
            "not_after": format_time(leaf.not_after),
            "dns_names": list(leaf.dns_names),
        }

    def _as_planned(self, live: dict[str, Any] | None) -> dict[str, Any]:
        if live is None or live["metadata"]["uid"] != self._ref.uid:
            raise PlanStale(f"{self._ref} was removed or made again since planning")
        if live["metadata"]["resourceVersion"] != self._call["resource_version"]:
            raise PlanStale(f"{self._ref} was changed since planning")
        return live

    def _own(self, live: dict[str, Any] | None) -> dict[str, Any]:
        if live is None or not self._is_ours(live) or not self._has_new(live):
            raise PlanStale(f"{self._ref} was changed since: its certificate is not the one of this remediation")
        return live

    def _own_copy(self, copy: dict[str, Any] | None) -> dict[str, Any]:
        if copy is None or not self._is_ours(copy):
            raise PlanStale(f"the copy of {self._ref} that this remediation made is not there any more")
        return copy

    def _has_new(self, live: Mapping[str, Any]) -> bool:
        try:
            return self._source.matches(read_leaf(data_of(live).certificate))
        except BadPair:
            return False

    def _is_ours(self, document: Mapping[str, Any]) -> bool:
        return annotations_of(document).get(REMEDIATION) == self._context.remediation

    async def _get(self, ref: ObjectRef) -> dict[str, Any] | None:
        try:
            return await self._cluster.get(ref)
        except KubeNotFound:
            return None


def _encoded(pair: Pair, *, with_authority: bool) -> dict[str, str]:
    """Return the pair as a Secret's data; the authority where the Secret has had one and the pair brings one."""
    parts = {CERTIFICATE: pair.certificate, KEY: pair.key}
    if with_authority and pair.authority:
        parts[AUTHORITY] = pair.authority
    return {name: base64.b64encode(value).decode() for name, value in parts.items()}
