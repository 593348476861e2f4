"""A new certificate and key for a TLS Secret: self-signed, or a pair that somebody put ready.

What is served is replaced here; whoever uses the Secret is restarted by a further step (`rollout_restart`). No key
is ever part of a plan: the calls in tls_secrets make or fetch it when it is written, see docs/adr.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Self

import msgspec
from pydantic import AfterValidator, BaseModel, model_validator
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.permits import permit
from bridge.actions.tls_secrets import TLS, Pair, Source, TlsSecrets, backup_label, data_of, fetch
from bridge.actions.workloads import refuse_deleted
from bridge.errors import InvalidInput, KubeNotFound, PlanError
from bridge.model.certificates import BadPair, KeyType, Leaf, is_pair, read_leaf, serial_of
from bridge.model.fields import Name
from bridge.model.marks import BACKUP_OF
from bridge.model.peers import PeerName
from bridge.model.permission import Permission
from bridge.model.plan import Change, Operation, Plan, Repeat, Undo
from bridge.model.runbook import Duration, Strict
from bridge.model.target import ObjectRef, check_name, check_namespace
from bridge.model.verification import Answer, Verification
from bridge.model.workload import Document, annotations_of, at, format_time
from bridge.ports import ActionContext

_DNS = re.compile(r"(?:\*\.)?[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)*\Z")
_CERT_MANAGER = "cert-manager.io/certificate-name"
_DAY = 86400.0
_MOST_COPIES = 100


def _dns(name: str) -> str:
    if len(name) > 253 or not _DNS.match(name):
        raise ValueError(f"{name[:80]!r} is not a DNS name, such as web.example.org or *.example.org")
    return name


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


class TlsParams(Strict):
    """Which Secret, and the pair that it gets."""

    name: str | None = ParamField(
        default=None, description="Name of the Secret; left out: the target's, where its kind is Secret."
    )
    namespace: str | None = ParamField(
        default=None, description="Namespace of the Secret, one of `secret_namespaces`; left out: the target's."
    )
    from_secret: str | None = ParamField(
        default=None,
        description="A Secret that holds the new pair as `tls.crt` and `tls.key`. Without this and `from_files`, a "
        "self-signed pair is made.",
    )
    from_namespace: str | None = ParamField(
        default=None,
        description="Namespace of `from_secret`, one of `secret_namespaces`; left out: that of the Secret.",
    )
    from_files: Annotated[Name | None, PeerName("tls_pairs")] = ParamField(
        default=None, description="A pair of files on the worker, by its name under `tls_pairs` in the settings."
    )
    dns_names: tuple[Annotated[str, AfterValidator(_dns)], ...] = ParamField(
        default=(),
        max_length=100,
        description="Names that a self-signed certificate is for; left out (with `ip_addresses`): those of the "
        "certificate that is there.",
    )
    ip_addresses: tuple[Annotated[str, AfterValidator(_address)], ...] = ParamField(
        default=(), max_length=100, description="Addresses that a self-signed certificate is for."
    )
    duration: Annotated[Duration, ParamField(ge=3600, le=3650 * _DAY)] = ParamField(
        default=90 * _DAY, description="How long a self-signed certificate is valid, 1h to 3650d."
    )
    key_type: KeyType = ParamField(default="ecdsa-p256", description="Kind of key of a self-signed certificate.")
    unless_days_left: float = ParamField(
        default=30.0,
        ge=0,
        description="A pair that fits together and is valid for more days than this is left alone.",
    )
    days: float = ParamField(
        default=30.0,
        ge=0,
        description="Days that the new certificate has to be valid for at least, else it is not taken.",
    )
    create: bool = ParamField(default=False, description="Make the Secret where there is none.")
    other_names: bool = ParamField(
        default=False, description="Take a pair that is not for all names that the present certificate is for."
    )
    although_managed: bool = ParamField(
        default=False,
        description="Also replace a pair that cert-manager issued, which puts its own back as soon as it can issue "
        "again; `certificate_renew` is the better way while it works.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.from_secret and self.from_files:
            raise ValueError("a pair comes from `from_secret` or from `from_files`, not from both")
        given = self.from_secret or self.from_files
        if given and (self.dns_names or self.ip_addresses):
            raise ValueError("`dns_names` and `ip_addresses` are for a self-signed certificate")
        if self.from_namespace and not self.from_secret:
            raise ValueError("`from_namespace` goes with `from_secret`")
        if not given and self.duration < self.days * _DAY:
            raise ValueError(f"`duration` is shorter than the {self.days:g} `days` that are asked for")
        return self


class TlsRotate(BaseAction):
    """Implements bridge.ports.Action; its calls are those of tls_secrets."""

    name = "tls_rotate"
    summary = "Replace certificate and key of a TLS Secret by a self-signed pair, or by one that was put ready."
    params: type[BaseModel] = TlsParams
    example: Mapping[str, Any] = {
        "namespace": "istio-system",
        "name": "gateway-tls",
        "dns_names": ["gateway.example.org"],
        "duration": "90d",
    }
    repeat = Repeat.DETECTABLE
    # From a copy beside the Secret, which the same plan makes.
    undo = Undo.EXACT
    # The old pair was about to end, or did not fit: whether it is better than the new one is for a person.
    undo_failed = False

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        """Secrets beside the Secret for the copy, and the one that the pair comes from."""
        asked = [permit("v1", "Secret", "create", "delete", "get", "list", "patch")]
        if params.get("from_secret") and (place := params.get("from_namespace")):
            asked.append(permit("v1", "Secret", "get", namespace=str(place)))
        return tuple(asked)

    async def plan(self, context: ActionContext, params: TlsParams) -> Plan:
        """Plan the copy and the new pair; empty when the pair that is there will do."""
        ref = _ref(context, params)
        source = _source(context, ref, params)
        live = await _read(context, ref)
        if live is None and not params.create:
            raise PlanError(f"{ref} does not exist: set `create: true` to make it, or correct its name")
        present = None if live is None else _present(ref, live, params)
        if live is not None and present is not None:
            if source.matches(present.leaf):
                return self.planned(f"{ref} has its new certificate already")
            left = present.leaf.days_left(context.reach.clock.now())
            if present.fits and left > params.unless_days_left:
                return self.planned(
                    f"{ref} is valid until {format_time(present.leaf.not_after)}: {left:.0f} days left"
                )
        source = await _settled(context, source, present, params)
        if live is None:
            return self._create(ref, source)
        ref = msgspec.structs.replace(ref, uid=live["metadata"]["uid"])
        older = await _older_copies(context, ref)
        return self._replace(ref, live, source, present, older)

    def _create(self, ref: ObjectRef, source: Source) -> Plan:
        call = {"source": source.plain()}
        change = Change(
            ref=ref,
            operation=Operation.CALL,
            call={"do": "create", **call},
            inverse_call={"do": "remove", **call},
            summary=f"make {ref} with {source.text}",
        )
        return self.planned(change.summary, change)

    def _replace(
        self, ref: ObjectRef, live: Document, source: Source, present: _Present | None, older: Sequence[ObjectRef]
    ) -> Plan:
        call = {"source": source.plain(), "resource_version": live["metadata"]["resourceVersion"]}
        was = "no readable certificate"
        if present is not None:
            was = f"serial {present.leaf.serial}, valid until {format_time(present.leaf.not_after)}"
        keep = Change(
            ref=ref,
            operation=Operation.CALL,
            call={"do": "keep", **call},
            inverse_call={"do": "forget", **call},
            summary=f"keep a copy of {ref} beside it",
        )
        rotate = Change(
            ref=ref,
            operation=Operation.CALL,
            call={"do": "rotate", **call},
            inverse_call={"do": "restore", **call},
            summary=f"replace the pair in {ref} ({was}) by {source.text}",
        )
        pruned = [
            Change(ref=copy, operation=Operation.DELETE, summary=f"remove the copy of an earlier pair, {copy}")
            for copy in older
        ]
        notes = ("the old pair, with its key, stays in a Secret beside it until the next rotation or the undo",)
        return self.planned(rotate.summary, *pruned, keep, rotate, notes=notes)

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        return await TlsSecrets(context, change).perform()

    async def done(self, context: ActionContext, change: Change) -> bool | None:
        return await TlsSecrets(context, change).done()

    async def verify(self, context: ActionContext, plan: Plan, params: TlsParams) -> Verification:
        """Fixed when the Secret holds the new certificate with its key, valid for long enough."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        change = plan.changes[-1]
        live = await _read(context, change.ref)
        if live is None:
            # Until it is made it is not there; once it is gone again nothing brings it back.
            return Verification(Answer.NOT_FIXED, f"{change.ref} does not exist")
        try:
            pair = data_of(live)
            leaf = read_leaf(pair.certificate)
        except BadPair as error:
            return Verification(Answer.NOT_FIXED, f"{change.ref}: {error}")
        if not msgspec.convert(change.call["source"], Source).matches(leaf):
            return Verification(Answer.NOT_FIXED, f"{change.ref} has another certificate, serial {leaf.serial}")
        if not is_pair(pair.certificate, pair.key):
            return Verification(Answer.NOT_FIXED, f"{change.ref}: its key is not that of its certificate", final=True)
        left = leaf.days_left(context.reach.clock.now())
        if left < params.days:
            return Verification(Answer.NOT_FIXED, f"{change.ref} is valid for {left:.1f} days only", final=True)
        return Verification(Answer.FIXED, f"serial {leaf.serial}, valid for {left:.1f} days")


class _Present(msgspec.Struct, frozen=True):
    """The certificate that is there."""

    leaf: Leaf
    fits: bool
    """Whether the key beside it is its own."""


def _ref(context: ActionContext, params: TlsParams) -> ObjectRef:
    target = context.target
    if params.name is None and target.kind != "Secret":
        raise InvalidInput(f"which Secret of a {target.kind} is meant is not known: set `name`")
    namespace = check_namespace(params.namespace or target.namespace)
    return ObjectRef("v1", "Secret", namespace, check_name(params.name or target.name), cluster=target.cluster)


def _source(context: ActionContext, ref: ObjectRef, params: TlsParams) -> Source:
    if params.from_files:
        return Source(kind="files", name=params.from_files)
    if params.from_secret:
        place = check_namespace(params.from_namespace or ref.namespace, "from_namespace")
        return Source(kind="secret", name=check_name(params.from_secret, "from_secret"), namespace=place)
    return Source(
        kind="self-signed",
        serial=f"{serial_of(context.remediation, ref.namespace, ref.name):x}",
        dns_names=params.dns_names,
        ip_addresses=params.ip_addresses,
        seconds=params.duration,
        key_type=params.key_type,
        at=context.planned_at,
    )


async def _settled(context: ActionContext, source: Source, present: _Present | None, params: TlsParams) -> Source:
    """Return the source with what it comes to: the names of the old certificate, or the given pair's fingerprint."""
    if source.kind == "self-signed":
        if not source.dns_names and not source.ip_addresses:
            if present is None or not (present.leaf.dns_names or present.leaf.ip_addresses):
                raise PlanError("there is no certificate whose names a new one could have: set `dns_names`")
            leaf = present.leaf
            source = msgspec.structs.replace(source, dns_names=leaf.dns_names, ip_addresses=leaf.ip_addresses)
        new = Leaf(
            serial="",
            fingerprint="",
            not_before=0.0,
            not_after=0.0,
            dns_names=source.dns_names,
            ip_addresses=source.ip_addresses,
        )
    else:
        new = await _given(context, source, params)
        source = msgspec.structs.replace(source, fingerprint=new.fingerprint, not_after=new.not_after)
    if present is not None and not params.other_names and (missing := new.covers(present.leaf)):
        raise PlanError(
            f"the present certificate is for {', '.join(missing[:5])} as well, and the new one is not: add them, or "
            "set `other_names: true`"
        )
    return source


async def _given(context: ActionContext, source: Source, params: TlsParams) -> Leaf:
    """Return the certificate of a pair that was put ready; raise PlanError when it won't do."""
    try:
        pair = await fetch(context, source)
        leaf = read_leaf(pair.certificate)
    except BadPair as error:
        raise PlanError(f"{source.text}: {error}; put a pair there as tls.crt and tls.key") from None
    now = context.reach.clock.now()
    if not is_pair(pair.certificate, pair.key):
        raise PlanError(f"{source.text}: the key is not that of the certificate, or is encrypted")
    if leaf.not_before > now:
        raise PlanError(f"{source.text}: it is valid from {format_time(leaf.not_before)} only")
    if leaf.days_left(now) < params.days:
        raise PlanError(
            f"{source.text}: it is valid until {format_time(leaf.not_after)}, and {params.days:g} days are asked for "
            "(`days`)"
        )
    return leaf


def _present(ref: ObjectRef, live: Document, params: TlsParams) -> _Present | None:
    """Return the certificate that is there; raise PlanError for a Secret that is not to be touched."""
    refuse_deleted(ref, live)
    if live.get("type") not in (TLS, "Opaque", None):
        raise PlanError(f"{ref} is of type {live.get('type')}: only {TLS} and Opaque hold a certificate and its key")
    if live.get("immutable"):
        raise PlanError(f"{ref} is immutable: make another Secret, and let its users name that")
    managed = annotations_of(live).get(_CERT_MANAGER)
    if managed and not params.although_managed:
        raise PlanError(
            f"{ref} is issued by cert-manager for certificate/{managed}: use `certificate_renew`, or set "
            "`although_managed: true` while cert-manager cannot issue"
        )
    try:
        pair = data_of(live)
        return _Present(read_leaf(pair.certificate), is_pair(pair.certificate, pair.key))
    except BadPair:
        return None


async def _read(context: ActionContext, ref: ObjectRef) -> dict[str, Any] | None:
    try:
        return await context.reach.cluster.get(ref)
    except KubeNotFound:
        return None


async def _older_copies(context: ActionContext, ref: ObjectRef) -> list[ObjectRef]:
    """Return the copies that earlier remediations left of this Secret, oldest first."""
    found = await context.reach.cluster.list(
        "v1", "Secret", ref.namespace, labels={BACKUP_OF: backup_label(ref.name)}, limit=_MOST_COPIES
    )
    own = [each for each in found if each["metadata"]["name"].startswith(f"{ref.name[:200]}-alertbridge-")]
    own.sort(key=lambda each: str(at(each, "metadata", "creationTimestamp")))
    return [
        ObjectRef("v1", "Secret", ref.namespace, each["metadata"]["name"], each["metadata"]["uid"], ref.cluster)
        for each in own
    ]


__all__ = ["Pair", "TlsParams", "TlsRotate"]
