"""cert-manager in small: a Certificate whose Issuing condition is True gets a new key pair in its Secret."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from bridge.demo.controllers.authority import self_signed
from bridge.demo.controllers.base import Controller, earliest, set_condition
from bridge.demo.objects import Obj, clone, condition, dig, name_of, namespace_of, timestamp, uid_of

if TYPE_CHECKING:
    from bridge.demo.cluster import SimulatedCluster

KEY = "certificates.cert-manager.io"
_MANAGER = "cert-manager-certificates-issuing"
_DAY = 86400
_HOURS = 3600


class Certificates(Controller):
    """Issues after a delay, or fails when told to."""

    watches = frozenset({KEY, "secrets"})

    def __init__(self, cluster: SimulatedCluster) -> None:
        super().__init__(cluster)
        self._started: dict[str, float] = {}

    def sync(self, now: float) -> float | None:
        due: float | None = None
        for certificate in self.store.list(KEY):
            due = earliest(due, self._sync_one(certificate, now))
        return due

    def _sync_one(self, certificate: Obj, now: float) -> float | None:
        uid = uid_of(certificate)
        issuing = condition(certificate, "Issuing")
        if issuing is None and condition(certificate, "Ready") is None:
            issuing = self._begin(certificate, now)
        if issuing is None or issuing["status"] != "True":
            self._started.pop(uid, None)
            return None
        started = self._started.setdefault(uid, now)
        when = started + self.cluster.behavior.issue_delay
        if when > now:
            return when
        del self._started[uid]
        annotations = certificate["metadata"].get("annotations") or {}
        current = self.store.get(KEY, namespace_of(certificate), name_of(certificate)) or certificate
        if self.cluster.behavior.fail_certificates or annotations.get("demo/issuing") == "fail":
            self._fail(current, now)
        else:
            self._issue(current, now)
        return None

    def _begin(self, certificate: Obj, now: float) -> Obj | None:
        """A Certificate that was never issued begins by itself, unless its Secret is there already."""
        secret = certificate["spec"].get("secretName", "")
        if self.store.get("secrets", namespace_of(certificate), secret) is not None:
            return None
        issuing = {
            "type": "Issuing",
            "status": "True",
            "reason": "DoesNotExist",
            "message": "Issuing certificate as Secret does not exist",
            "lastTransitionTime": timestamp(now),
            "observedGeneration": certificate["metadata"]["generation"],
        }
        changed: Obj = clone(certificate)
        status = changed.setdefault("status", {})
        status["conditions"] = set_condition(status.get("conditions") or [], issuing)
        self._save(changed)
        return issuing

    def _issue(self, certificate: Obj, now: float) -> None:
        days = _days(certificate, self.cluster.behavior.certificate_days)
        end = now + days
        self._put_secret(certificate, now, end)
        changed: Obj = clone(certificate)
        status = changed.setdefault("status", {})
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "Ready",
            "message": "Certificate is up to date and has not expired",
            "lastTransitionTime": timestamp(now),
            "observedGeneration": certificate["metadata"]["generation"],
        }
        left = [entry for entry in status.get("conditions") or [] if entry["type"] != "Issuing"]
        status["conditions"] = set_condition(left, ready)
        status["notBefore"] = timestamp(now)
        status["notAfter"] = timestamp(end)
        status["renewalTime"] = timestamp(end - _renew_before(certificate, days))
        status["revision"] = int(status.get("revision", 0)) + 1
        for key in ("lastFailureTime", "failedIssuanceAttempts", "nextPrivateKeySecretName"):
            status.pop(key, None)
        self._save(changed)
        self.record(certificate, "Issuing", "The certificate has been successfully issued", _MANAGER)

    def _fail(self, certificate: Obj, now: float) -> None:
        changed: Obj = clone(certificate)
        status = changed.setdefault("status", {})
        message = "The certificate request has failed to complete and will be retried: simulated failure"
        failed = {
            "type": "Issuing",
            "status": "False",
            "reason": "Failed",
            "message": message,
            "lastTransitionTime": timestamp(now),
            "observedGeneration": certificate["metadata"]["generation"],
        }
        status["conditions"] = set_condition(status.get("conditions") or [], failed)
        status["lastFailureTime"] = timestamp(now)
        status["failedIssuanceAttempts"] = int(status.get("failedIssuanceAttempts", 0)) + 1
        self._save(changed)
        self.record(certificate, "Failed", message, _MANAGER, warning=True)

    def _put_secret(self, certificate: Obj, now: float, end: float) -> None:
        spec = certificate["spec"]
        names = list(spec.get("dnsNames") or [])
        common_name = spec.get("commonName") or (names[0] if names else name_of(certificate))
        public, private = self_signed(common_name, names, now, end)
        data = {"tls.crt": _encoded(public), "tls.key": _encoded(private), "ca.crt": _encoded(public)}
        secrets = self.cluster.resource("v1", "Secret")
        old = self.store.get(secrets.key, namespace_of(certificate), spec["secretName"])
        if old is not None:
            self.writes.save(secrets, {**old, "data": {**(old.get("data") or {}), **data}}, _MANAGER)
            return
        annotations = {"cert-manager.io/certificate-name": name_of(certificate)}
        metadata = {
            "name": spec["secretName"],
            "namespace": namespace_of(certificate),
            "annotations": annotations,
        }
        content = {"metadata": metadata, "data": data, "type": "kubernetes.io/tls"}
        self.writes.insert(secrets, content, _MANAGER)

    def _save(self, changed: Obj) -> None:
        resource = self.cluster.resource("cert-manager.io/v1", "Certificate")
        self.writes.save(resource, changed, _MANAGER, "status")


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _days(certificate: Obj, default: int) -> float:
    """The seconds for which a new certificate holds."""
    asked = _duration(dig(certificate, "spec", "duration"))
    return asked if asked else default * _DAY


def _renew_before(certificate: Obj, seconds: float) -> float:
    asked = _duration(dig(certificate, "spec", "renewBefore"))
    return asked if asked and asked < seconds else seconds / 3


def _duration(text: object) -> float | None:
    """Seconds of a Go duration in hours, which is how certificates are written (`2160h`)."""
    if isinstance(text, str):
        hours = text.removesuffix("0m0s").removesuffix("h")
        if hours.isdigit():
            return int(hours) * _HOURS
    return None
