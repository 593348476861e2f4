"""TLS for serving. Called by app with the settings, before it listens."""

from __future__ import annotations

import ssl
from pathlib import Path

from bridge.errors import ConfigurationError


def server_context(
    certificate: Path, key: Path, *, client_ca: Path | None = None, client_required: bool = False
) -> ssl.SSLContext:
    """Return a context that serves `certificate` (PEM, with its chain) and `key`.

    With `client_ca` a client may present a certificate of that authority; with `client_required` it must.
    To take up a renewed certificate, call `reload` on the same context. Raises ConfigurationError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    reload(context, certificate, key)
    if client_ca is not None:
        try:
            context.load_verify_locations(cafile=client_ca)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigurationError([f"TLS: cannot read the clients' authority {client_ca}: {exc}"]) from None
        context.verify_mode = ssl.CERT_REQUIRED if client_required else ssl.CERT_OPTIONAL
    elif client_required:
        raise ConfigurationError(["TLS: client certificates are required, but no client authority is configured"])
    return context


def reload(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Read certificate and key again: connections from now on get them. Raises ConfigurationError."""
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigurationError([f"TLS: cannot use certificate {certificate} with key {key}: {exc}"]) from None
