"""The refusals of an API server, as v1 Status objects. Raised by every layer, turned into a reply by `api`."""

from __future__ import annotations

from typing import Any

from bridge.demo.objects import Obj, drop_none
from bridge.demo.resources import Resource


class ApiError(Exception):
    """A refusal. `status` is the HTTP status, `body` the v1 Status, `headers` go with it."""

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        details: Obj | None = None,
        metadata: Obj | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata or {},
            "status": "Failure",
            "message": message,
            "reason": reason,
        }
        if details is not None:
            self.body["details"] = details
        self.body["code"] = status


class PageNotFound(Exception):
    """A path that no API serves: the real server answers in plain text."""


def cause(reason: str, field: str, message: str) -> Obj:
    return {"reason": reason, "message": message, "field": field}


def invalid_value(field: str, shown: str, text: str) -> Obj:
    return cause("FieldValueInvalid", field, f"Invalid value: {shown}: {text}")


def required_value(field: str, text: str = "") -> Obj:
    return cause("FieldValueRequired", field, f"Required value: {text}" if text else "Required value")


def forbidden_value(field: str, text: str) -> Obj:
    return cause("FieldValueForbidden", field, f"Forbidden: {text}")


def not_supported_value(field: str, shown: str, choices: list[str]) -> Obj:
    listed = ", ".join(f'"{choice}"' for choice in choices)
    return cause("FieldValueNotSupported", field, f"Unsupported value: {shown}: supported values: {listed}")


def details_of(resource: Resource, name: str | None) -> Obj:
    return drop_none({"name": name or None, "group": resource.group or None, "kind": resource.plural})


def not_found(resource: Resource, name: str) -> ApiError:
    message = f'{resource.qualified} "{name}" not found'
    return ApiError(404, "NotFound", message, details=details_of(resource, name))


def no_such_resource() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(resource: Resource, name: str) -> ApiError:
    message = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details=details_of(resource, name))


def conflict(resource: Resource, name: str) -> ApiError:
    message = (
        f'Operation cannot be fulfilled on {resource.qualified} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    return ApiError(409, "Conflict", message, details=details_of(resource, name))


def precondition_failed(resource: Resource, name: str, text: str) -> ApiError:
    qualified = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = drop_none({"name": name, "group": resource.group or None, "kind": resource.kind})
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {text}'
    return ApiError(409, "Conflict", message, details=details)


def invalid(kind: str, group: str, name: str, causes: list[Obj]) -> ApiError:
    """422 with its causes. The message lists one cause plainly and several in brackets, as Go's errors do."""
    seen = list(dict.fromkeys(f"{entry['field']}: {entry['message']}" for entry in causes))
    listed = seen[0] if len(seen) == 1 else f"[{', '.join(seen)}]"
    qualified = f"{kind}.{group}" if group else kind
    details: dict[str, Any] = {"name": name, "group": group, "kind": kind}
    details = {key: value for key, value in details.items() if value} | {"causes": causes}
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid: {listed}', details=details)


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def rejected_patch() -> ApiError:
    """A JSON patch whose test fails or whose path is missing."""
    message = "the server rejected our request due to an error in our request"
    return ApiError(422, "Invalid", message, details={})


def forbidden(resource: Resource, name: str | None, text: str, causes: list[Obj] | None = None) -> ApiError:
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    details = details_of(resource, name)
    if causes:
        details["causes"] = causes
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {text}", details=details)


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def method_not_allowed() -> ApiError:
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, details={})


def unsupported_patch() -> ApiError:
    return ApiError(415, "UnsupportedMediaType", "415: Unsupported Media Type", details={})


def unsupported_format(accepted: list[str]) -> ApiError:
    listed = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {listed}"
    return ApiError(415, "UnsupportedMediaType", message)


def expired_watch(revision: int, current: int) -> ApiError:
    return ApiError(410, "Expired", f"too old resource version: {revision} ({current})")


def expired_continue(token: str) -> ApiError:
    message = (
        "The provided continue parameter is too old to display a consistent list result. You can start a new "
        "list without the continue parameter, or use the continue token in this response to retrieve the "
        "remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
        "that were created, modified, or deleted between the time the first chunk was returned and now may show "
        "up in the list."
    )
    return ApiError(410, "Expired", message, metadata={"continue": token})


def eviction_refused(budget: str, needed: int, healthy: int) -> ApiError:
    text = f"The disruption budget {budget} needs {needed} healthy pods and has {healthy} currently"
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    details = {"causes": [{"reason": "DisruptionBudget", "message": text}]}
    return ApiError(429, "TooManyRequests", message, details=details)


def budget_unread(budget: str) -> ApiError:
    """The controller has not counted yet for what the budget says now."""
    text = f"The disruption budget {budget} is still being processed by the server."
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    details = {"causes": [{"reason": "DisruptionBudget", "message": text}], "retryAfterSeconds": 10}
    return ApiError(429, "TooManyRequests", message, details=details, headers={"Retry-After": "10"})


def internal_error(error: Exception) -> ApiError:
    return ApiError(500, "InternalError", f"Internal error occurred: {error!r}")


def not_served(what: str) -> ApiError:
    """501: the simulated cluster does not serve this, and makes nothing up."""
    return ApiError(501, "NotImplemented", f"the simulated cluster does not serve {what}")
