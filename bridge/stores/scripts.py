"""Lua scripts: read from lua/, with what several of them share put in front. Used by Link.

A script names what it needs in its first line (`-- needs: common remediation`). Run with EVALSHA; one that the
server doesn't know is sent whole, which makes it known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources

from bridge.stores.options import StoreOptions


class Scripts:
    """Every script by name, with its SHA-1, for one set of options."""

    def __init__(self, options: StoreOptions) -> None:
        self._constants = _constants(options)
        self._loaded: dict[str, tuple[bytes, bytes]] = {}

    def get(self, name: str) -> tuple[bytes, bytes]:
        """Return SHA-1 (hex) and text of a script."""
        found = self._loaded.get(name)
        if found is None:
            text = self._assemble(name).encode()
            found = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode(), text
            self._loaded[name] = found
        return found

    def _assemble(self, name: str) -> str:
        text = _read(name)
        first = text.partition("\n")[0]
        if not first.startswith("-- needs:"):
            return text
        parts = [_read(part) for part in first.removeprefix("-- needs:").split()]
        return "\n".join((self._constants, *parts, text))


def _read(name: str) -> str:
    return (resources.files(__package__) / "lua" / f"{name}.lua").read_text()


def _constants(options: StoreOptions) -> str:
    """Return the settings as Lua locals: written into the scripts, so that no call has to send them."""
    values: Mapping[str, float] = {
        "KEEP_REMEDIATIONS": options.keep_remediations,
        "KEEP_DECISIONS": options.keep_decisions,
        "KEEP_AUDIT": options.keep_audit,
        "MAX_AUDIT": options.max_audit,
        "MAX_JOURNAL": options.max_journal,
        "KEEP_RUNS": options.keep_runs,
        "MAX_DECISIONS": options.max_decisions,
        "MAX_DEAD": options.max_dead_letters,
        "MAX_DEATHS": options.max_deaths,
        "CLAIM_MS": options.claim * 1000,
        "INCIDENT_TTL_MS": options.incident_ttl * 1000,
        "PACE_MS": options.pace * 1000,
        "RECHECK_MS": options.recheck * 1000,
        "LOOK_AGAIN_MS": options.look_again * 1000,
        "STABILITY_MS": options.stability * 1000,
    }
    return "\n".join(f"local {name} = {value:.0f}" for name, value in values.items())
