"""Certificates of cert-manager."""

from __future__ import annotations

from bridge.demo.objects import clone
from bridge.demo.workloads import CERTIFICATE_DEFINITION
from tests.contract.action_cases import Case, Env, Scene

API = "/apis/cert-manager.io/v1"


async def renew(env: Env) -> Scene:
    """A certificate with ten days left, and a cert-manager that takes its time."""
    site = env.site
    if site.simulated is not None:
        site.simulated.apply(clone(CERTIFICATE_DEFINITION))
    else:
        issuer = {"metadata": {"name": "own"}, "spec": {"selfSigned": {}}}
        await site.send("POST", site.path("issuers", api=API), issuer)
    spec = {"secretName": "tls", "duration": "240h", "dnsNames": ["web.test"], "issuerRef": {"name": "own"}}
    await site.send("POST", site.path("certificates", api=API), {"metadata": {"name": "tls"}, "spec": spec})
    ref = site.ref("Certificate", "tls", "cert-manager.io/v1")

    async def issued() -> bool:
        return bool((await site.cluster.get(ref)).get("status", {}).get("revision"))

    await site.until(issued)
    if site.simulated is not None:
        site.simulated.set_behavior(issue_delay=0.4)
    status = site.path("certificates", "tls", API) + "/status"

    async def issued_again() -> None:
        conditions = [{"type": "Ready", "status": "True", "reason": "Ready", "message": "Certificate is up to date"}]
        await site.send("PATCH", status, {"status": {"revision": 7, "conditions": conditions}})

    return Scene(about=ref, params={}, meddle=issued_again)


CASES = (Case(action="certificate_renew", prepare=renew, needs=("cert-manager",)),)
