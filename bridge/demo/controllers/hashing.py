"""Hashes of pod templates, for the names of ReplicaSets, ControllerRevisions and their pods. Pure functions."""

from __future__ import annotations

import json

from bridge.demo.objects import Obj, clone

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def template_hash(template: Obj, collisions: int = 0) -> str:
    """Eight to ten letters and digits that stand for a template. Not the values that Kubernetes would take."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":")) + (str(collisions) if collisions else "")
    digest = 0x811C9DC5
    for byte in text.encode():
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(digest).zfill(10))


def without_hash(template: Obj) -> Obj:
    """A ReplicaSet's template as its Deployment has it."""
    plain: Obj = clone(template)
    plain.get("metadata", {}).get("labels", {}).pop("pod-template-hash", None)
    return plain
