"""The patch formats: JSON patch, merge patch, strategic merge patch. Called by `verbs`; pure functions."""

from __future__ import annotations

import json
from typing import Any

import jsonpatch

from bridge.demo.objects import Obj, clone
from bridge.demo.resources import Resource
from bridge.demo.status_errors import bad_request, rejected_patch, unsupported_format, unsupported_patch
from bridge.demo.strategic import strategic_merge

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def check_content_type(resource: Resource, content_type: str) -> None:
    """Raises ApiError 415 for a patch type that the resource doesn't take."""
    accepted = [JSON_PATCH, MERGE_PATCH, APPLY_PATCH]
    if resource.custom and content_type not in accepted:
        raise unsupported_format(accepted)
    if content_type not in (*accepted, STRATEGIC_PATCH):
        raise unsupported_patch()


def decode_patch(raw: bytes, content_type: str) -> Any:
    """The patch as data. Raises ApiError 400 for what is no JSON, or is of the wrong shape."""
    try:
        patch = json.loads(raw)
    except (ValueError, RecursionError) as error:
        text = "unexpected end of JSON input" if _ends_early(raw) else str(error)
        raise bad_request(f"error decoding patch: {text}") from error
    wanted = list if content_type == JSON_PATCH else dict
    if not isinstance(patch, wanted):
        raise bad_request(f"error decoding patch: json: cannot unmarshal {type(patch).__name__} into Go value")
    return patch


def _ends_early(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except json.JSONDecodeError as error:
        return error.pos >= len(raw.rstrip())
    except ValueError:
        return False
    return False


def apply_patch(current: Obj, patch: Any, content_type: str) -> Obj:
    """A new object: `current` with the patch applied. Raises ApiError 422 or 400 as the server does."""
    if content_type == JSON_PATCH:
        return _json_patch(current, patch)
    if content_type == MERGE_PATCH:
        merged = merge(current, patch)
        return merged if isinstance(merged, dict) else {}
    return strategic_merge(current, patch)


def merge(current: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return clone(patch)
    merged = dict(current) if isinstance(current, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def _json_patch(current: Obj, operations: list[Any]) -> Obj:
    try:
        patched = jsonpatch.apply_patch(clone(current), operations)
    except jsonpatch.InvalidJsonPatch as error:
        raise bad_request(f"error decoding patch: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise rejected_patch() from error
    return patched if isinstance(patched, dict) else {}
