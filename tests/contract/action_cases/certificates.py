"""Certificates of cert-manager."""

from __future__ import annotations

from tests.contract.action_cases import Case, Env, Scene
from tests.support.capabilities import certificate

API = "/apis/cert-manager.io/v1"


async def renew(env: Env) -> Scene:
    """A certificate with ten days left, and a cert-manager that takes its time."""
    site = env.site
    await site.send("POST", site.path("certificates", api=API), certificate("tls"))
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
