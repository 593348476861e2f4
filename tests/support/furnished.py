"""A namespace with one of everything that collectors look at, and credentials where people leave them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.support.cluster import HEALTHY, Site

PLANTED = "hunter2hunter2"
"""The credential."""


def certificate(days: float, now: datetime | None = None) -> bytes:
    """Return a self-signed certificate for web.test (PEM) that has so many days left."""
    return signed(ec.generate_private_key(ec.SECP256R1()), days, now)


def signed(key: ec.EllipticCurvePrivateKey, days: float, now: datetime | None = None) -> bytes:
    """Return such a certificate for a key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web.test")])
    end = (now or datetime.now(UTC)) + timedelta(days=days)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(255)
        .not_valid_before(end - timedelta(days=90))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("web.test")]), critical=False)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


async def furnish(site: Site) -> None:
    """Make the objects by plain requests: a Deployment `web` with all that belongs to it."""
    env = [{"name": "DB_PASSWORD", "value": PLANTED}]
    container = {"name": "main", "image": HEALTHY, "env": env, "resources": {"limits": {"memory": "64Mi"}}}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "web-data"}}]
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "volumes": volumes}}
    core, apps = "/api/v1", "/apis/apps/v1"
    tls = {"tls.crt": _encoded(certificate(20)), "tls.key": _encoded(PLANTED.encode())}
    request = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await _make(site, core, "persistentvolumeclaims", "web-data", {"spec": request})
    settings = {"log_level": "info", "api_token": PLANTED, "app.yml": f"port: 80\npassword: {PLANTED}\n"}
    await _make(site, core, "configmaps", "web-config", {"data": settings})
    await _make(site, core, "secrets", "web-tls", {"type": "kubernetes.io/tls", "data": tls})
    ports = [{"name": "http", "port": 80}]
    await _make(site, core, "services", "web", {"spec": {"selector": labels, "ports": ports}})
    if await site.served("v1", "ResourceQuota"):
        await _make(site, core, "resourcequotas", "quota", {"spec": {"hard": {"pods": "10"}}})
    policy = {"podSelector": {"matchLabels": labels}, "policyTypes": ["Egress"], "egress": [_rule(443)]}
    await _make(site, "/apis/networking.k8s.io/v1", "networkpolicies", "only-https", {"spec": policy})
    scaled = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 5}
    await _make(site, "/apis/autoscaling/v2", "horizontalpodautoscalers", "web", {"spec": scaled})
    spec: dict[str, Any] = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    note = {"example.com/dsn": f"postgres://app:{PLANTED}@db/x"}
    await _make(site, apps, "deployments", "web", {"spec": spec}, annotations=note)
    job = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": HEALTHY}]}}}
    await _make(site, "/apis/batch/v1", "jobs", "restore", {"spec": job})
    ref = site.ref("Deployment", "web")
    await site.until(lambda: site.complete(ref))
    event = {
        "involvedObject": {"kind": "Deployment", "name": "web", "namespace": site.namespace},
        "type": "Warning",
        "reason": "Tried",
        "message": f"login with password={PLANTED} failed",
        "lastTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "count": 1,
    }
    await _make(site, core, "events", "web.1", event)


def _rule(port: int) -> dict[str, Any]:
    return {"ports": [{"port": port, "protocol": "TCP"}]}


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


async def _make(site: Site, api: str, plural: str, name: str, body: dict[str, Any], **meta: Any) -> None:
    await site.send("POST", site.path(plural, "", api), {**body, "metadata": {"name": name, **meta}})
