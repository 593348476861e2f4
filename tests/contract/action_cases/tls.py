"""TLS Secrets: a pair about to end gets a new one, self-signed or given."""

from __future__ import annotations

import base64
import time
from typing import Any

from bridge.model.certificates import Wanted, self_signed
from tests.contract.action_cases import Case, Env, Scene
from tests.support.cluster import Site

DAY = 86400.0


def pair(days: float, *names: str, serial: int = 7) -> tuple[bytes, bytes]:
    """Return a certificate that ends in so many days, and its key."""
    now = time.time()
    wanted = Wanted(dns_names=names or ("web.test",), seconds=(days + 30) * DAY, serial=serial, at=now - 30 * DAY)
    return self_signed(wanted)


async def tls_secret(site: Site, name: str, made: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    """Make a Secret of a certificate and a key."""
    data = {"tls.crt": base64.b64encode(made[0]).decode(), "tls.key": base64.b64encode(made[1]).decode()}
    body = {"type": "kubernetes.io/tls", "metadata": {"name": name}, "data": data, **more}
    return await site.send("POST", site.path("secrets", "", "/api/v1"), body)


async def _about_to_end(env: Env, params: dict[str, Any]) -> Scene:
    site = env.site
    await tls_secret(site, "web-tls", pair(3))

    async def by_hand() -> None:
        other = pair(60, serial=99)
        data = {"tls.crt": base64.b64encode(other[0]).decode(), "tls.key": base64.b64encode(other[1]).decode()}
        await site.send("PATCH", site.path("secrets", "web-tls", "/api/v1"), {"data": data})

    return Scene(about=site.ref("Secret", "web-tls", "v1"), params=params, meddle=by_hand)


async def self_made(env: Env) -> Scene:
    return await _about_to_end(env, {})


async def given(env: Env) -> Scene:
    await tls_secret(env.site, "put-ready", pair(90, serial=8))
    return await _about_to_end(env, {"from_secret": "put-ready"})


CASES = (
    Case(action="tls_rotate", prepare=self_made),
    Case(action="tls_rotate", variant="given", prepare=given),
)
