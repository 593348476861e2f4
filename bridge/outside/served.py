"""Which certificate an allow-listed address shows, whether or not anybody would trust it. Nothing is sent over it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from urllib.parse import urlsplit

from bridge.errors import Hung, InvalidInput, TemporaryError, Unreachable
from bridge.model.http_address import origin_of
from bridge.outside.http import HttpPeers

_SECONDS = 10.0


async def served_certificate(peers: HttpPeers, url: str) -> str:
    """Return the certificate (PEM) that the server at an https:// address shows for that address's host.

    Raises InvalidInput (not allowed, no https), Unreachable (nothing listens), Hung and TemporaryError.
    """
    origin = origin_of(url)[0]
    parts = urlsplit(origin)
    if parts.scheme != "https":
        raise InvalidInput(f"{origin} shows no certificate: an https:// address is needed")
    peers.check(url)
    # An expired one is what is looked for; nothing secret goes over this connection.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host = str(parts.hostname)
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection(host, parts.port, ssl=context, server_hostname=host)
    except TimeoutError as error:
        raise Hung(f"{origin}: no answer within {_SECONDS:g} s") from error
    except ConnectionRefusedError as error:
        raise Unreachable(f"{origin}: the connection was refused") from error
    except (ssl.SSLError, OSError) as error:
        raise TemporaryError(f"{origin}: no certificate: {error}") from error
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await writer.wait_closed()
    if not shown:
        raise TemporaryError(f"{origin} shows no certificate")
    return ssl.DER_cert_to_PEM_cert(shown)
