"""What schemathesis has to know beyond the OpenAPI document. Loaded by its command, see the contract test."""

from __future__ import annotations

import re
from typing import Any

import schemathesis


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """Mend what is refused for reasons that no schema expresses: two names that differ, years out of range."""
    if isinstance(body, dict):
        labels = body.get("labels")
        if isinstance(labels, dict) and isinstance(body.get("alertname"), str):
            labels.pop("alertname", None)
        if isinstance(body.get("startsAt"), str) and re.match(r"\d{4}-", body["startsAt"]):
            body["startsAt"] = "2025-01-01T00:00:00Z"
    return body
