"""Kept versions of ConfigMaps. Written by engine (before a write, and by its job), read by the restore.

Bounded: some versions of each object, the newest good one last to go, and a number and size of all together. What a
Secret holds never comes here.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

import msgspec

from bridge.errors import InvalidInput
from bridge.model.outside import Copy
from bridge.model.target import ObjectRef
from bridge.stores.link import Link

_LARGEST = 4 << 20
"""Bytes of one version before it is compressed; a ConfigMap holds 1 MiB."""


class _Entry(msgspec.Struct):
    digest: str
    good: bool
    why: str
    at: float


_INDEX = msgspec.json.Decoder(list[_Entry])


class RedisCopies:
    """Implements ports.Copies."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def keep(self, ref: ObjectRef, copy: Copy) -> bool:
        content = msgspec.json.encode(copy.manifest, order="deterministic")
        if ref.kind == "Secret":
            raise InvalidInput(f"no copy of {ref} is kept: what a Secret holds stays in its cluster")
        if len(content) > _LARGEST:
            return False
        options = self._link.options
        await self._link.script(
            "copy_keep",
            object_key(ref),
            digest_of(copy.manifest),
            int(copy.good),
            copy.why[:500],
            zlib.compress(content, 6),
            options.max_copies,
            options.max_copied_objects,
            options.max_copies_bytes,
        )
        return True

    async def of(self, ref: ObjectRef) -> list[Copy]:
        rows = await self._link.script("copy_read", object_key(ref))
        if not rows:
            return []
        return [
            Copy(taken_at=entry.at, manifest=_unpacked(blob), good=entry.good, why=entry.why)
            for entry, blob in zip(_INDEX.decode(rows[0]), rows[1:], strict=True)
        ]

    async def watched(self, ref: ObjectRef, manifest: dict[str, Any], *, well: bool, gap: float) -> float:
        args = (object_key(ref), digest_of(manifest), int(well), int(gap * 1000))
        return float(await self._link.script("copy_watch", *args)) / 1000

    async def take_turn(self, seconds: float) -> bool:
        key = self._link.key("copies:turn")
        return await self._link.command("SET", key, 1, "NX", "PX", max(1, int(seconds * 1000))) is not None


def object_key(ref: ObjectRef) -> str:
    """Return what an object is kept by: without the uid, so that a remake finds the copies of the one before."""
    return f"{ref.cluster}|{ref.kind}|{ref.namespace}|{ref.name}"


def digest_of(manifest: dict[str, Any]) -> str:
    """Return what two equal contents have in common."""
    return hashlib.sha256(msgspec.json.encode(manifest, order="deterministic")).hexdigest()[:32]


def _unpacked(blob: bytes) -> dict[str, Any]:
    content = zlib.decompressobj().decompress(blob, _LARGEST)
    return dict(msgspec.json.decode(content))
